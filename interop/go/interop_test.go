package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "dev.grep11/interop/grep11pb"
)

const (
	ckmRSAPKCSKeyPairGen = 0x0
	ckmRSAPKCS           = 0x1
	ckmSHA256            = 0x250
	ckmSHA256HMAC        = 0x251
	ckmGenericKeyGen     = 0x350
	ckmECDSASHA512       = 0x1046
	ckmECDH1Derive       = 0x1050
	ckmAESKeyGen         = 0x1080
	ckmAESCBCPad         = 0x1085

	ckaClass          = 0x0
	ckaKeyType        = 0x100
	ckaEncrypt        = 0x104
	ckaDecrypt        = 0x105
	ckaWrap           = 0x106
	ckaUnwrap         = 0x107
	ckaDerive         = 0x10c
	ckaModulusBits    = 0x121
	ckaPublicExponent = 0x122
	ckaValueLen       = 0x161
	ckaExtractable    = 0x162

	ckoSecretKey = 4
	ckkAES       = 0x1f
)

var (
	gateway pb.CryptoClient
	message = []byte("forty-seven bytes, which end within a third one")
)

type values map[uint64]any

func TestMain(m *testing.M) {
	conn, err := connect()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	gateway = pb.NewCryptoClient(conn)
	result := m.Run()
	conn.Close()
	os.Exit(result)
}

// As the Go samples convert a template: bool → TF, bytes → B, numbers → I.
func template(of values) map[uint64]*pb.AttributeValue {
	made := map[uint64]*pb.AttributeValue{}
	for attribute, value := range of {
		switch value := value.(type) {
		case bool:
			made[attribute] = &pb.AttributeValue{OneAttr: &pb.AttributeValue_AttributeTF{AttributeTF: value}}
		case int:
			made[attribute] = &pb.AttributeValue{OneAttr: &pb.AttributeValue_AttributeI{AttributeI: int64(value)}}
		case []byte:
			made[attribute] = &pb.AttributeValue{OneAttr: &pb.AttributeValue_AttributeB{AttributeB: value}}
		default:
			panic(fmt.Sprintf("%T has no arm", value))
		}
	}
	return made
}

func mechanism(number uint64, parameter ...byte) *pb.Mechanism {
	if parameter == nil {
		return &pb.Mechanism{Mechanism: number}
	}
	return &pb.Mechanism{Mechanism: number, Parameter: &pb.Mechanism_ParameterB{ParameterB: parameter}}
}

// A dialect writes a key into the request's field of that name: the bytes, or the KeyBlob as it was received.
type dialect struct {
	name string
	put  func(request protoreflect.Message, field string, key *pb.KeyBlob)
}

var dialects = []dialect{
	{"bytes", func(request protoreflect.Message, field string, key *pb.KeyBlob) {
		request.Set(fieldOf(request, field+"Bytes"), protoreflect.ValueOfBytes(key.KeyBlobs[0]))
	}},
	{"KeyBlob", func(request protoreflect.Message, field string, key *pb.KeyBlob) {
		request.Set(fieldOf(request, field), protoreflect.ValueOfMessage(key.ProtoReflect()))
	}},
}

func fieldOf(message protoreflect.Message, name string) protoreflect.FieldDescriptor {
	return message.Descriptor().Fields().ByName(protoreflect.Name(name))
}

func inBothDialects(t *testing.T, test func(*testing.T, dialect)) {
	for _, each := range dialects {
		t.Run(each.name, func(t *testing.T) { test(t, each) })
	}
}

func with[R proto.Message](d dialect, request R, keys map[string]*pb.KeyBlob) R {
	for field, key := range keys {
		d.put(request.ProtoReflect(), field, key)
	}
	return request
}

func one(field string, key *pb.KeyBlob) map[string]*pb.KeyBlob {
	return map[string]*pb.KeyBlob{field: key}
}

