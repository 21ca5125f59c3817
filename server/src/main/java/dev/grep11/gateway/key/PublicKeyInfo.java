package dev.grep11.gateway.key;

import static dev.grep11.gateway.pkcs11.Cka.*;

import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import java.io.IOException;
import java.math.BigInteger;
import java.util.Arrays;
import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.ASN1EncodableVector;
import org.bouncycastle.asn1.ASN1Encoding;
import org.bouncycastle.asn1.ASN1Integer;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.ASN1Primitive;
import org.bouncycastle.asn1.ASN1Sequence;
import org.bouncycastle.asn1.DERNull;
import org.bouncycastle.asn1.DEROctetString;
import org.bouncycastle.asn1.DERSequence;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;

/**
 * A public key, between X.509's SubjectPublicKeyInfo and PKCS #11's attributes. The DER that it
 * writes has the shapes that GREP11 clients parse (semantics section 4): Edwards and X keys as
 * id-ecPublicKey with the curve as parameter, DH as PKCS #3 with exactly two integers.
 */
public sealed interface PublicKeyInfo {

  /** CKK number. */
  long keyType();

  /** The DER of the SubjectPublicKeyInfo. */
  byte[] encoded();

  /** Key size in bits. */
  int bits();

  /** The attributes that make a public key object of it in a token. */
  Template components();

  /** RSA, with modulus and exponent. */
  record Rsa(BigInteger modulus, BigInteger exponent) implements PublicKeyInfo {
    static final int MIN_BITS = 512;
    static final int MAX_BITS = 8192;

    public Rsa {
      // Bounded before use: a verifier's work grows with both. The exponent fits 32 bits.
      if (modulus.bitLength() < MIN_BITS
          || modulus.bitLength() > MAX_BITS
          || !modulus.testBit(0)
          || modulus.signum() < 0) {
        throw new Pkcs11Exception(Ckr.CKR_KEY_SIZE_RANGE, "RSA modulus");
      }
      if (exponent.signum() <= 0
          || exponent.bitLength() > 32
          || !exponent.testBit(0)
          || exponent.equals(BigInteger.ONE)) {
        throw new Pkcs11Exception(Ckr.CKR_ATTRIBUTE_VALUE_INVALID, "RSA public exponent");
      }
    }

    @Override
    public long keyType() {
      return Ckk.CKK_RSA;
    }

    @Override
    public byte[] encoded() {
      return spki(
          new AlgorithmIdentifier(RSA_ENCRYPTION, DERNull.INSTANCE),
          der(sequence(new ASN1Integer(modulus), new ASN1Integer(exponent))));
    }

    @Override
    public int bits() {
      return modulus.bitLength();
    }

    @Override
    public Template components() {
      return publicKey(Ckk.CKK_RSA)
          .put(CKA_MODULUS, unsigned(modulus))
          .put(CKA_PUBLIC_EXPONENT, unsigned(exponent))
          .build();
    }
  }

  /** A key on a named curve: an uncompressed point, or a raw RFC 7748 or RFC 8032 encoding. */
  record Ec(NamedCurve curve, byte[] publicValue) implements PublicKeyInfo {
    public Ec {
      boolean point = curve.form() == NamedCurve.Form.WEIERSTRASS;
      if (publicValue.length != curve.publicLength() || (point && publicValue[0] != 4)) {
        throw new Pkcs11Exception(Ckr.CKR_ATTRIBUTE_VALUE_INVALID, "point of " + curve);
      }
    }

    @Override
    public long keyType() {
      return Ckk.CKK_EC;
    }

    @Override
    public byte[] encoded() {
      return spki(
          new AlgorithmIdentifier(ID_EC_PUBLIC_KEY, new ASN1ObjectIdentifier(curve.oid())),
          publicValue);
    }

    @Override
    public int bits() {
      return curve.bits();
    }

    @Override
    public Template components() {
      return publicKey(nativeKeyType(curve))
          .put(CKA_EC_PARAMS, curve.parameters())
          .put(CKA_EC_POINT, der(new DEROctetString(publicValue)))
          .build();
    }
  }

  /** DSA, FIPS 186-4. */
  record Dsa(BigInteger p, BigInteger q, BigInteger g, BigInteger y) implements PublicKeyInfo {
    public Dsa {
      requireGroup(p, g);
      requireElement(p, y);
      if (q.signum() <= 0
          || q.bitLength() > 256
          || p.subtract(BigInteger.ONE).mod(q).signum() != 0) {
        throw new Pkcs11Exception(Ckr.CKR_DOMAIN_PARAMS_INVALID, "DSA subprime");
      }
    }

