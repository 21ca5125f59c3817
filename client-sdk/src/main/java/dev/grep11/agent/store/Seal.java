package dev.grep11.agent.store;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.grep11.agent.store.StoreException.Reason;
import java.nio.CharBuffer;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.UUID;
import javax.crypto.AEADBadTagException;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import org.bouncycastle.crypto.generators.SCrypt;
import org.jspecify.annotations.Nullable;

/**
 * What encrypts and authenticates the records of a keystore that the agent keeps itself: a random
 * AES-256-GCM key. Each record is bound to its keystore and its name, so that it cannot take
 * another's place.
 *
 * <p>The key is kept beside the records in an envelope: in clear, or sealed under a key that scrypt
 * makes of the keystore's password. Another password is therefore another envelope, exchanged in
 * one step, and no record is touched.
 */
final class Seal {
  private static final int FORMAT = 1;
  private static final String ENVELOPE = "seal";
  private static final int KEY_BYTES = 32;
  private static final int SALT_BYTES = 16;
  private static final int IV_BYTES = 12;
  private static final int TAG_BITS = 128;
  private static final int OVERHEAD = IV_BYTES + TAG_BITS / 8;

  /** RFC 7914: 64 MiB and about a fifth of a second, once for each start of the agent. */
  private static final int SCRYPT_COST = 1 << 16;

  private static final int SCRYPT_BLOCK = 8;

  private final UUID keystore;
  private final SecretKeySpec key;
  private final SecureRandom random = new SecureRandom();

  private Seal(UUID keystore, byte[] key) {
    this.keystore = keystore;
    this.key = new SecretKeySpec(key, "AES");
  }

  /** For a keystore that is made. */
  static Seal fresh(UUID keystore) {
    return new Seal(keystore, randomBytes(KEY_BYTES));
  }

  /**
   * The seal in an envelope.
   *
   * @param password that of the keystore, or null where it has none
   * @throws StoreException {@link Reason#PASSWORD} when it is another one, {@link Reason#BROKEN}
   *     when this is no envelope
   */
  static Seal in(byte[] envelope, UUID keystore, char @Nullable [] password) {
    boolean inClear = envelope.length == KEY_BYTES;
    if (!inClear && envelope.length != SALT_BYTES + OVERHEAD + KEY_BYTES) {
      throw new StoreException(
          Reason.BROKEN,
          "keystore %s: its seal was cut or changed; restore it from a backup".formatted(keystore));
    }
    if (inClear != (password == null)) {
      throw new StoreException(
          Reason.PASSWORD,
          "keystore %s %s"
              .formatted(
                  keystore,
                  inClear
                      ? "was made without a password; switch sessionauth off"
                      : "has a password; name it in sessionauth"));
    }
    if (password == null) {
      return new Seal(keystore, envelope);
    }
    try {
      return new Seal(
          keystore,
          decrypted(
              passwordKey(password, Arrays.copyOf(envelope, SALT_BYTES)),
              context(keystore, ENVELOPE),
              envelope,
              SALT_BYTES));
    } catch (AEADBadTagException e) {
      throw new StoreException(
          Reason.PASSWORD,
          ("keystore %s: the password of sessionauth is not the one that it has; if it was changed,"
                  + " write the new one to tokenspaceIDPassword and start the agent again")
              .formatted(keystore),
          e);
    }
  }

  /** This seal as {@link #in} takes it. */
  byte[] envelope(char @Nullable [] password) {
    if (password == null) {
      return key.getEncoded();
    }
    byte[] salt = randomBytes(SALT_BYTES);
    byte[] sealed =
        encrypted(passwordKey(password, salt), context(keystore, ENVELOPE), key.getEncoded());
    byte[] envelope = Arrays.copyOf(salt, SALT_BYTES + sealed.length);
    System.arraycopy(sealed, 0, envelope, SALT_BYTES, sealed.length);
    return envelope;
  }

