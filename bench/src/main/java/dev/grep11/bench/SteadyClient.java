package dev.grep11.bench;

import dev.grep11.client.Curve;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.PrivateKeyBlob;
import dev.grep11.client.PublicKeyBlob;
import dev.grep11.client.SecretKeyBlob;
import dev.grep11.client.Templates;
import java.util.Arrays;

/**
 * An application whose keys outlive everything that changes around it: what was signed and
 * encrypted at the beginning verifies and decrypts to the end, by the blobs of today.
 *
 * <p>One thread makes its calls; {@link #connect} and {@link #rewrap} are that thread's, too.
 */
final class SteadyClient implements AutoCloseable {
  private static final int RANDOM_BYTES = 32;

  /** In the order in which they are made, again and again. */
  enum Step {
    SIGN,
    VERIFY,
    ENCRYPT,
    DECRYPT,
    MAC,
    RANDOM
  }

  /** Under the master key of their last re-wrapping. */
  private record Keys(
      PrivateKeyBlob signing, PublicKeyBlob verifying, SecretKeyBlob aes, SecretKeyBlob mac) {
    static Keys make(Grep11Client client) {
      var pair = client.generateKeyPair(Templates.ecPair(Curve.P256));
      return new Keys(
          pair.privateKey(),
          pair.publicKey(),
          client.generateKey(Mechanisms.aesKeyGen(), Templates.aes(256)),
          client.generateKey(Mechanisms.genericSecretKeyGen(), Templates.hmac(32)));
    }

    Keys rewrapped(Grep11Client client) {
      return new Keys(
          client.rewrap(signing), client.rewrap(verifying), client.rewrap(aes), client.rewrap(mac));
    }
  }

  private final byte[] message;
  private final byte[] signature;
  private final byte[] ciphered;
  private final byte[] mac;
  private Grep11Client client;
  private Keys keys;
  private int steps;

  /** Makes the keys, and with them what has to stay good. */
  SteadyClient(Grep11Client client, byte[] message) {
    this.client = client;
    this.message = message.clone();
    keys = Keys.make(client);
    signature = client.sign(Mechanisms.ecdsaSha256(), keys.signing(), message);
    ciphered = client.encrypt(Mechanisms.aesGcm(), keys.aes(), message);
    mac = client.sign(Mechanisms.hmacSha256(), keys.mac(), message);
  }

  /** Whose call is next. */
  Step next() {
    var all = Step.values();
    return all[steps++ % all.length];
  }

  void run(Step step) {
    switch (step) {
      case SIGN ->
          require(
              client.sign(Mechanisms.ecdsaSha256(), keys.signing(), message).length
                  == signature.length,
              "a signature of another length");
      case VERIFY ->
          require(
              client.verify(Mechanisms.ecdsaSha256(), keys.verifying(), message, signature),
              "a genuine signature did not verify");
      case ENCRYPT ->
          require(
              client.encrypt(Mechanisms.aesGcm(), keys.aes(), message).length == ciphered.length,
              "a ciphertext of another length");
      case DECRYPT ->
          require(
              Arrays.equals(message, client.decrypt(Mechanisms.aesGcm(), keys.aes(), ciphered)),
              "another plain text");
      case MAC ->
          require(
              Arrays.equals(mac, client.sign(Mechanisms.hmacSha256(), keys.mac(), message)),
              "another MAC");
      case RANDOM ->
          require(client.generateRandom(RANDOM_BYTES).length == RANDOM_BYTES, "not as many");
    }
  }

  /** Makes its calls by this connection from now on. */
  void connect(Grep11Client fresh) {
    client.close();
    client = fresh;
  }

  /** Replaces its blobs by such under the newest master key. */
  void rewrap() {
    keys = keys.rewrapped(client);
  }

  private static void require(boolean condition, String otherwise) {
    if (!condition) {
      throw new MixedClient.WrongAnswerException(otherwise);
    }
  }

  @Override
  public void close() {
    client.close();
  }
}