// must makes the call with a deadline, and ends the test when it is refused.
func must[Q, R any](t *testing.T, call func(context.Context, Q, ...grpc.CallOption) (R, error), request Q) R {
	t.Helper()
	response, err := call(within(t), request)
	if err != nil {
		t.Fatalf("%v %v", err, grep11Error(err))
	}
	return response
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func refused(t *testing.T, err error, name string, code uint64) {
	t.Helper()
	if status.Code(err) != codes.Unknown || status.Convert(err).Message() != name {
		t.Fatalf("%v instead of %s", err, name)
	}
	if detail := grep11Error(err); detail == nil || detail.Code != code {
		t.Fatalf("details %v instead of one with code %d", status.Convert(err).Details(), code)
	}
}

func generate(t *testing.T, mech uint64, of values) *pb.GenerateKeyResponse {
	t.Helper()
	made := must(t, gateway.GenerateKey, &pb.GenerateKeyRequest{Mech: mechanism(mech), Template: template(of)})
	if !bytes.Equal(made.KeyBytes, made.Key.KeyBlobs[0]) {
		t.Fatal("the two forms of the key differ")
	}
	return made
}

func generatePair(t *testing.T, mech uint64, public, private values) *pb.GenerateKeyPairResponse {
	t.Helper()
	return must(t, gateway.GenerateKeyPair, &pb.GenerateKeyPairRequest{
		Mech: mechanism(mech), PubKeyTemplate: template(public), PrivKeyTemplate: template(private)})
}

func random(t *testing.T, length uint64) []byte {
	t.Helper()
	return must(t, gateway.GenerateRandom, &pb.GenerateRandomRequest{Len: length}).Rnd
}

func p256() []byte {
	der, err := asn1.Marshal(asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7})
	if err != nil {
		panic(err)
	}
	return der
}

func spki(t *testing.T, blob *pb.KeyBlob) any {
	t.Helper()
	var first asn1.RawValue
	if _, err := asn1.Unmarshal(blob.KeyBlobs[0], &first); err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKIXPublicKey(first.FullBytes)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAnUnknownAPIKeyGetsNoToken(t *testing.T) {
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(os.Getenv("GREP11_CA"))
	if err != nil || !roots.AppendCertsFromPEM(pem) {
		t.Fatal("no CA", err)
	}
	unknown := &bearer{endpoint: os.Getenv("GREP11_IAMENDPOINT"), apiKey: "no-such-key",
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}}
	if err := unknown.fetch(); err == nil || !strings.HasPrefix(err.Error(), "token refused: ") {
		t.Fatalf("%v", err)
	}
}

func TestTheListBeginsWithRSAPKCS(t *testing.T) {
	if list := must(t, gateway.GetMechanismList, &pb.GetMechanismListRequest{}); list.Mechs[0] != ckmRSAPKCS {
		t.Fatal(list.Mechs)
	}
}

func TestDigestInParts(t *testing.T) {
	state := must(t, gateway.DigestInit, &pb.DigestInitRequest{Mech: mechanism(ckmSHA256)}).State
	for _, part := range [][]byte{message[:20], message[20:]} {
		state = must(t, gateway.DigestUpdate, &pb.DigestUpdateRequest{State: state, Data: part}).State
	}
	expected := sha256.Sum256(message)
	if digest := must(t, gateway.DigestFinal, &pb.DigestFinalRequest{State: state}).Digest; !bytes.Equal(digest, expected[:]) {
		t.Fatalf("%x", digest)
	}
}

func TestEncryptInParts(t *testing.T) {
	inBothDialects(t, func(t *testing.T, d dialect) {
		key := generate(t, ckmAESKeyGen, values{ckaValueLen: 32, ckaEncrypt: true, ckaDecrypt: true}).Key
		mech := mechanism(ckmAESCBCPad, random(t, 16)...)

		state := must(t, gateway.EncryptInit, with(d, &pb.EncryptInitRequest{Mech: mech}, one("Key", key))).State
		var ciphertext []byte
		for _, part := range [][]byte{message[:16], message[16:]} {
			step := must(t, gateway.EncryptUpdate, &pb.EncryptUpdateRequest{State: state, Plain: part})
			state, ciphertext = step.State, append(ciphertext, step.Ciphered...)
		}
		ciphertext = append(ciphertext, must(t, gateway.EncryptFinal, &pb.EncryptFinalRequest{State: state}).Ciphered...)

		state = must(t, gateway.DecryptInit, with(d, &pb.DecryptInitRequest{Mech: mech}, one("Key", key))).State
		var plain []byte
		for i, part := range [][]byte{ciphertext[:16], ciphertext[16:]} {
			step := must(t, gateway.DecryptUpdate, &pb.DecryptUpdateRequest{State: state, Ciphered: part})
			if i == 0 && len(step.Plain) > 0 {
				t.Fatal("the block that may be the last was not held back")
			}
			state, plain = step.State, append(plain, step.Plain...)
		}
		plain = append(plain, must(t, gateway.DecryptFinal, &pb.DecryptFinalRequest{State: state}).Plain...)
		if !bytes.Equal(plain, message) {
			t.Fatalf("%q", plain)
		}
	})
}

