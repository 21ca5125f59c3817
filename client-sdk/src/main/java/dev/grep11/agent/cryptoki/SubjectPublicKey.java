package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Cka.CKA_BASE;
import static dev.grep11.client.Cka.CKA_EC_PARAMS;
import static dev.grep11.client.Cka.CKA_EC_POINT;
import static dev.grep11.client.Cka.CKA_MODULUS;
import static dev.grep11.client.Cka.CKA_MODULUS_BITS;
import static dev.grep11.client.Cka.CKA_PRIME;
import static dev.grep11.client.Cka.CKA_PUBLIC_EXPONENT;
import static dev.grep11.client.Cka.CKA_PUBLIC_KEY_INFO;
import static dev.grep11.client.Cka.CKA_SUBPRIME;
import static dev.grep11.client.Cka.CKA_VALUE;
import static dev.grep11.client.Ckr.CKR_ATTRIBUTE_VALUE_INVALID;
import static dev.grep11.client.Ckr.CKR_TEMPLATE_INCOMPLETE;

import dev.grep11.agent.store.Attributes;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigInteger;
import java.util.Arrays;
import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.ASN1Encoding;
import org.bouncycastle.asn1.ASN1InputStream;
import org.bouncycastle.asn1.ASN1Integer;
import org.bouncycastle.asn1.ASN1OctetString;
import org.bouncycastle.asn1.ASN1Primitive;
import org.bouncycastle.asn1.ASN1Sequence;
import org.bouncycastle.asn1.DERNull;
import org.bouncycastle.asn1.DEROctetString;
import org.bouncycastle.asn1.DERSequence;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.RSAPublicKey;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.asn1.x9.X9ObjectIdentifiers;

/**
 * The public half of a key as PKCS #11 attributes, from the SubjectPublicKeyInfo (RFC 5280, 4.1)
 * that a gateway's public key blob begins with, and back.
 */
final class SubjectPublicKey {
  /** Bytes of one number or structure. An RSA modulus of 16,384 bits has 2,048. */
  private static final int LONGEST = 4096;

  /**
   * The attributes that follow from the key itself; of an algorithm that has none here,
   * CKA_PUBLIC_KEY_INFO alone.
   *
   * @param blob begins with the SubjectPublicKeyInfo
   * @throws IllegalArgumentException when it does not
   */
  static Attributes attributes(byte[] blob) {
    var rest = new ByteArrayInputStream(blob);
    try (var in = new ASN1InputStream(rest, blob.length)) {
      var key = SubjectPublicKeyInfo.getInstance(in.readObject());
      if (key == null) {
        throw new IllegalArgumentException("no SubjectPublicKeyInfo");
      }
      var attributes =
          Attributes.empty()
              .with(CKA_PUBLIC_KEY_INFO, Arrays.copyOf(blob, blob.length - rest.available()));
      return attributes.with(ofAlgorithm(key));
    } catch (IOException | IllegalStateException e) {
      throw new IllegalArgumentException("no SubjectPublicKeyInfo", e);
    }
  }

  private static Attributes ofAlgorithm(SubjectPublicKeyInfo key) throws IOException {
    var algorithm = key.getAlgorithm().getAlgorithm();
    var parameters = key.getAlgorithm().getParameters();
    if (algorithm.equals(PKCSObjectIdentifiers.rsaEncryption)) {
      var rsa = RSAPublicKey.getInstance(key.parsePublicKey());
      return Attributes.empty()
          .with(CKA_MODULUS, unsigned(rsa.getModulus()))
          .with(CKA_PUBLIC_EXPONENT, unsigned(rsa.getPublicExponent()))
          .with(CKA_MODULUS_BITS, (long) rsa.getModulus().bitLength());
    }
    if (algorithm.equals(X9ObjectIdentifiers.id_ecPublicKey)) {
      byte[] point = key.getPublicKeyData().getOctets();
      return Attributes.empty()
          .with(CKA_EC_PARAMS, der(parameters))
          .with(CKA_EC_POINT, der(new DEROctetString(point)));
    }
    if (algorithm.equals(X9ObjectIdentifiers.id_dsa)) {
      return discrete(parameters, true).with(CKA_VALUE, value(key));
    }
    if (algorithm.equals(PKCSObjectIdentifiers.dhKeyAgreement)) {
      return discrete(parameters, false).with(CKA_VALUE, value(key));
    }
    return Attributes.empty();
  }

  private static Attributes discrete(ASN1Encodable parameters, boolean dsa) {
    var numbers = ASN1Sequence.getInstance(parameters);
    int base = dsa ? 2 : 1;
    if (numbers.size() <= base) {
      throw new IllegalArgumentException("no domain parameters");
    }
    var attributes = Attributes.empty().with(CKA_PRIME, number(numbers, 0));
    return (dsa ? attributes.with(CKA_SUBPRIME, number(numbers, 1)) : attributes)
        .with(CKA_BASE, number(numbers, base));
  }

