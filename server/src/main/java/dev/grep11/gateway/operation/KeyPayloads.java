package dev.grep11.gateway.operation;

import static dev.grep11.gateway.pkcs11.Cka.*;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.SecretBuffer;
import dev.grep11.gateway.key.KeySealer;
import dev.grep11.gateway.key.KeySealer.OpenedKey;
import dev.grep11.gateway.key.PublicKeyInfo;
import dev.grep11.gateway.operation.AttributeRules.Origin;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * Keys as the data that a cipher wraps, where the token itself does not: opened off-heap on their
 * way out, made and sealed on their way in. Rows W.
 */
final class KeyPayloads {
  private final Hsm hsm;
  private final KeySealer sealer;
  private final KeyValues values;
  private final NewKeys newKeys;
  private final PrivateKeys privateKeys;
  private final AttributeRules rules;

  KeyPayloads(
      Hsm hsm,
      KeySealer sealer,
      KeyValues values,
      NewKeys newKeys,
      PrivateKeys privateKeys,
      AttributeRules rules) {
    this.hsm = hsm;
    this.sealer = sealer;
    this.values = values;
    this.newKeys = newKeys;
    this.privateKeys = privateKeys;
    this.rules = rules;
  }

  /** What stands for a key outside: the bytes of a secret key, PKCS #8 of a private one. */
  SecretBuffer open(OpenedKey key) {
    var value = values.open(key);
    if (isSecret(key.attributes()) || !sealer.isSealedValue(key)) {
      return value;
    }
    try (value) {
      return PrivateKeys.pkcs8(
          NamedCurve.ofParameters(key.attributes().bytes(CKA_EC_PARAMS).orElseThrow()), value);
    }
  }

  /** The key of a payload, sealed with these attributes, which say its class and type. */
  NewKey key(UUID instance, SecretBuffer payload, Template.Builder attributes) {
    var built = attributes.build();
    return isSecret(built)
        ? newKeys.secret(
            instance, create(built.ulong(CKA_KEY_TYPE).orElseThrow(), payload), attributes, true)
        : privateKey(instance, imported(payload), attributes);
  }

  /** One answer whatever the payload lacks: what was inside is not the caller's to learn. */
  private PrivateKeys.Imported imported(SecretBuffer payload) {
    try {
      return privateKeys.fromPkcs8(payload);
    } catch (Pkcs11Exception e) {
      throw e.retry() ? e : DerReader.malformed();
    }
  }

  /** A passing secret key object of a value in gateway memory. */
  long create(long keyType, SecretBuffer value) {
    if (SecretKeys.isDes(keyType)
        && value.size()
            != SecretKeys.length(Template.builder().put(CKA_KEY_TYPE, keyType).build())) {
      throw DerReader.malformed();
    }
    if (keyType == Ckk.CKK_AES && value.size() != 16 && value.size() != 24 && value.size() != 32) {
      throw DerReader.malformed();
    }
    try {
      return hsm.session()
          .createObject(
              NewKeys.passingSecret(keyType).putOffHeap(CKA_VALUE, value.buffer()).build());
    } catch (Pkcs11Exception e) {
      if (e.retry()) {
        throw e;
      }
      throw DerReader.malformed();
    }
  }

  /**
   * A private key that came from outside, its public half in the checksum. Its passing object is
   * destroyed.
   */
  NewKey privateKey(UUID instance, PrivateKeys.Imported imported, Template.Builder attributes) {
    try {
      if (imported.keyType() != attributes.build().ulong(CKA_KEY_TYPE).orElseThrow()) {
        throw new Pkcs11Exception(
            Ckr.CKR_TEMPLATE_INCONSISTENT, "CKA_KEY_TYPE is not the type of the key");
      }
      var info = imported.publicKey();
      if (info != null) {
        PrivateKeys.describe(attributes, info);
      }
      var group = imported.group();
      if (group != null) {
        attributes.put(CKA_IBM_STRUCT_PARAMS, group.encoded());
      }
      var complete = attributes.build();
      byte[] blob;
      var value = imported.value();
      if (value != null) {
        try (var copy = SecretBuffer.allocate(value.remaining())) {
          copy.buffer().put(value.duplicate());
          blob = sealer.sealValue(instance, copy, complete);
        }
      } else {
        blob = sealer.seal(instance, imported.object(), complete);
      }
      return new NewKey(blob, checkSum(instance, info), complete);
    } finally {
      if (imported.object() != 0) {
        hsm.session().destroyObject(imported.object());
      }
    }
  }

  /** The public half under MAC, with the right to verify, and the key's size in bits. */
  private byte[] checkSum(UUID instance, @Nullable PublicKeyInfo info) {
    if (info == null) {
      return new byte[0];
    }
    var curve = info instanceof PublicKeyInfo.Ec ec ? ec.curve() : null;
    var attributes = rules.publicKey(Template.empty(), info.keyType(), curve, Origin.UNWRAPPED);
    attributes.put(CKA_VERIFY, curve == null || curve.form() != NamedCurve.Form.MONTGOMERY);
    PrivateKeys.describe(attributes, info);
    return NewKeys.withBits(sealer.sealPublic(instance, info, attributes.build()), info.bits());
  }

  private static boolean isSecret(Template attributes) {
    return attributes.ulong(CKA_CLASS).orElseThrow() == Cko.CKO_SECRET_KEY;
  }
}
