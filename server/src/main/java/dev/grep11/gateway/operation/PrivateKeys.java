package dev.grep11.gateway.operation;

import static dev.grep11.gateway.pkcs11.Cka.*;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.SecretBuffer;
import dev.grep11.gateway.key.PublicKeyInfo;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismParameters.Ecdh1Derive;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Optional;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.x9.ECNamedCurveTable;
import org.bouncycastle.crypto.params.Ed25519PrivateKeyParameters;
import org.bouncycastle.crypto.params.Ed448PrivateKeyParameters;
import org.bouncycastle.crypto.params.X25519PrivateKeyParameters;
import org.bouncycastle.crypto.params.X448PrivateKeyParameters;
import org.jspecify.annotations.Nullable;

/**
 * Private keys between PKCS #8 (RFC 5208, RFC 5915, RFC 8017, RFC 8410) and objects of the token.
 * The private components stay off-heap; the one exception is said at its place.
 */
final class PrivateKeys {
  private static final String RSA = "1.2.840.113549.1.1.1";
  private static final String EC = "1.2.840.10045.2.1";
  private static final String DSA = "1.2.840.10040.4.1";
  private static final String DH = "1.2.840.113549.1.3.1";

  private final Hsm hsm;
  private final KeyValues values;

  PrivateKeys(Hsm hsm, KeyValues values) {
    this.hsm = hsm;
    this.values = values;
  }

  /**
   * A private key that came from outside.
   *
   * @param object a passing object in the token, or 0 for a key that the token cannot wrap
   * @param value the value of such a key
   * @param publicKey its public half; null where the token cannot tell (DSA, DH)
   * @param group domain parameters of a DSA or DH key
   */
  record Imported(
      long object,
      @Nullable ByteBuffer value,
      long keyType,
      @Nullable NamedCurve curve,
      @Nullable PublicKeyInfo publicKey,
      @Nullable DomainParameters group) {

    Imported(
        long object,
        @Nullable ByteBuffer value,
        long keyType,
        @Nullable NamedCurve curve,
        PublicKeyInfo publicKey) {
      this(object, value, keyType, curve, publicKey, null);
    }

    static Imported inGroup(long object, long keyType, DomainParameters group) {
      return new Imported(object, null, keyType, null, null, group);
    }
  }

  /** Says in a key's attributes what its public half is. */
  static void describe(Template.Builder attributes, PublicKeyInfo info) {
    attributes.put(CKA_PUBLIC_KEY_INFO, info.encoded());
    switch (info) {
      case PublicKeyInfo.Rsa rsa ->
          attributes
              .put(CKA_MODULUS, PublicKeyInfo.unsigned(rsa.modulus()))
              .put(CKA_PUBLIC_EXPONENT, PublicKeyInfo.unsigned(rsa.exponent()))
              .put(CKA_MODULUS_BITS, rsa.bits());
      case PublicKeyInfo.Ec ec ->
          attributes
              .put(CKA_EC_PARAMS, ec.curve().parameters())
              .put(CKA_EC_POINT, ec.components().bytes(CKA_EC_POINT).orElseThrow());
      case PublicKeyInfo.Dsa ignored -> {}
      case PublicKeyInfo.Dh ignored -> {}
    }
  }

  /** Imports a PKCS #8 PrivateKeyInfo that lies off-heap. */
  Imported fromPkcs8(SecretBuffer pkcs8) {
    var info = new DerReader(pkcs8.readOnly()).sequence();
    info.unsigned();
    var algorithm = info.sequence();
    var oid = oid(algorithm);
    var key = info.take(DerReader.OCTET_STRING);
    return switch (oid) {
      case RSA -> rsa(key);
      case EC -> ec(NamedCurve.ofOid(oid(algorithm)), key);
      case DSA -> dsa(algorithm.sequence(), key);
      case DH -> dh(algorithm.sequence(), key);
      default ->
          montgomeryOrEdwards(
              NamedCurve.ofOid(oid), new DerReader(key).take(DerReader.OCTET_STRING));
    };
  }

