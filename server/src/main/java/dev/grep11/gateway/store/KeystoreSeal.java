package dev.grep11.gateway.store;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.nio.ByteBuffer;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.UUID;
import javax.crypto.SecretKey;
import javax.crypto.spec.SecretKeySpec;

/**
 * Encryption, look-up hashes and sums of keystores, under keys derived from the store's data key.
 *
 * <p>Clients write these rows at any rate they please, so each is sealed by AES-256-GCM under a key
 * of its own, derived from 16 random bytes: no number of writes reaches the bound on random nonces
 * (NIST SP 800-38D, 8.3). Safe for use by several threads.
 */
final class KeystoreSeal {
  static final int SUM_LENGTH = 32;
  private static final int SALT_LENGTH = 16;

  /** What tells one sealing from every other, at its beginning. */
  static final int MARK_LENGTH = SALT_LENGTH + RowSeal.NONCE_LENGTH;

  private static final int TAG_LENGTH = 16;
  private static final SecureRandom RANDOM = new SecureRandom();

  private final SecretKey rows;
  private final SecretKey lookups;
  private final SecretKey sums;

  /**
   * @param dataKey without the bytes of a restore ({@link RowSeal#dataKey}), which would make other
   *     keys
   */
  KeystoreSeal(byte[] dataKey) {
    if (dataKey.length != RowSeal.DATA_KEY_LENGTH) {
      throw new IllegalArgumentException(
          "the data key has " + dataKey.length + " bytes, not " + RowSeal.DATA_KEY_LENGTH);
    }
    rows = hmacKey(RowSeal.derive(dataKey, "keystore encryption"));
    lookups = hmacKey(RowSeal.derive(dataKey, "keystore look-up"));
    sums = hmacKey(RowSeal.derive(dataKey, "keystore sum"));
  }

  private static SecretKey hmacKey(byte[] key) {
    return new SecretKeySpec(key, "HmacSHA256");
  }

  // ---- Look-up

  byte[] instance(UUID instance) {
    return lookUp("instance", bytes(instance));
  }

  byte[] keystore(UUID instance, UUID id) {
    return lookUp("keystore", bytes(instance), bytes(id));
  }

  byte[] key(byte[] keystore, UUID id) {
    return lookUp("key", keystore, bytes(id));
  }

  byte[] searched(byte[] keystore, Searched by, byte[] value) {
    return tag(lookUp("value", keystore, by.column().getBytes(UTF_8), value));
  }

  /** Of a key that has no such attribute. */
  byte[] absent(byte[] keystore, Searched by) {
    return tag(lookUp("no value", keystore, by.column().getBytes(UTF_8)));
  }

  byte[] transaction(byte[] keystore, UUID transaction) {
    return tag(lookUp("transaction", keystore, bytes(transaction)));
  }

  byte[] generation(UUID instance, String generation) {
    return tag(lookUp("generation", bytes(instance), generation.getBytes(UTF_8)));
  }

  private byte[] lookUp(String purpose, byte[]... parts) {
    return RowSeal.hmac(
        lookups, RowSeal.concatenate(purpose.getBytes(UTF_8), RowSeal.concatenate(parts)));
  }

  private static byte[] tag(byte[] hash) {
    return Arrays.copyOf(hash, TAG_LENGTH);
  }

  /** What a row adds to the sum of its keystore. */
  byte[] element(byte[]... columns) {
    return RowSeal.hmac(sums, RowSeal.concatenate(columns));
  }

  /** Exclusive or, so that adding an element again takes it away. */
  static void add(byte[] sum, byte[] element) {
    for (int i = 0; i < sum.length; i++) {
      sum[i] ^= element[i];
    }
  }

  // ---- Encryption

  byte[] seal(byte[] plaintext, byte[]... associated) {
    byte[] salt = new byte[SALT_LENGTH];
    RANDOM.nextBytes(salt);
    byte[] sealed = RowSeal.seal(key(salt), plaintext, RowSeal.concatenate(associated));
    return ByteBuffer.allocate(SALT_LENGTH + sealed.length).put(salt).put(sealed).array();
  }

  /**
   * @throws StoreTamperedException when it was not sealed with these associated data
   */
  byte[] open(String what, byte[] sealed, byte[]... associated) {
    if (sealed.length < MARK_LENGTH) {
      throw new StoreTamperedException(what + " is cut short");
    }
    return RowSeal.open(
        key(Arrays.copyOf(sealed, SALT_LENGTH)),
        Arrays.copyOfRange(sealed, SALT_LENGTH, sealed.length),
        RowSeal.concatenate(associated),
        what);
  }

  static byte[] mark(byte[] sealed) {
    return Arrays.copyOf(sealed, MARK_LENGTH);
  }

  private SecretKey key(byte[] salt) {
    return new SecretKeySpec(RowSeal.hmac(rows, salt), "AES");
  }

  static byte[] bytes(UUID id) {
    return ByteBuffer.allocate(2 * Long.BYTES)
        .putLong(id.getMostSignificantBits())
        .putLong(id.getLeastSignificantBits())
        .array();
  }
}
