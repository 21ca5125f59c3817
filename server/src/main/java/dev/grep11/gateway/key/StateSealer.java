package dev.grep11.gateway.key;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.util.Arrays;
import java.util.UUID;
import javax.crypto.AEADBadTagException;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * Seals running operations for their clients: AES-256-GCM under a key of its own for every state,
 * which the token derives from the instance's root, the header and a salt of 32 bytes. So no nonce
 * can repeat, however many states there are, and a state opens on any replica (security rules 3.1).
 */
public final class StateSealer {
  /** The largest state that a client gets, in bytes. */
  public static final int MAX_LENGTH = 8192;

  private static final int TAG_BITS = 128;
  private static final Mechanism DERIVATION = Mechanism.of(Ckm.CKM_SHA256_HMAC);
  private static final byte[] LABEL = "operation state 1\0".getBytes(StandardCharsets.US_ASCII);
  // Each key seals one state.
  private static final GCMParameterSpec NONCE = new GCMParameterSpec(TAG_BITS, new byte[12]);

  private final Hsm hsm;
  private final Keyring keyring;

  public StateSealer(Hsm hsm, Keyring keyring) {
    this.hsm = hsm;
    this.keyring = keyring;
  }

  /**
   * A state for the client.
   *
   * @param key the blob of the key that acts; empty when there is none
   * @param content what only a gateway may read
   * @throws Pkcs11Exception CKR_STATE_UNSAVEABLE when it exceeds {@link #MAX_LENGTH}
   */
  public byte[] seal(
      UUID instance, CryptoFunction function, long mechanism, byte[] key, byte[] content) {
    if (StateHeader.LENGTH + content.length + TAG_BITS / 8 > MAX_LENGTH) {
      throw new Pkcs11Exception(
          Ckr.CKR_STATE_UNSAVEABLE, "the state of this operation exceeds " + MAX_LENGTH + " bytes");
    }
    var keys = keyring.active(instance);
    var header =
        new StateHeader(
                function,
                instance,
                keys.masterKeyId(),
                mechanism,
                BlobDigest.of(key),
                hsm.session().random(StateHeader.SALT_LENGTH))
            .encoded();
    try {
      var sealed = cipher(Cipher.ENCRYPT_MODE, keys, header).doFinal(content);
      keyring.requireStillOpens(keys);
      var state = Arrays.copyOf(header, header.length + sealed.length);
      System.arraycopy(sealed, 0, state, header.length, sealed.length);
      return state;
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("AES-GCM", e);
    }
  }

  /**
   * The content of a state.
   *
   * @throws Pkcs11Exception CKR_IBM_BLOB_ERROR for what this gateway did not seal for this instance
   *     under a living master key, CKR_SAVED_STATE_INVALID for a state of another function,
   *     CKR_OPERATION_NOT_INITIALIZED for none
   */
  public byte[] open(UUID instance, CryptoFunction function, byte[] state) {
    var header = StateHeader.parse(state);
    if (state.length > MAX_LENGTH) {
      throw new Pkcs11Exception(Ckr.CKR_IBM_BLOB_ERROR, "longer than any state");
    }
    var keys = keys(instance, header);
    byte[] content;
    try {
      content =
          cipher(Cipher.DECRYPT_MODE, keys, Arrays.copyOf(state, StateHeader.LENGTH))
              .doFinal(state, StateHeader.LENGTH, state.length - StateHeader.LENGTH);
    } catch (AEADBadTagException e) {
      throw new Pkcs11Exception(Ckr.CKR_IBM_BLOB_ERROR, "the state was altered");
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("AES-GCM", e);
    }
    if (header.function() != function) {
      Arrays.fill(content, (byte) 0);
      throw new Pkcs11Exception(
          Ckr.CKR_SAVED_STATE_INVALID,
          "the state is of %s, not of %s".formatted(header.function(), function));
    }
    return content;
  }

  private SealingKeys keys(UUID instance, StateHeader header) {
    try {
      return keyring.find(instance, header.instance(), header.masterKeyId());
    } catch (Pkcs11Exception e) {
      if (e.returnValue() == Ckr.CKR_IBM_WKID_MISMATCH) {
        throw e.withReturnValue(Ckr.CKR_IBM_BLOB_ERROR);
      }
      throw e;
    }
  }

  private Cipher cipher(int mode, SealingKeys keys, byte[] header) throws GeneralSecurityException {
    var input = Arrays.copyOf(LABEL, LABEL.length + header.length);
    System.arraycopy(header, 0, input, LABEL.length, header.length);
    var key = hsm.session().sign(DERIVATION, keys.root(), ByteBuffer.wrap(input));
    try {
      var cipher = Cipher.getInstance("AES/GCM/NoPadding");
      cipher.init(mode, new SecretKeySpec(key, "AES"), NONCE);
      cipher.updateAAD(header);
      return cipher;
    } finally {
      Arrays.fill(key, (byte) 0);
    }
  }
}
