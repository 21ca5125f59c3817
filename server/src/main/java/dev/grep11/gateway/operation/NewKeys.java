package dev.grep11.gateway.operation;

import static dev.grep11.gateway.pkcs11.Cka.*;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.Session;
import dev.grep11.gateway.key.KeySealer;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.pkcs11.Template;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.UUID;

/**
 * The common end of everything that makes a secret key: a passing extractable object in the token
 * is measured, sealed and destroyed.
 */
final class NewKeys {
  private static final int CHECK_VALUE_LENGTH = 3;

  private final Hsm hsm;
  private final KeySealer sealer;
  private final KeyValues values;
  private final Policy policy;

  NewKeys(Hsm hsm, KeySealer sealer, KeyValues values, Policy policy) {
    this.hsm = hsm;
    this.sealer = sealer;
    this.values = values;
    this.policy = policy;
  }

  /**
   * A native template for an object that lives until it is sealed. It can be wrapped, and measured
   * by one encryption; it can do nothing that a client asks for.
   */
  static Template.Builder passing(long objectClass, long keyType) {
    return Template.builder()
        .put(CKA_CLASS, objectClass)
        .put(CKA_KEY_TYPE, keyType)
        .put(CKA_TOKEN, false)
        .put(CKA_SENSITIVE, true)
        .put(CKA_EXTRACTABLE, true);
  }

  static Template.Builder passingSecret(long keyType) {
    return passing(Cko.CKO_SECRET_KEY, keyType).put(CKA_ENCRYPT, true);
  }

  /**
   * Seals a secret key object by its true length and destroys it.
   *
   * @throws Pkcs11Exception CKR_TEMPLATE_INCONSISTENT if the attributes state another length,
   *     CKR_KEY_SIZE_RANGE if the type has no such length
   */
  NewKey secret(UUID instance, long object, Template.Builder attributes, boolean withBits) {
    var session = hsm.session();
    try {
      var soFar = attributes.build();
      long keyType = soFar.ulong(CKA_KEY_TYPE).orElseThrow();
      long length =
          SecretKeys.isDes(keyType) && soFar.isTrue(CKA_LOCAL)
              ? SecretKeys.length(soFar)
              : values.requireLength(object, keyType);
      var stated = soFar.ulong(CKA_VALUE_LEN);
      if (stated.isPresent() && stated.getAsLong() != length) {
        throw new Pkcs11Exception(
            Ckr.CKR_TEMPLATE_INCONSISTENT, "CKA_VALUE_LEN is not the length of the key");
      }
      SecretKeys.requireLength(keyType, length, policy);
      var checkValue = checkValue(session, object, keyType);
      var complete = attributes.put(CKA_VALUE_LEN, length).put(CKA_CHECK_VALUE, checkValue).build();
      var blob =
          length % 8 == 0
              ? sealer.seal(instance, object, complete)
              : sealValue(instance, object, length, complete);
      return new NewKey(blob, withBits ? withBits(checkValue, length * 8) : checkValue, complete);
    } finally {
      session.destroyObject(object);
    }
  }

  /**
   * SoftHSM's key wrap fills a key up with zeros and forgets its length, so that such a key is
   * sealed by value. The row W that this is needs softwareFallback.
   */
  private byte[] sealValue(UUID instance, long object, long length, Template attributes) {
    values.requireVisible(
        "the token wraps no keys of " + length + " bytes, only of multiples of 8");
    try (var value = values.openObject(object)) {
      return sealer.sealValue(instance, value.truncate((int) length), attributes);
    }
  }

  /** A checksum followed by the key's length in bits, 4 bytes big-endian (semantics section 5). */
  static byte[] withBits(byte[] checkValue, long bits) {
    return ByteBuffer.allocate(checkValue.length + Integer.BYTES)
        .put(checkValue)
        .putInt((int) bits)
        .array();
  }

  /**
   * The first three bytes of a zero block under the key; for a generic secret, which has no cipher,
   * what the token has for CKA_CHECK_VALUE (SoftHSM: of its SHA-1), which is stable for a value.
   */
  static byte[] checkValue(Session session, long object, long keyType) {
    if (keyType == Ckk.CKK_GENERIC_SECRET) {
      return session.attributes(object, CKA_CHECK_VALUE).bytes(CKA_CHECK_VALUE).orElseThrow();
    }
    boolean aes = keyType == Ckk.CKK_AES;
    var block = ByteBuffer.allocate(aes ? 16 : 8);
    return Arrays.copyOf(
        session.encrypt(Mechanism.of(aes ? Ckm.CKM_AES_ECB : Ckm.CKM_DES3_ECB), object, block),
        CHECK_VALUE_LENGTH);
  }
}