    @Override
    public long keyType() {
      return Ckk.CKK_DSA;
    }

    @Override
    public byte[] encoded() {
      return spki(
          new AlgorithmIdentifier(
              ID_DSA, sequence(new ASN1Integer(p), new ASN1Integer(q), new ASN1Integer(g))),
          der(new ASN1Integer(y)));
    }

    @Override
    public int bits() {
      return p.bitLength();
    }

    @Override
    public Template components() {
      return publicKey(Ckk.CKK_DSA)
          .put(CKA_PRIME, unsigned(p))
          .put(CKA_SUBPRIME, unsigned(q))
          .put(CKA_BASE, unsigned(g))
          .put(CKA_VALUE, unsigned(y))
          .build();
    }
  }

  /** Diffie-Hellman, PKCS #3. */
  record Dh(BigInteger p, BigInteger g, BigInteger y) implements PublicKeyInfo {
    public Dh {
      requireGroup(p, g);
      requireElement(p, y);
    }

    @Override
    public long keyType() {
      return Ckk.CKK_DH;
    }

    @Override
    public byte[] encoded() {
      return spki(
          new AlgorithmIdentifier(
              DH_KEY_AGREEMENT, sequence(new ASN1Integer(p), new ASN1Integer(g))),
          der(new ASN1Integer(y)));
    }

    @Override
    public int bits() {
      return p.bitLength();
    }

    @Override
    public Template components() {
      return publicKey(Ckk.CKK_DH)
          .put(CKA_PRIME, unsigned(p))
          .put(CKA_BASE, unsigned(g))
          .put(CKA_VALUE, unsigned(y))
          .build();
    }
  }

  ASN1ObjectIdentifier RSA_ENCRYPTION = new ASN1ObjectIdentifier("1.2.840.113549.1.1.1");
  ASN1ObjectIdentifier ID_EC_PUBLIC_KEY = new ASN1ObjectIdentifier("1.2.840.10045.2.1");
  ASN1ObjectIdentifier ID_DSA = new ASN1ObjectIdentifier("1.2.840.10040.4.1");
  ASN1ObjectIdentifier DH_KEY_AGREEMENT = new ASN1ObjectIdentifier("1.2.840.113549.1.3.1");

  /**
   * The public key of a DER SubjectPublicKeyInfo, in the standard shapes (RFC 3279, RFC 5480, RFC
   * 8410) or in GREP11's.
   *
   * @throws Pkcs11Exception CKR_IBM_BLOB_ERROR when it is none, or what its components violate
   */
  static PublicKeyInfo parse(byte[] der) {
    try {
      var info = SubjectPublicKeyInfo.getInstance(ASN1Primitive.fromByteArray(der));
      if (info == null) {
        throw malformed();
      }
      var algorithm = info.getAlgorithm().getAlgorithm();
      if (algorithm.equals(RSA_ENCRYPTION)) {
        var key = ASN1Sequence.getInstance(info.parsePublicKey());
        requireSize(key, 2);
        return new Rsa(integer(key.getObjectAt(0)), integer(key.getObjectAt(1)));
      }
      if (algorithm.equals(ID_EC_PUBLIC_KEY)) {
        if (!(info.getAlgorithm().getParameters() instanceof ASN1ObjectIdentifier curve)) {
          throw new Pkcs11Exception(Ckr.CKR_CURVE_NOT_SUPPORTED, "curve given by parameters");
        }
        return new Ec(NamedCurve.ofOid(curve.getId()), info.getPublicKeyData().getOctets());
      }
      if (algorithm.equals(ID_DSA)) {
        var group = ASN1Sequence.getInstance(info.getAlgorithm().getParameters());
        requireSize(group, 3);
        return new Dsa(
            integer(group.getObjectAt(0)),
            integer(group.getObjectAt(1)),
            integer(group.getObjectAt(2)),
            integer(info.parsePublicKey()));
      }
      if (algorithm.equals(DH_KEY_AGREEMENT)) {
        var group = ASN1Sequence.getInstance(info.getAlgorithm().getParameters());
        // PKCS #3 allows a third integer, the private value length.
        if (group.size() != 2 && group.size() != 3) {
          throw malformed();
        }
        return new Dh(
            integer(group.getObjectAt(0)),
            integer(group.getObjectAt(1)),
            integer(info.parsePublicKey()));
      }
      // RFC 8410: the algorithm itself is the curve.
      return new Ec(NamedCurve.ofOid(algorithm.getId()), info.getPublicKeyData().getOctets());
    } catch (IOException
        | IllegalArgumentException
        | IllegalStateException
        | ClassCastException
        | NullPointerException e) {
      throw malformed();
    }
  }

