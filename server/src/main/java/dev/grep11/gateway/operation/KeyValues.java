package dev.grep11.gateway.operation;

import static dev.grep11.gateway.pkcs11.Cka.*;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.SecretBuffer;
import dev.grep11.gateway.key.KeySealer;
import dev.grep11.gateway.key.KeySealer.OpenedKey;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;

/**
 * Opens the value of a key into gateway memory, off-heap, for the length of one call. Only
 * functions that the catalog marks W come here, and only when the operator switched
 * softwareFallback on.
 */
final class KeyValues {
  private static final Mechanism MEASURE = Mechanism.of(Ckm.CKM_AES_KEY_WRAP);
  private static final Mechanism WRAP = Mechanism.of(Ckm.CKM_AES_KEY_WRAP_PAD);

  private final Hsm hsm;
  private final KeySealer sealer;
  private final boolean softwareFallback;

  KeyValues(Hsm hsm, KeySealer sealer, boolean softwareFallback) {
    this.hsm = hsm;
    this.sealer = sealer;
    this.softwareFallback = softwareFallback;
  }

  /** A secret key's bytes, a private key's PKCS #8, or the raw value of an Edwards or X key. */
  SecretBuffer open(OpenedKey key) {
    if (sealer.isSealedValue(key)) {
      return sealer.openValue(key);
    }
    var session = hsm.session();
    long object = sealer.export(key);
    try {
      return openObject(object);
    } finally {
      session.destroyObject(object);
    }
  }

  /**
   * The same of an extractable object: wrapped under a passing key, opened under it in the token.
   */
  SecretBuffer openObject(long object) {
    var session = hsm.session();
    long passing = passingKey(CKA_DECRYPT);
    try {
      return session.openKeyWrapPad(passing, session.wrapKey(WRAP, passing, object));
    } finally {
      session.destroyObject(passing);
    }
  }

  /**
   * Length in bytes of an extractable secret key object. SoftHSM says 0 of what it unwrapped; what
   * RFC 3394 makes of it is 8 bytes longer, and refuses what is no multiple of 8.
   */
  long length(long object, long keyType) {
    var session = hsm.session();
    if (!SecretKeys.isDes(keyType)) {
      long told = session.attributes(object, CKA_VALUE_LEN).ulong(CKA_VALUE_LEN).orElseThrow();
      if (told != 0) {
        return told;
      }
    }
    long passing = passingKey(CKA_WRAP);
    try {
      return session.wrapKey(MEASURE, passing, object).length - 8L;
    } catch (Pkcs11Exception e) {
      if (e.retry()) {
        throw e;
      }
    } finally {
      session.destroyObject(passing);
    }
    throw new Pkcs11Exception(
        Ckr.CKR_KEY_SIZE_RANGE,
        "the token does not tell the length of this key; multiples of 8 from 16 bytes are served");
  }

  /** Refuses what the operator did not allow. */
  void requireVisible(String why) {
    if (!softwareFallback) {
      throw new Pkcs11Exception(Ckr.CKR_KEY_SIZE_RANGE, why + "; softwareFallback is off");
    }
  }

  private long passingKey(long usage) {
    return hsm.session()
        .generateKey(
            Mechanism.of(Ckm.CKM_AES_KEY_GEN),
            Template.builder()
                .put(CKA_CLASS, Cko.CKO_SECRET_KEY)
                .put(CKA_KEY_TYPE, Ckk.CKK_AES)
                .put(CKA_VALUE_LEN, 32)
                .put(CKA_TOKEN, false)
                .put(CKA_SENSITIVE, true)
                .put(CKA_EXTRACTABLE, false)
                .put(CKA_WRAP, true)
                .put(usage, true)
                .build());
  }
}
