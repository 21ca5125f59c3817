package dev.grep11.gateway.trust;

import java.io.IOException;
import java.math.BigInteger;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.spec.X509EncodedKeySpec;
import java.util.Optional;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.edec.EdECObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.RSAPublicKey;
import org.bouncycastle.asn1.sec.SECObjectIdentifiers;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.asn1.x9.X9ObjectIdentifiers;

/**
 * The public key of a certificate, judged by its size before any arithmetic is done with it.
 *
 * @param id SHA-256 of the SubjectPublicKeyInfo, in hex
 * @param work what a verification costs, 1 for the usual keys, P-256 and RSA up to 4096 bits
 * @param problem why no path may contain it
 */
record SubjectKey(String id, Kind kind, int work, Optional<Verdict.Refused> problem) {
  static final int MIN_MODULUS_BITS = 2048;

  /** Verifying costs with the square of it; nobody has larger ones (security rules 5.3). */
  static final int MAX_MODULUS_BITS = 8192;

  /**
   * A verification costs as many multiplications as the public exponent has bits. What is in use is
   * 65537, 3 and 17.
   */
  private static final int MAX_EXPONENT_BITS = 17;

  /**
   * P-384, P-521 and Ed448. Measured, they take three to six times as long as P-256; they count for
   * more, as nobody is known to have many CAs of one name with such keys.
   */
  private static final int DEAREST = 16;

  /** Ed25519 and RSA with 8192 bits. */
  private static final int DEAR = 4;

  /** What signatures a key makes. */
  enum Kind {
    RSA("RSA"),
    /** RSA restricted to PSS (RFC 4055, 1.2). */
    RSA_PSS("RSASSA-PSS"),
    EC("EC"),
    ED25519("Ed25519"),
    ED448("Ed448"),
    OTHER("");

    private final String keyFactory;

    Kind(String keyFactory) {
      this.keyFactory = keyFactory;
    }
  }

  /**
   * @throws IllegalArgumentException if it is no public key at all
   */
  static SubjectKey of(SubjectPublicKeyInfo info) {
    var kind = kind(info.getAlgorithm().getAlgorithm());
    var id = Fingerprint.of(encoded(info));
    return switch (kind) {
      case RSA, RSA_PSS -> rsa(id, kind, info);
      case EC -> new SubjectKey(id, kind, curveWork(info), curveProblem(info));
      case ED25519 -> new SubjectKey(id, kind, DEAR, Optional.empty());
      case ED448 -> new SubjectKey(id, kind, DEAREST, Optional.empty());
      case OTHER ->
          new SubjectKey(
              id,
              kind,
              DEAREST,
              weak("has a key of the algorithm " + info.getAlgorithm().getAlgorithm().getId()));
    };
  }

  private static Kind kind(ASN1ObjectIdentifier algorithm) {
    if (algorithm.equals(PKCSObjectIdentifiers.rsaEncryption)) {
      return Kind.RSA;
    } else if (algorithm.equals(PKCSObjectIdentifiers.id_RSASSA_PSS)) {
      return Kind.RSA_PSS;
    } else if (algorithm.equals(X9ObjectIdentifiers.id_ecPublicKey)) {
      return Kind.EC;
    } else if (algorithm.equals(EdECObjectIdentifiers.id_Ed25519)) {
      return Kind.ED25519;
    } else if (algorithm.equals(EdECObjectIdentifiers.id_Ed448)) {
      return Kind.ED448;
    }
    return Kind.OTHER;
  }

  private static SubjectKey rsa(String id, Kind kind, SubjectPublicKeyInfo info) {
    RSAPublicKey key;
    try {
      key = RSAPublicKey.getInstance(info.parsePublicKey());
    } catch (IOException e) {
      throw new IllegalArgumentException("its RSA key cannot be read", e);
    }
    int work = key.getModulus().bitLength() <= MAX_MODULUS_BITS / 2 ? 1 : DEAR;
    return new SubjectKey(id, kind, work, rsaProblem(key));
  }

  private static Optional<Verdict.Refused> rsaProblem(RSAPublicKey key) {
    int bits = key.getModulus().bitLength();
    BigInteger exponent = key.getPublicExponent();
    if (bits < MIN_MODULUS_BITS) {
      return weak("has an RSA key of " + bits + " bits; at least " + MIN_MODULUS_BITS + " needed");
    }
    if (bits > MAX_MODULUS_BITS) {
      return Optional.of(
          new Verdict.Refused(
              Verdict.Reason.MALFORMED,
              "has an RSA key of " + bits + " bits; at most " + MAX_MODULUS_BITS + " allowed"));
    }
    if (exponent.bitLength() > MAX_EXPONENT_BITS
        || exponent.compareTo(BigInteger.TWO) <= 0
        || !exponent.testBit(0)) {
      return weak("has an RSA key whose public exponent is even, 1 or longer than 17 bits");
    }
    return Optional.empty();
  }

  /** The JDK has arithmetic of its own for P-256 only. */
  private static int curveWork(SubjectPublicKeyInfo info) {
    return X9ObjectIdentifiers.prime256v1.equals(info.getAlgorithm().getParameters()) ? 1 : DEAREST;
  }

  private static Optional<Verdict.Refused> curveProblem(SubjectPublicKeyInfo info) {
    var curve = info.getAlgorithm().getParameters();
    return X9ObjectIdentifiers.prime256v1.equals(curve)
            || SECObjectIdentifiers.secp384r1.equals(curve)
            || SECObjectIdentifiers.secp521r1.equals(curve)
        ? Optional.empty()
        : weak("has a key on a curve other than P-256, P-384 and P-521");
  }

  private static Optional<Verdict.Refused> weak(String text) {
    return Optional.of(new Verdict.Refused(Verdict.Reason.WEAK, text));
  }

  PublicKey publicKey(SubjectPublicKeyInfo info) throws GeneralSecurityException {
    return KeyFactory.getInstance(kind.keyFactory)
        .generatePublic(new X509EncodedKeySpec(encoded(info)));
  }

  private static byte[] encoded(SubjectPublicKeyInfo info) {
    try {
      return info.getEncoded();
    } catch (IOException e) {
      throw new IllegalArgumentException("its key cannot be read", e);
    }
  }
}
