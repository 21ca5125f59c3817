package dev.grep11.client;

import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * The shortest useful program: sign with a key that exists only in the HSM, keep it, use it again.
 */
public final class ClientExample {

  /** Reads the environment that {@code grep11 up} writes down. */
  public static void main(String[] arguments) {
    var address = System.getenv("GREP11_ADDRESS");
    var ca = Path.of(System.getenv("GREP11_CA"));
    var apiKey = System.getenv("GREP11_APIKEY").toCharArray();
    var iamEndpoint = URI.create(System.getenv("GREP11_IAMENDPOINT"));
    var builder = Grep11Client.builder(address).trustedCa(ca).apiKey(apiKey, iamEndpoint);
    var certificate = System.getenv("GREP11_CLIENT_CERT");
    if (certificate != null) {
      builder.clientCertificate(Path.of(certificate), Path.of(System.getenv("GREP11_CLIENT_KEY")));
    }
    try (var client = builder.build()) {
      System.out.println(signAndVerify(client) ? "signed and verified" : "the signature is wrong");
    } catch (Grep11Exception e) {
      System.err.println(e.getMessage());
      System.exit(1);
    }
  }

  static boolean signAndVerify(Grep11Client client) {
    byte[] message = "pay 10 to Alice".getBytes(StandardCharsets.UTF_8);
    KeyPair pair = client.generateKeyPair(Templates.ecPair(Curve.P256));

    // The private key is a sealed blob: save it anywhere, load it in another process.
    byte[] saved = pair.privateKey().bytes();
    var loaded = new PrivateKeyBlob(saved);

    byte[] signature = client.sign(Mechanisms.ecdsaSha256(), loaded, message);
    return client.verify(Mechanisms.ecdsaSha256(), pair.publicKey(), message, signature);
  }

  private ClientExample() {}
}