  /**
   * The public half of a private key object that is in the token already. An object whose public
   * half cannot be told is destroyed.
   */
  Imported fromToken(long object, long keyType) {
    try {
      return describedByToken(object, keyType);
    } catch (Pkcs11Exception e) {
      hsm.session().destroyObject(object);
      throw e;
    }
  }

  private Imported describedByToken(long object, long keyType) {
    var session = hsm.session();
    if (keyType == Ckk.CKK_RSA) {
      var made = session.attributes(object, CKA_MODULUS, CKA_PUBLIC_EXPONENT);
      return new Imported(
          object,
          null,
          keyType,
          null,
          new PublicKeyInfo.Rsa(
              new BigInteger(1, made.bytes(CKA_MODULUS).orElseThrow()),
              new BigInteger(1, made.bytes(CKA_PUBLIC_EXPONENT).orElseThrow())));
    }
    if (keyType == Ckk.CKK_EC) {
      var curve =
          NamedCurve.ofParameters(
              session.attributes(object, CKA_EC_PARAMS).bytes(CKA_EC_PARAMS).orElseThrow());
      return new Imported(object, null, keyType, curve, publicPoint(object, curve));
    }
    boolean dsa = keyType == Ckk.CKK_DSA;
    var made =
        dsa
            ? session.attributes(object, CKA_PRIME, CKA_SUBPRIME, CKA_BASE)
            : session.attributes(object, CKA_PRIME, CKA_BASE);
    var group =
        new DomainParameters(
            new BigInteger(1, made.bytes(CKA_PRIME).orElseThrow()),
            made.bytes(CKA_SUBPRIME).map(bytes -> new BigInteger(1, bytes)).orElse(null),
            new BigInteger(1, made.bytes(CKA_BASE).orElseThrow()));
    // Whoever knows the wrapping key can have put any group inside.
    return Imported.inGroup(
        object, keyType, DomainParameters.parse(group.encoded(), dsa, 1024, 3072));
  }

  /** PKCS #8 of a raw Edwards or X key, RFC 8410 section 7. */
  static SecretBuffer pkcs8(NamedCurve curve, SecretBuffer raw) {
    var parameters = curve.parameters();
    int length = raw.size();
    int total = 3 + 2 + parameters.length + 4 + length;
    var out = SecretBuffer.allocate(2 + total);
    out.buffer()
        .put((byte) 0x30)
        .put((byte) total)
        .put(new byte[] {2, 1, 0, 0x30, (byte) parameters.length})
        .put(parameters)
        .put(new byte[] {4, (byte) (length + 2), 4, (byte) length})
        .put(raw.readOnly());
    return out;
  }

  private Imported rsa(ByteBuffer key) {
    var fields = new DerReader(key).sequence();
    fields.unsigned();
    var modulus = fields.unsigned();
    var exponent = fields.unsigned();
    var publicKey =
        new PublicKeyInfo.Rsa(
            new BigInteger(1, DerReader.copy(modulus)),
            new BigInteger(1, DerReader.copy(exponent)));
    long object =
        create(
            NewKeys.passing(Cko.CKO_PRIVATE_KEY, Ckk.CKK_RSA)
                .put(CKA_SIGN, true)
                .putOffHeap(CKA_MODULUS, modulus)
                .putOffHeap(CKA_PUBLIC_EXPONENT, exponent)
                .putOffHeap(CKA_PRIVATE_EXPONENT, fields.unsigned())
                .putOffHeap(CKA_PRIME_1, fields.unsigned())
                .putOffHeap(CKA_PRIME_2, fields.unsigned())
                .putOffHeap(CKA_EXPONENT_1, fields.unsigned())
                .putOffHeap(CKA_EXPONENT_2, fields.unsigned())
                .putOffHeap(CKA_COEFFICIENT, fields.unsigned())
                .build());
    requireMatch(object, publicKey, Mechanism.of(Ckm.CKM_RSA_PKCS));
    return new Imported(object, null, Ckk.CKK_RSA, null, publicKey);
  }