  /**
   * CKK number of a curve's keys inside a token, where Edwards and X keys have a type of their own;
   * SoftHSM keeps X keys under the Edwards type.
   */
  static long nativeKeyType(NamedCurve curve) {
    return curve.form() == NamedCurve.Form.WEIERSTRASS ? Ckk.CKK_EC : Ckk.CKK_EC_EDWARDS;
  }

  /** Whether bytes begin as a public key does, with a DER SEQUENCE. */
  static boolean looksLike(byte[] bytes) {
    return bytes.length >= 2 && bytes[0] == 0x30;
  }

  /** Length of the DER object that bytes begin with; what follows is a trailer. */
  static int leadingLength(byte[] bytes) {
    if (!looksLike(bytes)) {
      throw malformed();
    }
    int first = bytes[1] & 0xff;
    int header = 2;
    int length = first;
    if (first >= 0x80) {
      int octets = first & 0x7f;
      if (octets == 0 || octets > 2 || bytes.length < 2 + octets) {
        throw malformed();
      }
      length = 0;
      for (int i = 0; i < octets; i++) {
        length = (length << 8) | (bytes[2 + i] & 0xff);
      }
      header += octets;
      if (length < 0x80 || (octets == 2 && length < 0x100)) {
        throw malformed();
      }
    }
    if (header + length > bytes.length) {
      throw malformed();
    }
    return header + length;
  }

  /** Unsigned big-endian bytes without leading zero, the form of a PKCS #11 big integer. */
  static byte[] unsigned(BigInteger value) {
    var bytes = value.toByteArray();
    return bytes.length > 1 && bytes[0] == 0 ? Arrays.copyOfRange(bytes, 1, bytes.length) : bytes;
  }

  private static Template.Builder publicKey(long keyType) {
    return Template.builder().put(CKA_CLASS, Cko.CKO_PUBLIC_KEY).put(CKA_KEY_TYPE, keyType);
  }

  private static void requireGroup(BigInteger p, BigInteger g) {
    if (p.bitLength() < 1024 || p.bitLength() > 4096 || !p.testBit(0) || p.signum() < 0) {
      throw new Pkcs11Exception(Ckr.CKR_DOMAIN_PARAMS_INVALID, "prime");
    }
    if (g.compareTo(BigInteger.ONE) <= 0 || g.compareTo(p.subtract(BigInteger.ONE)) >= 0) {
      throw new Pkcs11Exception(Ckr.CKR_DOMAIN_PARAMS_INVALID, "generator");
    }
  }

  private static void requireElement(BigInteger p, BigInteger y) {
    if (y.compareTo(BigInteger.ONE) <= 0 || y.compareTo(p.subtract(BigInteger.ONE)) >= 0) {
      throw new Pkcs11Exception(Ckr.CKR_ATTRIBUTE_VALUE_INVALID, "public value");
    }
  }

  private static BigInteger integer(ASN1Encodable value) {
    return ASN1Integer.getInstance(value).getValue();
  }

  private static void requireSize(ASN1Sequence sequence, int size) {
    if (sequence.size() != size) {
      throw malformed();
    }
  }

  private static DERSequence sequence(ASN1Encodable... members) {
    var vector = new ASN1EncodableVector();
    vector.addAll(members);
    return new DERSequence(vector);
  }

  private static byte[] spki(AlgorithmIdentifier algorithm, byte[] publicKey) {
    return der(new SubjectPublicKeyInfo(algorithm, publicKey));
  }

  private static byte[] der(ASN1Encodable value) {
    try {
      return value.toASN1Primitive().getEncoded(ASN1Encoding.DER);
    } catch (IOException e) {
      throw new IllegalStateException("writing to memory", e);
    }
  }

  private static Pkcs11Exception malformed() {
    return new Pkcs11Exception(Ckr.CKR_IBM_BLOB_ERROR, "malformed public key");
  }
}
