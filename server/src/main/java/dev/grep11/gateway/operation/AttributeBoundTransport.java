package dev.grep11.gateway.operation;

import static dev.grep11.gateway.pkcs11.Cka.*;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.SecretBuffer;
import dev.grep11.gateway.key.AttributeBoundKey;
import dev.grep11.gateway.key.AttributeBoundKey.WrappingKey;
import dev.grep11.gateway.key.KeyForm;
import dev.grep11.gateway.key.KeySealer.OpenedKey;
import dev.grep11.gateway.key.WorkingKey;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Hash;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesGcm;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaOaep;
import dev.grep11.gateway.pkcs11.MechanismRow;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Arrays;

/**
 * CKM_IBM_ATTRIBUTEBOUND_WRAP: a key travels with its attributes, so that whoever unwraps it gets
 * no more rights than it had. Key, wrapping key and MAC key are CKA_IBM_ATTRBOUND, all three. The
 * wrapping key and the MAC are the token's and the gateway's; the key's value is in gateway memory
 * (row W). Format: docs/key-blob.md.
 */
final class AttributeBoundTransport {
  /**
   * A data key encrypts one message, so its IV need not differ from anything (NIST SP 800-38D,
   * 8.2).
   */
  private static final Mechanism PAYLOAD =
      new Mechanism(Ckm.CKM_AES_GCM, new AesGcm(new byte[12], new byte[0], 128));

  private static final int DATA_KEY_LENGTH = 32;

  /** RFC 5649, 4.1. */
  private static final int WRAPPED_DATA_KEY_LENGTH = DATA_KEY_LENGTH + 8;

  private static final int TAG_LENGTH = 16;
  private static final String MAC_SALT = "grep11-gateway attribute-bound wrap 1";
  private static final RsaOaep OAEP =
      new RsaOaep(Hash.SHA_1.mechanism(), Hash.SHA_1.mgf(), new byte[0]);

  private final Hsm hsm;
  private final KeyAccess access;
  private final KeyValues values;
  private final KeyPayloads payloads;
  private final AttributeRules rules;

  AttributeBoundTransport(
      Hsm hsm, KeyAccess access, KeyValues values, KeyPayloads payloads, AttributeRules rules) {
    this.hsm = hsm;
    this.access = access;
    this.values = values;
    this.payloads = payloads;
    this.rules = rules;
  }

  byte[] wrap(
      Requester by,
      MechanismRow row,
      Mechanism mechanism,
      byte[] blob,
      byte[] kekBlob,
      byte[] macKeyBlob) {
    Parameters.requireNone(mechanism);
    var kind = kind(by, row, kekBlob, KeyRole.WRAPPING_KEY);
    long kekClass = kind == WrappingKey.RSA ? Cko.CKO_PUBLIC_KEY : Cko.CKO_SECRET_KEY;
    try (var kek =
        access.borrow(by, kekBlob, row, kekClass, CKA_WRAP, KeyRole.WRAPPING_KEY, KeyForm.USE)) {
      if (kind == WrappingKey.RSA
          && RsaPadding.oaepLimit(Ciphers.modulusLength(kek), OAEP) < DATA_KEY_LENGTH) {
        throw new Pkcs11Exception(
            Ckr.CKR_WRAPPING_KEY_SIZE_RANGE, "the modulus has no room for a data key");
      }
      var macKey = access.openMacKey(by, macKeyBlob);
      var key = access.openForBoundWrapping(by, blob, kek.attributes());
      var unsigned = encrypted(kind, kek, key);
      return unsigned.withMac(mac(macKey, unsigned)).encoded();
    }
  }

  private AttributeBoundKey encrypted(WrappingKey kind, WorkingKey kek, OpenedKey key) {
    var session = hsm.session();
    long dataKey =
        session.generateKey(
            Mechanism.of(Ckm.CKM_AES_KEY_GEN),
            passingDataKey()
                .put(CKA_VALUE_LEN, DATA_KEY_LENGTH)
                .put(CKA_EXTRACTABLE, true)
                .put(CKA_ENCRYPT, true)
                .build());
    try (var payload = payloads.open(key)) {
      var wrapped = session.wrapKey(transport(kind), kek.handle(), dataKey);
      requireWhole(
          wrapped, kind == WrappingKey.RSA ? Ciphers.modulusLength(kek) : WRAPPED_DATA_KEY_LENGTH);
      var encrypted = session.encryptSecret(PAYLOAD, dataKey, payload);
      requireWhole(encrypted, payload.size() + TAG_LENGTH);
      return new AttributeBoundKey(
          kind, AttributeRules.bound(key.attributes()), wrapped, encrypted);
    } finally {
      session.destroyObject(dataKey);
    }
  }