  private static byte[] number(ASN1Sequence numbers, int index) {
    return unsigned(ASN1Integer.getInstance(numbers.getObjectAt(index)).getPositiveValue());
  }

  private static byte[] value(SubjectPublicKeyInfo key) throws IOException {
    return unsigned(ASN1Integer.getInstance(key.parsePublicKey()).getPositiveValue());
  }

  private static byte[] unsigned(BigInteger number) {
    byte[] bytes = number.toByteArray();
    return bytes.length > 1 && bytes[0] == 0 ? Arrays.copyOfRange(bytes, 1, bytes.length) : bytes;
  }

  /** SubjectPublicKeyInfo of the attributes of a public key (C_CreateObject). */
  static byte[] encoded(Attributes key) {
    try {
      return info(key).getEncoded(ASN1Encoding.DER);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static SubjectPublicKeyInfo info(Attributes key) throws IOException {
    if (key.has(CKA_MODULUS)) {
      return new SubjectPublicKeyInfo(
          new AlgorithmIdentifier(PKCSObjectIdentifiers.rsaEncryption, DERNull.INSTANCE),
          new RSAPublicKey(
              integer(key, CKA_MODULUS).getPositiveValue(),
              integer(key, CKA_PUBLIC_EXPONENT).getPositiveValue()));
    }
    if (key.has(CKA_EC_POINT)) {
      return new SubjectPublicKeyInfo(
          new AlgorithmIdentifier(X9ObjectIdentifiers.id_ecPublicKey, parsed(key, CKA_EC_PARAMS)),
          barePoint(required(key, CKA_EC_POINT)));
    }
    var algorithm =
        key.has(CKA_SUBPRIME) ? X9ObjectIdentifiers.id_dsa : PKCSObjectIdentifiers.dhKeyAgreement;
    return new SubjectPublicKeyInfo(
        new AlgorithmIdentifier(algorithm, domain(key)), integer(key, CKA_VALUE));
  }

  /** Domain parameters in the form of CKA_IBM_STRUCT_PARAMS: SEQUENCE of P, Q for DSA, and G. */
  static byte[] structure(Attributes parameters) {
    return der(domain(parameters));
  }

  private static DERSequence domain(Attributes parameters) {
    var prime = integer(parameters, CKA_PRIME);
    var base = integer(parameters, CKA_BASE);
    return parameters.has(CKA_SUBPRIME)
        ? new DERSequence(new ASN1Encodable[] {prime, integer(parameters, CKA_SUBPRIME), base})
        : new DERSequence(new ASN1Encodable[] {prime, base});
  }

  /**
   * A point without the OCTET STRING that CKA_EC_POINT puts around it (v2.40, 2.3.3), which some
   * applications leave out: an uncompressed point itself begins like one. A point has an odd number
   * of bytes, or the few of an Edwards or Montgomery curve.
   */
  static byte[] barePoint(byte[] point) {
    if (point.length < 2 || point.length > LONGEST || point[0] != 4) {
      return point;
    }
    try {
      if (ASN1Primitive.fromByteArray(point) instanceof ASN1OctetString octets) {
        byte[] inner = octets.getOctets();
        boolean weierstrass = inner.length % 2 == 1 && inner[0] >= 2 && inner[0] <= 4;
        boolean other = inner.length == 32 || inner.length == 56 || inner.length == 57;
        return weierstrass || other ? inner : point;
      }
      return point;
    } catch (IOException notDer) {
      return point;
    }
  }

  /** What stands there in DER. */
  static ASN1Primitive parsed(Attributes attributes, long type) {
    byte[] value = required(attributes, type);
    try {
      return ASN1Primitive.fromByteArray(value);
    } catch (IOException | IllegalArgumentException | IllegalStateException e) {
      throw new Refusal(CKR_ATTRIBUTE_VALUE_INVALID, ObjectTemplates.name(type) + " is not DER", e);
    }
  }

  private static ASN1Integer integer(Attributes attributes, long type) {
    return new ASN1Integer(new BigInteger(1, required(attributes, type)));
  }

  /**
   * A value that can be part of a key.
   *
   * @throws Refusal CKR_TEMPLATE_INCOMPLETE without it, CKR_ATTRIBUTE_VALUE_INVALID when it is
   *     empty, or longer than any
   */
  static byte[] required(Attributes attributes, long type) {
    byte[] value =
        attributes
            .get(type)
            .orElseThrow(() ->
                new Refusal(CKR_TEMPLATE_INCOMPLETE, ObjectTemplates.name(type) + " is missing"));
    if (value.length == 0 || value.length > LONGEST) {
      throw new Refusal(
          CKR_ATTRIBUTE_VALUE_INVALID,
          "%s of %d bytes".formatted(ObjectTemplates.name(type), value.length));
    }
    return value;
  }

  private static byte[] der(ASN1Encodable value) {
    try {
      return value.toASN1Primitive().getEncoded(ASN1Encoding.DER);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private SubjectPublicKey() {}
}
