// The smallest complete GREP11 client in Go: docs/clients.md quotes it, and the suite beside it connects by it.
package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	pb "dev.grep11/interop/grep11pb"
)

const (
	ckmECKeyPairGen = 0x1040
	ckmECDSA        = 0x1041
	ckaSign         = 0x108
	ckaVerify       = 0x10a
	ckaECParams     = 0x180
)

// Repeating does no harm, as the gateway keeps nothing of a call; the pauses grow.
const retries = `{"methodConfig": [{"name": [{"service": "grep11.Crypto"}], "retryPolicy": {
	"maxAttempts": 5, "initialBackoff": "0.1s", "maxBackoff": "2s", "backoffMultiplier": 2,
	"retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]}}]}`

// bearer puts the access token into each call, and fetches the next one before it expires.
type bearer struct {
	endpoint, apiKey, instance string
	client                     *http.Client

	mutex     sync.Mutex
	token     string
	refreshAt time.Time
}

func (b *bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if time.Now().After(b.refreshAt) {
		if err := b.fetch(); err != nil {
			return nil, err
		}
	}
	metadata := map[string]string{"authorization": "Bearer " + b.token}
	if b.instance != "" {
		metadata["bluemix-instance"] = b.instance
	}
	return metadata, nil
}

func (b *bearer) RequireTransportSecurity() bool { return true }

func (b *bearer) fetch() error {
	response, err := b.client.PostForm(b.endpoint+"/identity/token", url.Values{
		"grant_type": {"urn:ibm:params:oauth:grant-type:apikey"}, "apikey": {b.apiKey}})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var body struct {
		AccessToken  string `json:"access_token"`
		ExpiresIn    int    `json:"expires_in"`
		ErrorMessage string `json:"errorMessage"`
	}
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("token refused: %s", body.ErrorMessage)
	}
	b.token = body.AccessToken
	b.refreshAt = time.Now().Add(time.Duration(body.ExpiresIn) * time.Second * 3 / 4)
	return nil
}

func connect() (*grpc.ClientConn, error) {
	pem, err := os.ReadFile(os.Getenv("GREP11_CA"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	trust := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if file := os.Getenv("GREP11_CLIENT_CERT"); file != "" {
		own, err := tls.LoadX509KeyPair(file, os.Getenv("GREP11_CLIENT_KEY"))
		if err != nil {
			return nil, err
		}
		trust.Certificates = []tls.Certificate{own}
	}
	return grpc.NewClient(os.Getenv("GREP11_ADDRESS"),
		grpc.WithTransportCredentials(credentials.NewTLS(trust)),
		grpc.WithPerRPCCredentials(&bearer{
			endpoint: strings.TrimSuffix(os.Getenv("GREP11_IAMENDPOINT"), "/"),
			apiKey:   os.Getenv("GREP11_APIKEY"),
			instance: os.Getenv("GREP11_INSTANCE"),
			client:   &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: trust}},
		}),
		grpc.WithDefaultServiceConfig(retries))
}

// grep11Error is the one detail of a refusal, or nil when the refusal has none.
func grep11Error(err error) *pb.Grep11Error {
	details := status.Convert(err).Details()
	if len(details) != 1 {
		return nil
	}
	refused, _ := details[0].(*pb.Grep11Error)
	return refused
}

func yes() *pb.AttributeValue {
	return &pb.AttributeValue{OneAttr: &pb.AttributeValue_AttributeTF{AttributeTF: true}}
}

func main() {
	conn, err := connect()
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	gateway := pb.NewCryptoClient(conn)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	p256 := []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07} // the curve's OID in DER
	pair, err := gateway.GenerateKeyPair(ctx, &pb.GenerateKeyPairRequest{
		Mech: &pb.Mechanism{Mechanism: ckmECKeyPairGen},
		PubKeyTemplate: map[uint64]*pb.AttributeValue{
			ckaECParams: {OneAttr: &pb.AttributeValue_AttributeB{AttributeB: p256}}, ckaVerify: yes()},
		PrivKeyTemplate: map[uint64]*pb.AttributeValue{ckaSign: yes()},
	})
	if err != nil {
		log.Fatal(err)
	}
	// Keep pair.PrivKey.KeyBlobs[0]: the gateway does not.
	hash := sha256.Sum256([]byte("pay 10 to Alice"))
	signed, err := gateway.SignSingle(ctx, &pb.SignSingleRequest{
		Mech: &pb.Mechanism{Mechanism: ckmECDSA}, PrivKey: pair.PrivKey, Data: hash[:]})
	if err != nil {
		log.Fatal(err)
	}
	signed.Signature[0] ^= 1
	_, err = gateway.VerifySingle(ctx, &pb.VerifySingleRequest{
		Mech: &pb.Mechanism{Mechanism: ckmECDSA}, PubKey: pair.PubKey, Data: hash[:], Signature: signed.Signature})
	fmt.Printf("%d bytes; once changed: %s, code %d\n",
		len(signed.Signature), status.Convert(err).Message(), grep11Error(err).GetCode())
}