  /** Under the MAC, a part would be a key that is lost when it arrives. */
  private static void requireWhole(byte[] made, int length) {
    if (made.length != length) {
      throw new Pkcs11Exception(Ckr.CKR_DEVICE_ERROR, "the token wrapped a part of the key");
    }
  }

  NewKey unwrap(
      Requester by,
      MechanismRow row,
      Mechanism mechanism,
      byte[] wrapped,
      byte[] kekBlob,
      byte[] macKeyBlob,
      Template template) {
    Parameters.requireNone(mechanism);
    var kind = kind(by, row, kekBlob, KeyRole.UNWRAPPING_KEY);
    long kekClass = kind == WrappingKey.RSA ? Cko.CKO_PRIVATE_KEY : Cko.CKO_SECRET_KEY;
    try (var kek =
        access.borrow(
            by, kekBlob, row, kekClass, CKA_UNWRAP, KeyRole.UNWRAPPING_KEY, KeyForm.USE)) {
      var macKey = access.openMacKey(by, macKeyBlob);
      var bound = AttributeBoundKey.parse(wrapped);
      // The MAC before anything is decrypted: no answer after it depends on what a stranger made.
      if (!MessageDigest.isEqual(mac(macKey, bound), bound.mac()) || bound.wrappingKey() != kind) {
        throw DerReader.malformed();
      }
      var attributes = rules.unbound(bound.attributes(), template);
      return decrypted(by, kek, bound, attributes);
    }
  }

  private NewKey decrypted(
      Requester by, WorkingKey kek, AttributeBoundKey bound, Template.Builder attributes) {
    var session = hsm.session();
    long dataKey = 0;
    try {
      dataKey =
          session.unwrapKey(
              transport(bound.wrappingKey()),
              kek.handle(),
              bound.dataKey(),
              passingDataKey().put(CKA_EXTRACTABLE, false).put(CKA_DECRYPT, true).build());
      try (var payload = session.decryptSecret(PAYLOAD, dataKey, ByteBuffer.wrap(bound.key()))) {
        return payloads.key(by.instance(), payload, attributes);
      }
    } catch (Pkcs11Exception e) {
      // A wrapping key that this payload is not for fails in the token's own way.
      throw e.retry() || dataKey != 0 ? e : DerReader.malformed();
    } finally {
      if (dataKey != 0) {
        session.destroyObject(dataKey);
      }
    }
  }

  /**
   * HMAC-SHA256 under HKDF-SHA256 of the client's MAC key (RFC 5869, one block, without info). The
   * extraction takes the key as its message: no HMAC under the key itself is this MAC, and the hash
   * of a key longer than a block, which HMAC takes for that key, is of no use.
   */
  private byte[] mac(OpenedKey macKey, AttributeBoundKey bound) {
    try (var value = values.open(macKey);
        var salt = moved(MAC_SALT.getBytes(StandardCharsets.US_ASCII));
        var extracted = moved(SoftwareHmac.of(Hash.SHA256, salt, value.readOnly()));
        var expanded =
            moved(SoftwareHmac.of(Hash.SHA256, extracted, ByteBuffer.wrap(new byte[] {1})))) {
      return SoftwareHmac.of(Hash.SHA256, expanded, ByteBuffer.wrap(bound.macInput()));
    }
  }

  /** The bytes off-heap, wiped where they were. */
  private static SecretBuffer moved(byte[] bytes) {
    var secret = SecretBuffer.allocate(bytes.length);
    secret.buffer().put(bytes);
    Arrays.fill(bytes, (byte) 0);
    return secret;
  }

  private WrappingKey kind(Requester by, MechanismRow row, byte[] kekBlob, KeyRole role) {
    long keyType = access.keyType(by, kekBlob, role);
    if (!row.keyTypes().contains(keyType)) {
      throw new Pkcs11Exception(role.wrongType(), role + " is neither RSA nor AES");
    }
    return keyType == Ckk.CKK_RSA ? WrappingKey.RSA : WrappingKey.AES;
  }

  private static Mechanism transport(WrappingKey kind) {
    return switch (kind) {
      case RSA -> new Mechanism(Ckm.CKM_RSA_PKCS_OAEP, OAEP);
      case AES -> Mechanism.of(Ckm.CKM_AES_KEY_WRAP_PAD);
    };
  }

  private static Template.Builder passingDataKey() {
    return Template.builder()
        .put(CKA_CLASS, Cko.CKO_SECRET_KEY)
        .put(CKA_KEY_TYPE, Ckk.CKK_AES)
        .put(CKA_TOKEN, false)
        .put(CKA_SENSITIVE, true);
  }
}
