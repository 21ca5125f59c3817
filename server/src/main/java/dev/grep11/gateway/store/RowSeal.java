package dev.grep11.gateway.store;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.nio.ByteBuffer;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.HexFormat;
import javax.crypto.Cipher;
import javax.crypto.Mac;
import javax.crypto.SecretKey;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * Encryption and authentication of rows and of the head record: AES-256-GCM with a random nonce
 * (NIST SP 800-38D, 8.2.2; far from 2^32 rows), under keys derived from the data key, one per
 * purpose. Safe for use by several threads.
 */
final class RowSeal {
  static final int DATA_KEY_LENGTH = 32;

  /**
   * Random bytes behind the data key of a store that was restored. They go into the key of heads:
   * to a gateway that still runs by the store that was there before, the restored one then is none
   * that a gateway wrote, and it refuses everything until it is restarted. Rows stay as they are.
   */
  static final int RESTORE_LENGTH = 16;

  static final int NONCE_LENGTH = 12;
  private static final int TAG_BITS = 128;
  private static final byte[] ROW_CONTEXT = "grep11-gateway store row v1".getBytes(UTF_8);
  private static final byte[] HEAD_CONTEXT = "grep11-gateway store head v1".getBytes(UTF_8);

  private static final SecureRandom RANDOM = new SecureRandom();

  private final SecretKey rows;
  private final SecretKey heads;
  private final SecretKey lookups;

  /**
   * @param keys the data key; of a store that was restored, and the bytes of that
   */
  RowSeal(byte[] keys) {
    if (keys.length != DATA_KEY_LENGTH && keys.length != DATA_KEY_LENGTH + RESTORE_LENGTH) {
      throw new StoreTamperedException(
          "the data key has " + keys.length + " bytes, not " + DATA_KEY_LENGTH);
    }
    byte[] dataKey = dataKey(keys);
    String restore =
        HexFormat.of()
            .formatHex(keys, DATA_KEY_LENGTH, keys.length)
            .transform(bytes -> bytes.isEmpty() ? "" : " since restore " + bytes);
    // One HMAC block per purpose is HKDF-Expand (RFC 5869, 2.3); the data key is uniform, so
    // nothing needs extracting.
    rows = new SecretKeySpec(derive(dataKey, "row encryption"), "AES");
    heads = new SecretKeySpec(derive(dataKey, "head encryption" + restore), "AES");
    lookups = new SecretKeySpec(derive(dataKey, "row look-up"), "HmacSHA256");
    Arrays.fill(dataKey, (byte) 0);
  }

  /** The data key alone, from which keys of rows are derived. */
  static byte[] dataKey(byte[] keys) {
    return Arrays.copyOf(keys, DATA_KEY_LENGTH);
  }

  /** The same data key for a store that is restored now. */
  static byte[] restored(byte[] keys) {
    byte[] restore = new byte[RESTORE_LENGTH];
    RANDOM.nextBytes(restore);
    return ByteBuffer.allocate(DATA_KEY_LENGTH + RESTORE_LENGTH)
        .put(keys, 0, DATA_KEY_LENGTH)
        .put(restore)
        .array();
  }

  /** The key of a row: says nothing about the record to who does not hold the data key. */
  byte[] rowKey(Table table, byte[] identity) {
    return hmac(lookups, concatenate(table.sqlName().getBytes(UTF_8), identity));
  }

  byte[] sealRow(Table table, byte[] rowKey, long version, byte[] plaintext) {
    return seal(rows, plaintext, rowContext(table, rowKey, version));
  }

  byte[] openRow(Table table, byte[] rowKey, long version, byte[] sealed) {
    return open(
        rows, sealed, rowContext(table, rowKey, version), "a row of table " + table.sqlName());
  }

  byte[] sealHead(long generation, byte[] content) {
    return seal(heads, content, concatenate(HEAD_CONTEXT, number(generation)));
  }

  byte[] openHead(long generation, byte[] sealed) {
    return open(heads, sealed, concatenate(HEAD_CONTEXT, number(generation)), "the head record");
  }

  /** Injective: each part is preceded by its length. */
  static byte[] concatenate(byte[]... parts) {
    int length = Arrays.stream(parts).mapToInt(part -> Integer.BYTES + part.length).sum();
    ByteBuffer out = ByteBuffer.allocate(length);
    for (byte[] part : parts) {
      out.putInt(part.length).put(part);
    }
    return out.array();
  }

  static byte[] number(long value) {
    return ByteBuffer.allocate(Long.BYTES).putLong(value).array();
  }

  private static byte[] rowContext(Table table, byte[] rowKey, long version) {
    return concatenate(ROW_CONTEXT, table.sqlName().getBytes(UTF_8), rowKey, number(version));
  }

  static byte[] seal(SecretKey key, byte[] plaintext, byte[] aad) {
    byte[] nonce = new byte[NONCE_LENGTH];
    RANDOM.nextBytes(nonce);
    try {
      Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
      cipher.init(Cipher.ENCRYPT_MODE, key, new GCMParameterSpec(TAG_BITS, nonce));
      cipher.updateAAD(aad);
      byte[] sealed = Arrays.copyOf(nonce, NONCE_LENGTH + cipher.getOutputSize(plaintext.length));
      cipher.doFinal(plaintext, 0, plaintext.length, sealed, NONCE_LENGTH);
      return sealed;
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("AES-256-GCM is part of every JDK", e);
    }
  }

  static byte[] open(SecretKey key, byte[] sealed, byte[] aad, String what) {
    if (sealed.length < NONCE_LENGTH + TAG_BITS / 8) {
      throw new StoreTamperedException(what + " is cut short");
    }
    try {
      Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
      cipher.init(
          Cipher.DECRYPT_MODE, key, new GCMParameterSpec(TAG_BITS, sealed, 0, NONCE_LENGTH));
      cipher.updateAAD(aad);
      return cipher.doFinal(sealed, NONCE_LENGTH, sealed.length - NONCE_LENGTH);
    } catch (GeneralSecurityException e) {
      throw new StoreTamperedException(what + " was not written by this gateway, or was moved", e);
    }
  }

  static byte[] derive(byte[] dataKey, String purpose) {
    byte[] info = ("grep11-gateway store " + purpose + " v1").getBytes(UTF_8);
    byte[] input = Arrays.copyOf(info, info.length + 1);
    input[info.length] = 1;
    return hmac(new SecretKeySpec(dataKey, "HmacSHA256"), input);
  }

  static byte[] hmac(SecretKey key, byte[] input) {
    try {
      Mac mac = Mac.getInstance("HmacSHA256");
      mac.init(key);
      return mac.doFinal(input);
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("HMAC-SHA256 is part of every JDK", e);
    }
  }
}
