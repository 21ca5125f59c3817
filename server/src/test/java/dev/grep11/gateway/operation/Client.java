package dev.grep11.gateway.operation;

import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.security.PrivateKey;
import java.util.Arrays;
import java.util.UUID;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.jspecify.annotations.Nullable;

/** What a client of one instance asks of the operations, in few words. */
final class Client {
  private static final byte[] NO_BYTES = new byte[0];

  final Operations operations;
  final Requester by;
  private @Nullable NewKey transport;

  Client(Operations operations, UUID instance) {
    this.operations = operations;
    this.by = Core.by(instance);
  }

  /** The same client under another configuration. */
  Client under(Operations other) {
    return new Client(other, by.instance());
  }

  // Templates

  static Template flags(long... flags) {
    var template = Template.builder();
    for (long flag : flags) {
      template.put(flag, true);
    }
    return template.build();
  }

  static Template without(long flag) {
    return Template.builder().put(flag, false).build();
  }

  // Keys

  NewKey generate(long mechanism, Template template) {
    return operations.generateKey(by, Mechanism.of(mechanism), template);
  }

  NewKey aes(int length, Template template) {
    return generate(CKM_AES_KEY_GEN, template.toBuilder().put(CKA_VALUE_LEN, length).build());
  }

  NewKey generic(int length, Template template) {
    return generate(
        CKM_GENERIC_SECRET_KEY_GEN, template.toBuilder().put(CKA_VALUE_LEN, length).build());
  }

  NewKeyPair generatePair(long mechanism, Template publicTemplate, Template privateTemplate) {
    return operations.generateKeyPair(by, Mechanism.of(mechanism), publicTemplate, privateTemplate);
  }

  NewKeyPair rsa(int bits, Template publicTemplate, Template privateTemplate) {
    return generatePair(
        CKM_RSA_PKCS_KEY_PAIR_GEN,
        publicTemplate.toBuilder().put(CKA_MODULUS_BITS, bits).build(),
        privateTemplate);
  }

  NewKeyPair ec(NamedCurve curve, Template publicTemplate, Template privateTemplate) {
    return generatePair(
        CKM_EC_KEY_PAIR_GEN,
        publicTemplate.toBuilder().put(CKA_EC_PARAMS, curve.parameters()).build(),
        privateTemplate);
  }

  /** Over the domain parameters P, Q, G of DSA or P, G of DH. */
  NewKeyPair inGroup(
      long mechanism, byte[] group, Template publicTemplate, Template privateTemplate) {
    return generatePair(
        mechanism,
        publicTemplate.toBuilder().put(CKA_IBM_STRUCT_PARAMS, group).build(),
        privateTemplate);
  }

  // Use

  byte[] encrypt(Mechanism mechanism, byte[] key, byte[] plain) {
    try (var memory = new CallMemory()) {
      return bytes(operations.encryptSingle(by, mechanism, key, ByteBuffer.wrap(plain), memory));
    }
  }

  byte[] decrypt(Mechanism mechanism, byte[] key, byte[] ciphered) {
    try (var memory = new CallMemory()) {
      return bytes(operations.decryptSingle(by, mechanism, key, ByteBuffer.wrap(ciphered), memory));
    }
  }

  /** A copy, since what lies in the memory of a call ends with it. */
  private static byte[] bytes(ByteBuffer result) {
    var copy = new byte[result.remaining()];
    result.get(copy);
    return copy;
  }

  byte[] sign(Mechanism mechanism, byte[] key, byte[] data) {
    return operations.signSingle(by, mechanism, key, ByteBuffer.wrap(data));
  }

  void verify(Mechanism mechanism, byte[] key, byte[] data, byte[] signature) {
    operations.verifySingle(by, mechanism, key, ByteBuffer.wrap(data), signature);
  }

  byte[] digest(long mechanism, byte[] data) {
    return operations.digestSingle(Mechanism.of(mechanism), ByteBuffer.wrap(data));
  }

  byte[] wrap(Mechanism mechanism, byte[] key, byte[] kek) {
    return operations.wrapKey(by, mechanism, key, kek, NO_BYTES);
  }

  NewKey unwrap(Mechanism mechanism, byte[] wrapped, byte[] kek, Template template) {
    return operations.unwrapKey(by, mechanism, wrapped, kek, NO_BYTES, template);
  }

  byte[] wrapBound(byte[] key, byte[] kek, byte[] macKey) {
    return operations.wrapKey(by, Mechanism.of(CKM_IBM_ATTRIBUTEBOUND_WRAP), key, kek, macKey);
  }