func TestSignInPartsAndSingle(t *testing.T) {
	inBothDialects(t, func(t *testing.T, d dialect) {
		pair := generatePair(t, ckmECKeyPairGen, values{ckaECParams: p256(), ckaVerify: true}, values{ckaSign: true})
		mech := mechanism(ckmECDSASHA512)

		state := must(t, gateway.SignInit, with(d, &pb.SignInitRequest{Mech: mech}, one("PrivKey", pair.PrivKey))).State
		for _, part := range [][]byte{message[:8], message[8:]} {
			state = must(t, gateway.SignUpdate, &pb.SignUpdateRequest{State: state, Data: part}).State
		}
		signature := must(t, gateway.SignFinal, &pb.SignFinalRequest{State: state}).Signature
		hash := sha512.Sum512(message)
		r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
		if !ecdsa.Verify(spki(t, pair.PubKey).(*ecdsa.PublicKey), hash[:], r, s) {
			t.Fatal("Go does not agree")
		}

		verify := func(signature []byte) error {
			request := &pb.VerifySingleRequest{Mech: mech, Data: message, Signature: signature}
			_, err := gateway.VerifySingle(within(t), with(d, request, one("PubKey", pair.PubKey)))
			return err
		}
		if err := verify(signature); err != nil {
			t.Fatal(err)
		}
		signature[len(signature)-1] ^= 1
		refused(t, verify(signature), "CKR_SIGNATURE_INVALID", 192)

		mac := generate(t, ckmGenericKeyGen, values{ckaValueLen: 32, ckaSign: true, ckaVerify: true}).Key
		signed := must(t, gateway.SignSingle,
			with(d, &pb.SignSingleRequest{Mech: mechanism(ckmSHA256HMAC), Data: message}, one("PrivKey", mac)))
		state = must(t, gateway.VerifyInit,
			with(d, &pb.VerifyInitRequest{Mech: mechanism(ckmSHA256HMAC)}, one("PubKey", mac))).State
		state = must(t, gateway.VerifyUpdate, &pb.VerifyUpdateRequest{State: state, Data: message}).State
		must(t, gateway.VerifyFinal, &pb.VerifyFinalRequest{State: state, Signature: signed.Signature})
	})
}

func TestWrapAndUnwrap(t *testing.T) {
	kek := generatePair(t, ckmRSAPKCSKeyPairGen,
		values{ckaWrap: true, ckaModulusBits: 2048, ckaPublicExponent: 65537}, values{ckaUnwrap: true})
	inBothDialects(t, func(t *testing.T, d dialect) {
		made := generate(t, ckmAESKeyGen, values{ckaValueLen: 16, ckaEncrypt: true, ckaExtractable: true})
		mech := mechanism(ckmRSAPKCS)
		wrapped := must(t, gateway.WrapKey, with(d, &pb.WrapKeyRequest{Mech: mech},
			map[string]*pb.KeyBlob{"KeK": kek.PubKey, "Key": made.Key})).Wrapped
		unwrapped := must(t, gateway.UnwrapKey, with(d, &pb.UnwrapKeyRequest{Mech: mech, Wrapped: wrapped,
			Template: template(values{ckaClass: ckoSecretKey, ckaKeyType: ckkAES, ckaValueLen: 16, ckaDecrypt: true})},
			one("KeK", kek.PrivKey)))
		if len(made.CheckSum) < 3 || !bytes.HasPrefix(unwrapped.CheckSum, made.CheckSum) {
			t.Fatalf("%x is no beginning of %x", made.CheckSum, unwrapped.CheckSum)
		}
		cipher := mechanism(ckmAESCBCPad, random(t, 16)...)
		ciphertext := must(t, gateway.EncryptSingle,
			with(d, &pb.EncryptSingleRequest{Mech: cipher, Plain: message}, one("Key", made.Key))).Ciphered
		plain := must(t, gateway.DecryptSingle,
			with(d, &pb.DecryptSingleRequest{Mech: cipher, Ciphered: ciphertext}, one("Key", unwrapped.Unwrapped))).Plain
		if !bytes.Equal(plain, message) {
			t.Fatalf("%q", plain)
		}
	})
}

func TestDerive(t *testing.T) {
	inBothDialects(t, func(t *testing.T, d dialect) {
		pair := func() *pb.GenerateKeyPairResponse {
			return generatePair(t, ckmECKeyPairGen,
				values{ckaECParams: p256(), ckaExtractable: false}, values{ckaDerive: true, ckaExtractable: false})
		}
		alice, bob := pair(), pair()
		derive := func(own, peer *pb.GenerateKeyPairResponse) *pb.DeriveKeyResponse {
			point := spki(t, peer.PubKey).(*ecdsa.PublicKey)
			encoded, err := point.ECDH()
			if err != nil {
				t.Fatal(err)
			}
			return must(t, gateway.DeriveKey, with(d, &pb.DeriveKeyRequest{Mech: mechanism(ckmECDH1Derive, encoded.Bytes()...),
				Template: template(values{ckaClass: ckoSecretKey, ckaKeyType: ckkAES, ckaValueLen: 16,
					ckaEncrypt: true, ckaDecrypt: true})}, one("BaseKey", own.PrivKey)))
		}
		if first, second := derive(alice, bob), derive(bob, alice); !bytes.Equal(first.CheckSum, second.CheckSum) {
			t.Fatalf("%x and %x", first.CheckSum, second.CheckSum)
		}
	})
}

