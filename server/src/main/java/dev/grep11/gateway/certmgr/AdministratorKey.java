package dev.grep11.gateway.certmgr;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.math.BigInteger;
import java.security.GeneralSecurityException;
import java.security.InvalidKeyException;
import java.security.KeyFactory;
import java.security.MessageDigest;
import java.security.PublicKey;
import java.security.Signature;
import java.security.SignatureException;
import java.security.spec.X509EncodedKeySpec;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Set;

/**
 * The public half of an administrator's signature key: P-256 for ECDSA with SHA-256, or Ed25519.
 * The key decides the algorithm, so no request can choose one. Immutable.
 */
public final class AdministratorKey {
  /** Bytes of SHA-256. */
  public static final int FINGERPRINT_LENGTH = 32;

  private static final int EC_COORDINATE = 32;
  private static final int ED25519_KEY = 32;

  /**
   * A form of SubjectPublicKeyInfo, of which only the key's own bytes vary (RFC 5480, RFC 8410).
   */
  private enum Form {
    P256("3059301306072a8648ce3d020106082a8648ce3d03010703420004", 2 * EC_COORDINATE, "EC") {
      @Override
      void check(byte[] key) {
        var x = new BigInteger(1, Arrays.copyOf(key, EC_COORDINATE));
        var y = new BigInteger(1, Arrays.copyOfRange(key, EC_COORDINATE, key.length));
        var right = x.pow(3).subtract(x.multiply(BigInteger.valueOf(3))).add(P256_B);
        if (x.compareTo(P256_P) >= 0
            || y.compareTo(P256_P) >= 0
            || y.pow(2).subtract(right).mod(P256_P).signum() != 0) {
          throw new IllegalArgumentException("the point is not on the curve P-256");
        }
      }

      @Override
      Signature signature() throws GeneralSecurityException {
        return Signature.getInstance("SHA256withECDSA");
      }
    },
    ED25519("302a300506032b6570032100", ED25519_KEY, "Ed25519") {
      @Override
      void check(byte[] key) {
        var bigEndian = new byte[key.length];
        for (int i = 0; i < key.length; i++) {
          bigEndian[i] = key[key.length - 1 - i];
        }
        // The highest bit is the sign of x (RFC 8032, 5.1.2).
        var y = new BigInteger(1, bigEndian).clearBit(255);
        if (y.compareTo(ED25519_P) >= 0) {
          throw new IllegalArgumentException("not the canonical encoding of a point");
        }
        // Under a key of small order, signatures can be made that hold for many messages.
        if (ED25519_SMALL_ORDER.contains(y)) {
          throw new IllegalArgumentException("a key of small order");
        }
      }

      @Override
      Signature signature() throws GeneralSecurityException {
        return Signature.getInstance("Ed25519");
      }
    };

    private final String prefix;
    final int keyLength;
    final String algorithm;

    Form(String prefix, int keyLength, String algorithm) {
      this.prefix = prefix;
      this.keyLength = keyLength;
      this.algorithm = algorithm;
    }

    boolean fits(byte[] publicKey) {
      return publicKey.length == prefixLength() + keyLength
          && HexFormat.of().formatHex(publicKey, 0, prefixLength()).equals(prefix);
    }

    int prefixLength() {
      return prefix.length() / 2;
    }

    abstract void check(byte[] key);

    abstract Signature signature() throws GeneralSecurityException;
  }

  /** SEC 2, 2.4.2. */
  private static final BigInteger P256_P =
      new BigInteger("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff", 16);

  private static final BigInteger P256_B =
      new BigInteger("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b", 16);

  private static final BigInteger ED25519_P =
      BigInteger.TWO.pow(255).subtract(BigInteger.valueOf(19));

  /** One of the y of the points of order 8 (Curve25519's twisted Edwards form); the other is -y. */
  private static final BigInteger ED25519_ORDER_8 =
      new BigInteger("7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7", 16);

  /** The y of all points whose order divides 8. */
  private static final Set<BigInteger> ED25519_SMALL_ORDER =
      Set.of(
          BigInteger.ZERO,
          BigInteger.ONE,
          ED25519_P.subtract(BigInteger.ONE),
          ED25519_ORDER_8,
          ED25519_P.subtract(ED25519_ORDER_8));

  private final byte[] encoded;
  private final Form form;
  private final PublicKey key;

  private AdministratorKey(byte[] encoded, Form form, PublicKey key) {
    this.encoded = encoded;
    this.form = form;
    this.key = key;
  }

  /**
   * Reads a SubjectPublicKeyInfo.
   *
   * @param der its only encoding: no other parameters, no compressed point, nothing after it
   * @throws IllegalArgumentException saying what is wrong with it
   */
  public static AdministratorKey read(byte[] der) {
    for (var form : Form.values()) {
      if (form.fits(der)) {
        form.check(Arrays.copyOfRange(der, form.prefixLength(), der.length));
        return new AdministratorKey(der.clone(), form, decode(form, der));
      }
    }
    throw new IllegalArgumentException(
        "not the SubjectPublicKeyInfo (DER) of a P-256 or Ed25519 key");
  }

  private static PublicKey decode(Form form, byte[] der) {
    try {
      var key = KeyFactory.getInstance(form.algorithm).generatePublic(new X509EncodedKeySpec(der));
      // For Ed25519, this is where the point is decoded.
      form.signature().initVerify(key);
      return key;
    } catch (GeneralSecurityException e) {
      throw new IllegalArgumentException("not a point of its curve", e);
    }
  }

  /** SubjectPublicKeyInfo, DER. */
  public byte[] encoded() {
    return encoded.clone();
  }

  /** SHA-256 of {@link #encoded}. */
  public byte[] fingerprint() {
    return fingerprint(encoded);
  }

  /** SHA-256 of a SubjectPublicKeyInfo. */
  public static byte[] fingerprint(byte[] der) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(der);
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("SHA-256 is part of every JDK", e);
    }
  }

  /**
   * Whether a signature over the context, a zero byte and the payload is by this key.
   *
   * @param context ASCII; what is signed for one purpose holds for no other
   */
  public boolean verify(String context, byte[] payload, byte[] signature) {
    try {
      var verifier = form.signature();
      verifier.initVerify(key);
      verifier.update(context.getBytes(US_ASCII));
      verifier.update((byte) 0);
      verifier.update(payload);
      return verifier.verify(signature);
    } catch (SignatureException e) {
      // Not even the form of one.
      return false;
    } catch (InvalidKeyException e) {
      throw new IllegalStateException("the key was accepted before", e);
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("both algorithms are part of every JDK", e);
    }
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof AdministratorKey that && Arrays.equals(encoded, that.encoded);
  }

  @Override
  public int hashCode() {
    return Arrays.hashCode(encoded);
  }

  @Override
  public String toString() {
    return HexFormat.of().formatHex(fingerprint());
  }
}
