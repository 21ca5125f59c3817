package dev.grep11.bench;

import dev.grep11.client.Cka;
import dev.grep11.client.Curve;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.KeyPair;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.SecretKeyBlob;
import dev.grep11.client.Templates;
import java.util.Arrays;
import java.util.Random;
import java.util.Set;

/**
 * One of many clients, with keys of its own, that checks what it gets: a wrong answer is a failure
 * like a refusal.
 */
final class MixedClient {
  private static final int MESSAGE_BYTES = 1024;
  private static final int RANDOM_BYTES = 32;
  private static final int CHECK_SUM_BYTES = 3;

  private final Grep11Client client;
  private final Random random;
  private final byte[] message = new byte[MESSAGE_BYTES];
  private final SecretKeyBlob aes;
  private final SecretKeyBlob travelling;
  private final SecretKeyBlob kek;
  private final KeyPair signing;
  private final KeyPair agreement;
  private final byte[] signature;
  private final byte[] ciphered;
  private final byte[] wrapped;
  private final byte[] digest;

  /** Makes the client's keys, with seven calls. */
  MixedClient(Grep11Client client, long seed) {
    this.client = client;
    random = new Random(seed);
    random.nextBytes(message);
    aes = client.generateKey(Mechanisms.aesKeyGen(), Templates.aes(256));
    travelling =
        client.generateKey(
            Mechanisms.aesKeyGen(), Templates.aes(256).with(Cka.CKA_EXTRACTABLE, true));
    kek = client.generateKey(Mechanisms.aesKeyGen(), Templates.aesWrapping(256));
    signing = client.generateKeyPair(Templates.ecPair(Curve.P256));
    agreement = client.generateKeyPair(Templates.ecdhPair(Curve.P256));
    signature = client.sign(Mechanisms.ecdsaSha256(), signing.privateKey(), message);
    ciphered = client.encrypt(Mechanisms.aesGcm(), aes, message);
    wrapped = client.wrapKey(Mechanisms.aesKeyWrapPad(), kek, travelling);
    digest = client.digest(Mechanisms.sha256(), message);
  }

  /** The next step out of these. */
  Step draw(Set<Step> steps) {
    return Step.drawn(steps, random.nextDouble());
  }

  void run(Step step) {
    switch (step) {
      case GENERATE_AES -> {
        var _ = client.generateKey(Mechanisms.aesKeyGen(), Templates.aes(256));
      }
      case GENERATE_EC -> {
        var _ = client.generateKeyPair(Templates.ecPair(Curve.P256));
      }
      case SIGN -> {
        var made = client.sign(Mechanisms.ecdsaSha256(), signing.privateKey(), message);
        require(made.length == 64, "a signature of " + made.length + " bytes");
      }
      case VERIFY ->
          require(
              client.verify(Mechanisms.ecdsaSha256(), signing.publicKey(), message, signature),
              "a genuine signature did not verify");
      case ENCRYPT -> {
        var made = client.encrypt(Mechanisms.aesGcm(), aes, message);
        require(made.length == ciphered.length, "a ciphertext of " + made.length + " bytes");
      }
      case DECRYPT ->
          require(
              Arrays.equals(message, client.decrypt(Mechanisms.aesGcm(), aes, ciphered)),
              "another plain text");
      case WRAP ->
          require(
              Arrays.equals(wrapped, client.wrapKey(Mechanisms.aesKeyWrapPad(), kek, travelling)),
              "another wrapped key, where RFC 5649 is deterministic");
      case UNWRAP -> {
        var opened =
            client.unwrapKey(Mechanisms.aesKeyWrapPad(), kek, wrapped, Templates.unwrappedAes());
        require(
            Arrays.equals(checkValue(opened), checkValue(travelling)),
            "another check sum of the unwrapped key");
      }
      case DERIVE -> {
        var _ =
            client.deriveKey(
                Mechanisms.ecdh1Derive(agreement.publicKey().subjectPublicKey()),
                agreement.privateKey(),
                Templates.derivedAes(256));
      }
      case DIGEST ->
          require(
              Arrays.equals(digest, client.digest(Mechanisms.sha256(), message)), "another digest");
      case RANDOM ->
          require(client.generateRandom(RANDOM_BYTES).length == RANDOM_BYTES, "not as many");
      case ATTRIBUTES ->
          require(
              client.attributes(aes, Cka.CKA_VALUE_LEN).number(Cka.CKA_VALUE_LEN) == 32,
              "another length of the key");
    }
  }

  private static byte[] checkValue(SecretKeyBlob key) {
    return Arrays.copyOf(key.checkSum(), CHECK_SUM_BYTES);
  }

  private static void require(boolean condition, String otherwise) {
    if (!condition) {
      throw new WrongAnswerException(otherwise);
    }
  }

  /** The gateway answered, and wrongly. */
  static final class WrongAnswerException extends RuntimeException {
    private static final long serialVersionUID = 1;

    WrongAnswerException(String message) {
      super(message);
    }
  }
}