  NewKey unwrapBound(byte[] wrapped, byte[] kek, byte[] macKey, Template template) {
    return operations.unwrapKey(
        by, Mechanism.of(CKM_IBM_ATTRIBUTEBOUND_WRAP), wrapped, kek, macKey, template);
  }

  NewKey derive(Mechanism mechanism, byte[] baseKey, Template template) {
    return operations.deriveKey(by, mechanism, baseKey, NO_BYTES, template);
  }

  // In and out by value, as the published examples do it: CBC_PAD under a key that does everything.

  private byte[] transport() {
    var key = transport;
    if (key == null) {
      key = aes(32, flags(CKA_WRAP, CKA_UNWRAP, CKA_ENCRYPT, CKA_DECRYPT));
      transport = key;
    }
    return key.blob();
  }

  private static Mechanism transportMechanism() {
    return Mechanism.of(CKM_AES_CBC_PAD, new byte[16]);
  }

  NewKey importSecret(long keyType, byte[] value, Template template) {
    return unwrap(
        transportMechanism(),
        encrypt(transportMechanism(), transport(), value),
        transport(),
        template.toBuilder().put(CKA_CLASS, Cko.CKO_SECRET_KEY).put(CKA_KEY_TYPE, keyType).build());
  }

  NewKey importPrivate(long keyType, byte[] pkcs8, Template template) {
    return unwrap(
        transportMechanism(),
        encrypt(transportMechanism(), transport(), pkcs8),
        transport(),
        template.toBuilder()
            .put(CKA_CLASS, Cko.CKO_PRIVATE_KEY)
            .put(CKA_KEY_TYPE, keyType)
            .build());
  }

  NewKey importPrivate(long keyType, PrivateKey key, Template template) {
    return importPrivate(keyType, key.getEncoded(), template);
  }

  NewKey importPublic(byte[] spki, Template template) {
    return unwrap(Mechanism.of(CKM_IBM_TRANSPORTKEY), spki, NO_BYTES, template);
  }

  /** The value of an extractable secret key, PKCS #8 of a private one. */
  byte[] export(byte[] key) {
    return decrypt(transportMechanism(), transport(), wrap(transportMechanism(), key, transport()));
  }

  // Public halves

  static byte[] spki(NewKey key) {
    return key.attributes().bytes(CKA_PUBLIC_KEY_INFO).orElseThrow();
  }

  static byte[] spki(NewKeyPair pair) {
    return spki(pair.publicKey());
  }

  // Expectations

  /** The call is refused with exactly this return value. */
  static void assertRefused(long returnValue, ThrowingCallable call) {
    var refusal = org.assertj.core.api.Assertions.catchThrowableOfType(Pkcs11Exception.class, call);
    assertThat(refusal).as("expected %s", Ckr.name(returnValue)).isNotNull();
    assertThat(Ckr.name(refusal.returnValue()))
        .as(refusal.detail())
        .isEqualTo(Ckr.name(returnValue));
  }

  /** The call is refused with one of these return values. */
  static void assertRefusedWithOneOf(ThrowingCallable call, long... returnValues) {
    var refusal = org.assertj.core.api.Assertions.catchThrowableOfType(Pkcs11Exception.class, call);
    assertThat(refusal).as("expected a refusal").isNotNull();
    assertThat(Ckr.name(refusal.returnValue()))
        .as(refusal.detail())
        .isIn(Arrays.stream(returnValues).mapToObj(Ckr::name).toList());
  }

  static byte[] flipped(byte[] bytes, int bit) {
    var copy = bytes.clone();
    copy[bit / 8] ^= (byte) (1 << (bit % 8));
    return copy;
  }

  static byte[] concat(byte[]... parts) {
    int length = 0;
    for (var part : parts) {
      length += part.length;
    }
    var all = ByteBuffer.allocate(length);
    for (var part : parts) {
      all.put(part);
    }
    return all.array();
  }

  /** DER SEQUENCE of integers, the form of domain parameters. */
  static byte[] group(BigInteger... members) {
    var vector = new org.bouncycastle.asn1.ASN1EncodableVector();
    for (var member : members) {
      vector.add(new org.bouncycastle.asn1.ASN1Integer(member));
    }
    try {
      return new org.bouncycastle.asn1.DERSequence(vector).getEncoded("DER");
    } catch (java.io.IOException e) {
      throw new IllegalStateException(e);
    }
  }

  /** AES-128 or another type, for whoever only needs some secret key. */
  static Template aesTemplate(int length, long... flags) {
    return flags(flags).toBuilder()
        .put(CKA_KEY_TYPE, Ckk.CKK_AES)
        .put(CKA_VALUE_LEN, length)
        .build();
  }
}
