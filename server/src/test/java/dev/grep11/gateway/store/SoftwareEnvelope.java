package dev.grep11.gateway.store;

import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.util.Arrays;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/** Stands for the store key in the HSM. */
public final class SoftwareEnvelope implements Envelope {
  private final byte[] key = new byte[32];
  private final SecureRandom random = new SecureRandom();

  public SoftwareEnvelope() {
    random.nextBytes(key);
  }

  /** The same key again, as another process has it that uses the same token. */
  public SoftwareEnvelope(byte[] key) {
    System.arraycopy(key, 0, this.key, 0, this.key.length);
  }

  @Override
  public byte[] seal(byte[] plaintext, byte[] aad) {
    byte[] nonce = new byte[12];
    random.nextBytes(nonce);
    byte[] sealed = crypt(Cipher.ENCRYPT_MODE, nonce, plaintext, aad);
    byte[] out = Arrays.copyOf(nonce, nonce.length + sealed.length);
    System.arraycopy(sealed, 0, out, nonce.length, sealed.length);
    return out;
  }

  @Override
  public byte[] open(byte[] sealed, byte[] aad) {
    return crypt(
        Cipher.DECRYPT_MODE,
        Arrays.copyOf(sealed, 12),
        Arrays.copyOfRange(sealed, 12, sealed.length),
        aad);
  }

  private byte[] crypt(int mode, byte[] nonce, byte[] input, byte[] aad) {
    try {
      Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
      cipher.init(mode, new SecretKeySpec(key, "AES"), new GCMParameterSpec(128, nonce));
      cipher.updateAAD(aad);
      return cipher.doFinal(input);
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }
}