// The private key of a TLS server in the gateway, as the sample "tls" has it.
type signer struct {
	pair   *pb.GenerateKeyPairResponse
	public *ecdsa.PublicKey
}

func (s signer) Public() crypto.PublicKey { return s.public }

func (s signer) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	signed, err := gateway.SignSingle(context.Background(),
		&pb.SignSingleRequest{Mech: mechanism(ckmECDSA), PrivKey: s.pair.PrivKey, Data: digest})
	if err != nil {
		return nil, err
	}
	half := len(signed.Signature) / 2
	return asn1.Marshal(struct{ R, S *big.Int }{
		new(big.Int).SetBytes(signed.Signature[:half]), new(big.Int).SetBytes(signed.Signature[half:])})
}

func TestATLSServerWhoseKeyTheGatewayHolds(t *testing.T) {
	pair := generatePair(t, ckmECKeyPairGen, values{ckaECParams: p256(), ckaVerify: true}, values{ckaSign: true})
	key := signer{pair, spki(t, pair.PubKey).(*ecdsa.PublicKey)}
	if key.public.Curve != elliptic.P256() {
		t.Fatal(key.public.Curve)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.public, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	near, far := net.Pipe()
	server := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	ended := make(chan error, 1)
	go func() { ended <- server.HandshakeContext(within(t)) }()
	client := tls.Client(near, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	if err := client.HandshakeContext(within(t)); err != nil {
		t.Fatal(err)
	}
	// The server's handshake waits for the client to read its tickets.
	go func() { _, _ = io.Copy(io.Discard, client) }()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	near.Close()
	far.Close()
}

// Refuses the first calls, and then answers.
type flaky struct {
	pb.UnimplementedCryptoServer
	refusals []codes.Code
	calls    int
}

func (f *flaky) GenerateRandom(context.Context, *pb.GenerateRandomRequest) (*pb.GenerateRandomResponse, error) {
	f.calls++
	if f.calls <= len(f.refusals) {
		return nil, status.Error(f.refusals[f.calls-1], "CKR_DEVICE_ERROR")
	}
	return &pb.GenerateRandomResponse{}, nil
}

func TestTheClientRepeatsWhatMayBeRepeated(t *testing.T) {
	for _, each := range []struct {
		refusals []codes.Code
		calls    int
		end      codes.Code
	}{
		{[]codes.Code{codes.Unavailable, codes.ResourceExhausted}, 3, codes.OK},
		{[]codes.Code{codes.Unknown}, 1, codes.Unknown},
	} {
		gateway := &flaky{refusals: each.refusals}
		server := grpc.NewServer()
		pb.RegisterCryptoServer(server, gateway)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = server.Serve(listener) }()
		t.Cleanup(server.Stop)
		conn, err := grpc.NewClient(listener.Addr().String(),
			grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(retries))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_, err = pb.NewCryptoClient(conn).GenerateRandom(within(t), &pb.GenerateRandomRequest{Len: 1})
		if status.Code(err) != each.end || gateway.calls != each.calls {
			t.Errorf("%v after %d calls, refused with %v", err, gateway.calls, each.refusals)
		}
	}
}

func TestTheCorrelationIDComesBack(t *testing.T) {
	ctx := metadata.AppendToOutgoingContext(within(t), "x-correlation-id", "interop-go-1")
	var header metadata.MD
	if _, err := gateway.GenerateRandom(ctx, &pb.GenerateRandomRequest{Len: 1}, grpc.Header(&header)); err != nil {
		t.Fatal(err)
	}
	if got := header.Get("x-correlation-id"); len(got) != 1 || got[0] != "interop-go-1" {
		t.Fatal(got)
	}
}

func TestAnotherInstanceIsRefused(t *testing.T) {
	ctx := metadata.AppendToOutgoingContext(within(t), "bluemix-instance", "00000000-0000-4000-8000-000000000000")
	_, err := gateway.GenerateRandom(ctx, &pb.GenerateRandomRequest{Len: 1})
	if status.Code(err) != codes.PermissionDenied || grep11Error(err).GetCode() != 0x80040001 {
		t.Fatal(err)
	}
}
