package dev.grep11.gateway.operation;

import static dev.grep11.gateway.pkcs11.Cka.*;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.SecretBuffer;
import dev.grep11.gateway.key.KeySealer;
import dev.grep11.gateway.key.KeySealer.OpenedKey;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.Template;

/**
 * Opens the value of a key into gateway memory, off-heap, for the length of one call. Only
 * functions that the catalog marks W come here, and only when the operator switched
 * softwareFallback on.
 */
final class KeyValues {
  private static final Mechanism WRAP = Mechanism.of(Ckm.CKM_AES_KEY_WRAP_PAD);

  private final Hsm hsm;
  private final KeySealer sealer;

  KeyValues(Hsm hsm, KeySealer sealer) {
    this.hsm = hsm;
    this.sealer = sealer;
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
    long passing =
        session.generateKey(
            Mechanism.of(Ckm.CKM_AES_KEY_GEN),
            Template.builder()
                .put(CKA_CLASS, Cko.CKO_SECRET_KEY)
                .put(CKA_KEY_TYPE, Ckk.CKK_AES)
                .put(CKA_VALUE_LEN, 32)
                .put(CKA_TOKEN, false)
                .put(CKA_SENSITIVE, true)
                .put(CKA_EXTRACTABLE, false)
                .put(CKA_WRAP, true)
                .put(CKA_DECRYPT, true)
                .build());
    try {
      return session.openKeyWrapPad(passing, session.wrapKey(WRAP, passing, object));
    } finally {
      session.destroyObject(passing);
    }
  }
}