  private Imported ec(NamedCurve curve, ByteBuffer key) {
    var outer = new DerReader(key);
    if (curve.form() != NamedCurve.Form.WEIERSTRASS) {
      // Go wraps the raw value in RFC 5915's structure, IBM in an OCTET STRING.
      if (outer.peek() == DerReader.SEQUENCE) {
        var fields = outer.sequence();
        fields.unsigned();
        return montgomeryOrEdwards(curve, fields.take(DerReader.OCTET_STRING));
      }
      return montgomeryOrEdwards(curve, outer.take(DerReader.OCTET_STRING));
    }
    var fields = outer.sequence();
    fields.unsigned();
    var scalar = fields.take(DerReader.OCTET_STRING);
    long object =
        create(
            NewKeys.passing(Cko.CKO_PRIVATE_KEY, Ckk.CKK_EC)
                .put(CKA_SIGN, true)
                .put(CKA_DERIVE, true)
                .put(CKA_EC_PARAMS, curve.parameters())
                .putOffHeap(CKA_VALUE, scalar)
                .build());
    try {
      var publicKey = publicPoint(object, curve);
      if (fields.peek() == DerReader.CONTEXT_0) {
        fields.take(DerReader.CONTEXT_0);
      }
      if (fields.peek() == DerReader.CONTEXT_1) {
        requireSame(publicKey, new DerReader(fields.take(DerReader.CONTEXT_1)).take(0x03));
      }
      return new Imported(object, null, Ckk.CKK_EC, curve, publicKey);
    } catch (Pkcs11Exception e) {
      hsm.session().destroyObject(object);
      throw e;
    }
  }

  private Imported dsa(DerReader group, ByteBuffer key) {
    var p = group.unsigned();
    var q = group.unsigned();
    var g = group.unsigned();
    var parameters = DomainParameters.parse(encode(p, q, g), true, 1024, 3072);
    long object =
        create(
            NewKeys.passing(Cko.CKO_PRIVATE_KEY, Ckk.CKK_DSA)
                .putOffHeap(CKA_PRIME, p)
                .putOffHeap(CKA_SUBPRIME, q)
                .putOffHeap(CKA_BASE, g)
                .putOffHeap(CKA_VALUE, new DerReader(key).unsigned())
                .build());
    return Imported.inGroup(object, Ckk.CKK_DSA, parameters);
  }

  private Imported dh(DerReader group, ByteBuffer key) {
    var p = group.unsigned();
    var g = group.unsigned();
    var parameters = DomainParameters.parse(encode(p, null, g), false, 1024, 3072);
    long object =
        create(
            NewKeys.passing(Cko.CKO_PRIVATE_KEY, Ckk.CKK_DH)
                .putOffHeap(CKA_PRIME, p)
                .putOffHeap(CKA_BASE, g)
                .putOffHeap(CKA_VALUE, new DerReader(key).unsigned())
                .build());
    return Imported.inGroup(object, Ckk.CKK_DH, parameters);
  }

  /** The token cannot compute their public key, so the value is on the heap for that moment. */
  private static Imported montgomeryOrEdwards(NamedCurve curve, ByteBuffer raw) {
    if (raw.remaining() != curve.length()) {
      throw DerReader.malformed();
    }
    var seed = DerReader.copy(raw);
    try {
      var publicValue =
          switch (curve) {
            case ED25519 -> new Ed25519PrivateKeyParameters(seed).generatePublicKey().getEncoded();
            case ED448 -> new Ed448PrivateKeyParameters(seed).generatePublicKey().getEncoded();
            case X25519 -> new X25519PrivateKeyParameters(seed).generatePublicKey().getEncoded();
            case X448 -> new X448PrivateKeyParameters(seed).generatePublicKey().getEncoded();
            default -> throw DerReader.malformed();
          };
      return new Imported(0, raw, Ckk.CKK_EC, curve, new PublicKeyInfo.Ec(curve, publicValue));
    } finally {
      Arrays.fill(seed, (byte) 0);
    }
  }

