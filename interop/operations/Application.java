import dev.grep11.client.Curve;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.KeyPair;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.PrivateKeyBlob;
import dev.grep11.client.PublicKeyBlob;
import dev.grep11.client.Templates;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** An application of a bank: it keeps the blobs of one key pair in a file each, and signs with it. */
class Application {
  public static void main(String[] arguments) throws IOException {
    var builder =
        Grep11Client.builder(System.getenv("GREP11_ADDRESS"))
            .trustedCa(Path.of(System.getenv("GREP11_CA")))
            .apiKey(
                System.getenv("GREP11_APIKEY").toCharArray(),
                URI.create(System.getenv("GREP11_IAMENDPOINT")));
    var certificate = System.getenv("GREP11_CLIENT_CERT");
    if (certificate != null && !certificate.isEmpty()) {
      builder.clientCertificate(Path.of(certificate), Path.of(System.getenv("GREP11_CLIENT_KEY")));
    }
    var key = arguments[1];
    try (var client = builder.build()) {
      switch (arguments[0]) {
        case "make" -> keep(client.generateKeyPair(Templates.ecPair(Curve.P256)), key);
        case "rewrap" -> {
          var pair = kept(key);
          keep(new KeyPair(client.rewrap(pair.publicKey()), client.rewrap(pair.privateKey())), key);
        }
        case "sign" -> sign(client, kept(key));
        default -> throw new IllegalArgumentException(arguments[0]);
      }
      System.out.println(arguments[0] + ": done");
    } catch (Grep11Exception e) {
      System.err.println(e.getMessage());
      System.exit(1);
    }
  }

  private static void sign(Grep11Client client, KeyPair pair) {
    byte[] message = "pay 10 to Alice".getBytes(StandardCharsets.UTF_8);
    byte[] signature = client.sign(Mechanisms.ecdsaSha256(), pair.privateKey(), message);
    if (!client.verify(Mechanisms.ecdsaSha256(), pair.publicKey(), message, signature)) {
      throw new IllegalStateException("the signature is wrong");
    }
  }

  private static void keep(KeyPair pair, String name) throws IOException {
    Files.write(Path.of(name + ".public"), pair.publicKey().bytes());
    Files.write(Path.of(name + ".private"), pair.privateKey().bytes());
  }

  private static KeyPair kept(String name) throws IOException {
    return new KeyPair(
        new PublicKeyBlob(Files.readAllBytes(Path.of(name + ".public"))),
        new PrivateKeyBlob(Files.readAllBytes(Path.of(name + ".private"))));
  }
}
