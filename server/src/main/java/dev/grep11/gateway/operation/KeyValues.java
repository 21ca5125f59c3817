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
import java.util.Arrays;
import java.util.OptionalLong;

/**
 * Opens the value of a key into gateway memory, off-heap, for the length of one call. Only
 * functions that the catalog marks W come here, and only when the operator switched
 * softwareFallback on; and the search for a public point, whose coordinate is no secret.
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
    long object = sealer.export(key);
    try {
      return withoutPadding(key, openObject(object));
    } finally {
      hsm.session().destroyObject(object);
    }
  }

  /**
   * The value of an extractable object, perhaps with zeros up to a multiple of 8: wrapped under a
   * passing key, opened under it in the token.
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
   * SoftHSM 2.6.1 appends zeros up to a multiple of 8 bytes before it wraps by RFC 5649, and states
   * that as the length; the blob, or the DER itself, says where the value ends.
   */
  private static SecretBuffer withoutPadding(OpenedKey key, SecretBuffer value) {
    try {
      var bytes = value.readOnly();
      boolean secret = key.attributes().ulong(CKA_CLASS).orElseThrow() == Cko.CKO_SECRET_KEY;
      int length =
          secret
              ? (int) SecretKeys.length(key.attributes())
              : DerReader.totalLength(bytes, DerReader.SEQUENCE);
      int beyond = 0;
      for (int i = length; i < bytes.remaining(); i++) {
        beyond |= bytes.get(i);
      }
      if (length > bytes.remaining() || bytes.remaining() - length > 7 || beyond != 0) {
        throw new Pkcs11Exception(Ckr.CKR_IBM_BLOB_ERROR, "length of the sealed key");
      }
      return value.truncate(length);
    } catch (Pkcs11Exception e) {
      value.close();
      throw e;
    }
  }

  /**
   * Length in bytes of an extractable secret key object, empty where it cannot be known inside the
   * token. SoftHSM says 0 of what it unwrapped; what RFC 3394 makes of it is 8 bytes longer. Where
   * that appended zeros, the key that comes back has another check value.
   */
  OptionalLong length(long object, long keyType) {
    var session = hsm.session();
    if (!SecretKeys.isDes(keyType)) {
      long told = session.attributes(object, CKA_VALUE_LEN).ulong(CKA_VALUE_LEN).orElseThrow();
      if (told != 0) {
        return OptionalLong.of(told);
      }
    }
    long passing = passingKey(CKA_UNWRAP);
    long again = 0;
    try {
      var wrapped = session.wrapKey(MEASURE, passing, object);
      again = session.unwrapKey(MEASURE, passing, wrapped, NewKeys.passingSecret(keyType).build());
      var checkValue = NewKeys.checkValue(session, object, keyType);
      // Of a generic secret that it unwrapped SoftHSM has no check value either.
      boolean same =
          checkValue.length > 0
              && Arrays.equals(checkValue, NewKeys.checkValue(session, again, keyType));
      return same ? OptionalLong.of(wrapped.length - 8L) : OptionalLong.empty();
    } catch (Pkcs11Exception e) {
      if (e.retry()) {
        throw e;
      }
      return OptionalLong.empty();
    } finally {
      if (again != 0) {
        session.destroyObject(again);
      }
      session.destroyObject(passing);
    }
  }

  /** Refuses what the operator did not allow. */
  void requireVisible(String why) {
    if (!softwareFallback) {
      throw new Pkcs11Exception(Ckr.CKR_KEY_SIZE_RANGE, why + "; softwareFallback is off");
    }
  }

  /** The same where the length must be known. */
  long requireLength(long object, long keyType) {
    return length(object, keyType)
        .orElseThrow(() ->
            new Pkcs11Exception(
                Ckr.CKR_KEY_SIZE_RANGE,
                "the token tells neither length nor check value of this key, which"
                    + " softwareFallback would find"));
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
