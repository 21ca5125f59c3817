package dev.grep11.gateway.operation;

import static dev.grep11.gateway.pkcs11.Cka.CKA_CLASS;
import static dev.grep11.gateway.pkcs11.Cka.CKA_IBM_ATTRBOUND;
import static dev.grep11.gateway.pkcs11.Cka.CKA_IBM_USE_AS_DATA;

import dev.grep11.gateway.key.KeySealer.OpenedKey;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;

/**
 * DigestKey: a secret key's value as data of a digest. Only of keys that say CKA_IBM_USE_AS_DATA
 * and are not attribute-bound, and only where softwareFallback lets the value into gateway memory,
 * which it is in for Final alone: a state carries the blob.
 */
final class DigestedKeys {
  private final KeyAccess access;
  private final KeyValues values;
  private final boolean softwareFallback;

  DigestedKeys(KeyAccess access, KeyValues values, boolean softwareFallback) {
    this.access = access;
    this.values = values;
    this.softwareFallback = softwareFallback;
  }

  /** Refuses what {@link #absorb} would refuse, and opens no value. */
  OpenedKey check(Requester by, byte[] blob) {
    if (!(access.open(by, blob) instanceof OpenedKey key)
        || key.attributes().ulong(CKA_CLASS).orElseThrow() != Cko.CKO_SECRET_KEY) {
      throw new Pkcs11Exception(Ckr.CKR_KEY_INDIGESTIBLE, "only a secret key can be digested");
    }
    if (key.attributes().isTrue(CKA_IBM_ATTRBOUND)) {
      throw new Pkcs11Exception(Ckr.CKR_KEY_INDIGESTIBLE, "the key is attribute-bound");
    }
    if (!key.attributes().isTrue(CKA_IBM_USE_AS_DATA)) {
      throw new Pkcs11Exception(Ckr.CKR_KEY_INDIGESTIBLE, "CKA_IBM_USE_AS_DATA is false");
    }
    if (!softwareFallback) {
      throw new Pkcs11Exception(
          Ckr.CKR_KEY_INDIGESTIBLE, "needs the value of the key, and softwareFallback is off");
    }
    return key;
  }

  void absorb(Requester by, byte[] blob, RunningHash hash) {
    try (var value = values.open(check(by, blob))) {
      hash.update(value.readOnly());
    }
  }
}
