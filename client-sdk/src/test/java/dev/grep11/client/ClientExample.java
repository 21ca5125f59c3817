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
    boolean genuine =
        signAndVerify(
            System.getenv("GREP11_ADDRESS"),
            Path.of(System.getenv("GREP11_CA")),
            System.getenv("GREP11_APIKEY").toCharArray(),
            URI.create(System.getenv("GREP11_IAMENDPOINT")));
    System.out.println(genuine ? "signed and verified" : "the signature is wrong");
  }

  static boolean signAndVerify(String address, Path ca, char[] apiKey, URI iamEndpoint) {
    byte[] message = "pay 10 to Alice".getBytes(StandardCharsets.UTF_8);
    try (var client =
        Grep11Client.builder(address).trustedCa(ca).apiKey(apiKey, iamEndpoint).build()) {
      KeyPair pair = client.generateKeyPair(Templates.ecPair(Curve.P256));

      // The private key is a sealed blob: save it anywhere, load it in another process.
      byte[] saved = pair.privateKey().bytes();
      var loaded = new PrivateKeyBlob(saved);

      byte[] signature = client.sign(Mechanisms.ecdsaSha256(), loaded, message);
      return client.verify(Mechanisms.ecdsaSha256(), pair.publicKey(), message, signature);
    }
  }

  private ClientExample() {}
}