  /**
   * The public point of a private EC key that may sign and derive, without seeing its scalar: ECDH
   * with the generator gives the x-coordinate, and a signature tells which of the two points it is.
   */
  private PublicKeyInfo publicPoint(long object, NamedCurve curve) {
    var parameters = ECNamedCurveTable.getByOID(new ASN1ObjectIdentifier(curve.oid()));
    var session = hsm.session();
    long shared =
        session.deriveKey(
            new Mechanism(
                Ckm.CKM_ECDH1_DERIVE,
                new Ecdh1Derive(
                    Ecdh1Derive.CKD_NULL, new byte[0], parameters.getG().getEncoded(false))),
            object,
            NewKeys.passing(Cko.CKO_SECRET_KEY, Ckk.CKK_GENERIC_SECRET)
                .put(CKA_VALUE_LEN, curve.length())
                .build());
    byte[] x;
    // The coordinate of a public point is no secret.
    try (var coordinate = values.openObject(shared)) {
      x = DerReader.copy(coordinate.truncate(curve.length()).readOnly());
    } finally {
      session.destroyObject(shared);
    }
    var challenge = session.random(32);
    var signature = session.sign(Mechanism.of(Ckm.CKM_ECDSA), object, ByteBuffer.wrap(challenge));
    for (int sign = 2; sign <= 3; sign++) {
      var compressed = new byte[1 + curve.length()];
      compressed[0] = (byte) sign;
      System.arraycopy(x, 0, compressed, 1 + curve.length() - x.length, x.length);
      var candidate =
          new PublicKeyInfo.Ec(
              curve, parameters.getCurve().decodePoint(compressed).getEncoded(false));
      if (verifies(candidate, Mechanism.of(Ckm.CKM_ECDSA), challenge, signature)) {
        return candidate;
      }
    }
    throw DerReader.malformed();
  }

  private void requireMatch(long object, PublicKeyInfo publicKey, Mechanism mechanism) {
    var session = hsm.session();
    var challenge = session.random(32);
    try {
      if (verifies(
          publicKey,
          mechanism,
          challenge,
          session.sign(mechanism, object, ByteBuffer.wrap(challenge)))) {
        return;
      }
    } catch (Pkcs11Exception e) {
      if (e.retry()) {
        session.destroyObject(object);
        throw e;
      }
      // Components that do not belong together fail in the token's own way.
    }
    session.destroyObject(object);
    throw DerReader.malformed();
  }

  private boolean verifies(
      PublicKeyInfo publicKey, Mechanism mechanism, byte[] data, byte[] signature) {
    var session = hsm.session();
    long object =
        session.createObject(
            publicKey.components().toBuilder()
                .put(CKA_TOKEN, false)
                .put(CKA_PRIVATE, false)
                .put(CKA_VERIFY, true)
                .build());
    try {
      session.verify(mechanism, object, ByteBuffer.wrap(data), signature);
      return true;
    } catch (Pkcs11Exception e) {
      if (e.retry()) {
        throw e;
      }
      return false;
    } finally {
      session.destroyObject(object);
    }
  }

  private long create(Template template) {
    try {
      return hsm.session().createObject(template);
    } catch (Pkcs11Exception e) {
      if (e.retry()) {
        throw e;
      }
      throw DerReader.malformed();
    }
  }

  private static void requireSame(PublicKeyInfo publicKey, ByteBuffer bitString) {
    var claimed = DerReader.copy(bitString);
    boolean same =
        publicKey instanceof PublicKeyInfo.Ec ec
            && claimed.length > 0
            && Arrays.equals(
                claimed, 1, claimed.length, ec.publicValue(), 0, ec.publicValue().length);
    if (!same) {
      throw DerReader.malformed();
    }
  }

  private static byte[] encode(ByteBuffer p, @Nullable ByteBuffer q, ByteBuffer g) {
    return new DomainParameters(
            new BigInteger(1, DerReader.copy(p)),
            Optional.ofNullable(q).map(v -> new BigInteger(1, DerReader.copy(v))).orElse(null),
            new BigInteger(1, DerReader.copy(g)))
        .encoded();
  }

  private static String oid(DerReader in) {
    var content = DerReader.copy(in.take(DerReader.OBJECT_IDENTIFIER));
    var der = new byte[content.length + 2];
    der[0] = DerReader.OBJECT_IDENTIFIER;
    der[1] = (byte) content.length;
    System.arraycopy(content, 0, der, 2, content.length);
    try {
      return ASN1ObjectIdentifier.getInstance(der).getId();
    } catch (IllegalArgumentException e) {
      throw DerReader.malformed();
    }
  }
}
