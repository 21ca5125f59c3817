package dev.grep11.client;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;

/** Encrypts a file of any length, signs the ciphertext, and takes both back. */
public final class StreamsExample {

  /**
   * Reads the environment that {@code grep11 up} writes down.
   *
   * @param arguments the file to encrypt; its ciphertext and its copy are written beside it
   */
  public static void main(String[] arguments) throws IOException {
    try (var client =
        Grep11Client.builder(System.getenv("GREP11_ADDRESS"))
            .trustedCa(Path.of(System.getenv("GREP11_CA")))
            .apiKey(
                System.getenv("GREP11_APIKEY").toCharArray(),
                URI.create(System.getenv("GREP11_IAMENDPOINT")))
            .build()) {
      Path plain = Path.of(arguments[0]);
      Path copy = encryptSignVerifyDecrypt(client, plain);
      System.out.println(Files.mismatch(plain, copy) < 0 ? "the same again" : "not the same");
    }
  }

  static Path encryptSignVerifyDecrypt(Grep11Client client, Path plain) throws IOException {
    Path ciphered = plain.resolveSibling(plain.getFileName() + ".enc");
    Path copy = plain.resolveSibling(plain.getFileName() + ".copy");
    SecretKeyBlob key = client.generateKey(Mechanisms.aesKeyGen(), Templates.aes(256));
    KeyPair pair = client.generateKeyPair(Templates.ecPair(Curve.P256));
    var mechanism = Mechanisms.aesCbcPad(client.generateRandom(16));

    long length = Files.size(plain);
    var streams =
        client.streams().onProgress(done -> System.out.printf("%d of %d bytes%n", done, length));
    try (var in = Files.newInputStream(plain);
        var out = Files.newOutputStream(ciphered)) {
      streams.encrypt(mechanism, key, in, out);
    }
    byte[] signature = streams.sign(Mechanisms.ecdsaSha256(), pair.privateKey(), ciphered);

    // CBC does not authenticate, so the signature is checked before anything is decrypted.
    if (!streams.verify(Mechanisms.ecdsaSha256(), pair.publicKey(), ciphered, signature)) {
      throw new IOException(ciphered + " was altered");
    }
    try (var in = Files.newInputStream(ciphered);
        var out = Files.newOutputStream(copy)) {
      streams.decrypt(mechanism, key, in, out);
    }
    return copy;
  }

  private StreamsExample() {}
}