  /**
   * The envelope of a keystore whose password is changed.
   *
   * @param opened as the caller opened it
   * @param present as it is by now
   * @throws StoreException {@link Reason#PASSWORD} when somebody else gave it a third password
   */
  byte[] exchanged(byte[] opened, byte[] present, char[] password) {
    if (Arrays.equals(opened, present)) {
      return envelope(password);
    }
    Seal other;
    try {
      other = in(present, keystore, password);
    } catch (StoreException e) {
      throw e.reason() == Reason.PASSWORD ? passwordChanged() : e;
    }
    if (!MessageDigest.isEqual(key.getEncoded(), other.key.getEncoded())) {
      throw new StoreException(
          Reason.BROKEN,
          "keystore %s was made anew by somebody else; start the agent again".formatted(keystore));
    }
    return present;
  }

  StoreException passwordChanged() {
    return new StoreException(
        Reason.PASSWORD,
        ("keystore %s: its password was changed since this agent opened it; write the new one to"
                + " tokenspaceIDPassword and start the agent again")
            .formatted(keystore));
  }

  byte[] seal(String name, byte[] plain) {
    return encrypted(key, context(keystore, name), plain);
  }

  /**
   * What {@link #seal} was given.
   *
   * @throws StoreException {@link Reason#BROKEN} when it was changed, or sealed elsewhere
   */
  byte[] open(String name, byte[] sealed) {
    try {
      return decrypted(key, context(keystore, name), sealed, 0);
    } catch (AEADBadTagException e) {
      throw new StoreException(
          Reason.BROKEN,
          "keystore %s: %s is not as this keystore wrote it; restore it or delete it"
              .formatted(keystore, name),
          e);
    }
  }

  private byte[] encrypted(SecretKeySpec by, byte[] context, byte[] plain) {
    byte[] iv = new byte[IV_BYTES];
    random.nextBytes(iv);
    try {
      var cipher = Cipher.getInstance("AES/GCM/NoPadding");
      cipher.init(Cipher.ENCRYPT_MODE, by, new GCMParameterSpec(TAG_BITS, iv));
      cipher.updateAAD(context);
      byte[] sealed = Arrays.copyOf(iv, OVERHEAD + plain.length);
      cipher.doFinal(plain, 0, plain.length, sealed, IV_BYTES);
      return sealed;
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }

  private static byte[] decrypted(SecretKeySpec by, byte[] context, byte[] sealed, int from)
      throws AEADBadTagException {
    if (sealed.length - from < OVERHEAD) {
      throw new AEADBadTagException("shorter than any record");
    }
    try {
      var cipher = Cipher.getInstance("AES/GCM/NoPadding");
      cipher.init(Cipher.DECRYPT_MODE, by, new GCMParameterSpec(TAG_BITS, sealed, from, IV_BYTES));
      cipher.updateAAD(context);
      return cipher.doFinal(sealed, from + IV_BYTES, sealed.length - from - IV_BYTES);
    } catch (AEADBadTagException e) {
      throw e;
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }

  private static SecretKeySpec passwordKey(char[] password, byte[] salt) {
    var encoded = UTF_8.encode(CharBuffer.wrap(password));
    byte[] bytes = new byte[encoded.remaining()];
    encoded.get(bytes);
    try {
      return new SecretKeySpec(
          SCrypt.generate(bytes, salt, SCRYPT_COST, SCRYPT_BLOCK, 1, KEY_BYTES), "AES");
    } finally {
      Arrays.fill(bytes, (byte) 0);
      encoded.clear();
      encoded.put(new byte[encoded.remaining()]);
    }
  }

  private static byte[] context(UUID keystore, String name) {
    return ("grep11 keystore " + FORMAT + "\n" + keystore + "\n" + name).getBytes(UTF_8);
  }

  private static byte[] randomBytes(int length) {
    byte[] bytes = new byte[length];
    new SecureRandom().nextBytes(bytes);
    return bytes;
  }

  @Override
  public String toString() {
    return "Seal[" + keystore + "]";
  }
}
