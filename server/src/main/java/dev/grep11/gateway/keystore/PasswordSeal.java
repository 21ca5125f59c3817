package dev.grep11.gateway.keystore;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.store.KeystoreRecord;
import dev.grep11.gateway.store.Searched;
import java.nio.ByteBuffer;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.UUID;
import javax.crypto.Cipher;
import javax.crypto.Mac;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * The second seal around what a keystore with a password holds: AES-256-GCM under the keystore's
 * own key, which only its password opens. One per call; {@link #close} wipes the key.
 */
final class PasswordSeal implements AutoCloseable {
  static final int KEY_LENGTH = 32;
  private static final int SALT_LENGTH = 16;
  private static final int NONCE_LENGTH = 12;
  private static final int TAG_BITS = 128;
  private static final SecureRandom RANDOM = new SecureRandom();

  private final byte[] key;

  /**
   * @param key handed over
   */
  PasswordSeal(byte[] key) {
    this.key = key;
  }

  byte[] seal(KeystoreRecord keystore, UUID id, long version, byte[] content) {
    var head = new byte[SALT_LENGTH + NONCE_LENGTH];
    RANDOM.nextBytes(head);
    var sealed = gcm(Cipher.ENCRYPT_MODE, head, context(keystore, id, version), content, 0);
    return ByteBuffer.allocate(head.length + sealed.length).put(head).put(sealed).array();
  }

  byte[] open(KeystoreRecord keystore, UUID id, long version, byte[] sealed) {
    var head = Arrays.copyOf(sealed, SALT_LENGTH + NONCE_LENGTH);
    return gcm(Cipher.DECRYPT_MODE, head, context(keystore, id, version), sealed, head.length);
  }

  /** What a value is searched by, so that the store's own keys do not tell it either. */
  byte[] searched(Searched by, byte[] value) {
    return hmac(key, ("searched " + by.name() + "\0").getBytes(UTF_8), value);
  }

  private byte[] gcm(int mode, byte[] head, byte[] context, byte[] input, int from) {
    // A key for each sealing, as for the row around it: any number of updates is safe.
    var fresh = hmac(key, "sealed\0".getBytes(UTF_8), Arrays.copyOf(head, SALT_LENGTH));
    try {
      var cipher = Cipher.getInstance("AES/GCM/NoPadding");
      cipher.init(
          mode,
          new SecretKeySpec(fresh, "AES"),
          new GCMParameterSpec(TAG_BITS, head, SALT_LENGTH, NONCE_LENGTH));
      cipher.updateAAD(context);
      return cipher.doFinal(input, from, input.length - from);
    } catch (GeneralSecurityException e) {
      // The password opened the keystore's key, and the row is the store's: these do not belong
      // together.
      throw new Pkcs11Exception(
          Ckr.CKR_IBM_GREP11_DBINTERNAL, "a key that was not stored with this password", e);
    } finally {
      Arrays.fill(fresh, (byte) 0);
    }
  }

  private static byte[] context(KeystoreRecord keystore, UUID id, long version) {
    return ByteBuffer.allocate(keystore.origin().length + 3 * Long.BYTES)
        .put(keystore.origin())
        .putLong(id.getMostSignificantBits())
        .putLong(id.getLeastSignificantBits())
        .putLong(version)
        .array();
  }

  static byte[] hmac(byte[] key, byte[]... parts) {
    try {
      var mac = Mac.getInstance("HmacSHA256");
      mac.init(new SecretKeySpec(key, "HmacSHA256"));
      for (var part : parts) {
        mac.update(part);
      }
      return mac.doFinal();
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("HMAC-SHA256 is part of every JDK", e);
    }
  }

  @Override
  public void close() {
    Arrays.fill(key, (byte) 0);
  }
}
