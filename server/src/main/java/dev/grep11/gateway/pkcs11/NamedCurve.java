package dev.grep11.gateway.pkcs11;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Locale;

/** The curves of CKA_EC_PARAMS, by object identifier or by EP11's ASCII names. */
public enum NamedCurve {
  P_192("P-192", "1.2.840.10045.3.1.1", 192, 24, Form.WEIERSTRASS),
  P_224("P-224", "1.3.132.0.33", 224, 28, Form.WEIERSTRASS),
  P_256("P-256", "1.2.840.10045.3.1.7", 256, 32, Form.WEIERSTRASS),
  P_384("P-384", "1.3.132.0.34", 384, 48, Form.WEIERSTRASS),
  P_521("P-521", "1.3.132.0.35", 521, 66, Form.WEIERSTRASS),
  SECP256K1("SECP256K1", "1.3.132.0.10", 256, 32, Form.WEIERSTRASS),
  BP_160R("BP-160R", "1.3.36.3.3.2.8.1.1.1", 160, 20, Form.WEIERSTRASS),
  BP_160T("BP-160T", "1.3.36.3.3.2.8.1.1.2", 160, 20, Form.WEIERSTRASS),
  BP_192R("BP-192R", "1.3.36.3.3.2.8.1.1.3", 192, 24, Form.WEIERSTRASS),
  BP_192T("BP-192T", "1.3.36.3.3.2.8.1.1.4", 192, 24, Form.WEIERSTRASS),
  BP_224R("BP-224R", "1.3.36.3.3.2.8.1.1.5", 224, 28, Form.WEIERSTRASS),
  BP_224T("BP-224T", "1.3.36.3.3.2.8.1.1.6", 224, 28, Form.WEIERSTRASS),
  BP_256R("BP-256R", "1.3.36.3.3.2.8.1.1.7", 256, 32, Form.WEIERSTRASS),
  BP_256T("BP-256T", "1.3.36.3.3.2.8.1.1.8", 256, 32, Form.WEIERSTRASS),
  BP_320R("BP-320R", "1.3.36.3.3.2.8.1.1.9", 320, 40, Form.WEIERSTRASS),
  BP_320T("BP-320T", "1.3.36.3.3.2.8.1.1.10", 320, 40, Form.WEIERSTRASS),
  BP_384R("BP-384R", "1.3.36.3.3.2.8.1.1.11", 384, 48, Form.WEIERSTRASS),
  BP_384T("BP-384T", "1.3.36.3.3.2.8.1.1.12", 384, 48, Form.WEIERSTRASS),
  BP_512R("BP-512R", "1.3.36.3.3.2.8.1.1.13", 512, 64, Form.WEIERSTRASS),
  BP_512T("BP-512T", "1.3.36.3.3.2.8.1.1.14", 512, 64, Form.WEIERSTRASS),
  X25519("CURVE25519", "1.3.101.110", 255, 32, Form.MONTGOMERY),
  X448("X448", "1.3.101.111", 448, 56, Form.MONTGOMERY),
  ED25519("ED25519", "1.3.101.112", 255, 32, Form.EDWARDS),
  ED448("ED448", "1.3.101.113", 456, 57, Form.EDWARDS);

  /** Which arithmetic, and so which mechanisms, a curve is for. */
  public enum Form {
    /** ECDSA and ECDH; the public key is an uncompressed point. */
    WEIERSTRASS,
    /** EdDSA, RFC 8032; the public key is the raw encoding. */
    EDWARDS,
    /** X25519 and X448, RFC 7748; the public key is the raw u-coordinate. */
    MONTGOMERY
  }

  private final String ep11Name;
  private final String oid;
  private final int bits;
  private final int length;
  private final Form form;

  @SuppressWarnings("ImmutableEnumChecker") // never handed out, only copies
  private final byte[] parameters;

  NamedCurve(String ep11Name, String oid, int bits, int length, Form form) {
    this.ep11Name = ep11Name;
    this.oid = oid;
    this.bits = bits;
    this.length = length;
    this.form = form;
    this.parameters = derOid(oid);
  }

  /** Dotted object identifier. */
  public String oid() {
    return oid;
  }

  /** Key size in bits, as the checksum of an unwrapped key states it (Ed25519: 255). */
  public int bits() {
    return bits;
  }

  /** Bytes of a coordinate, a raw public key, or half a signature. */
  public int length() {
    return length;
  }

  public Form form() {
    return form;
  }

  /** CKA_EC_PARAMS: the DER object identifier. */
  public byte[] parameters() {
    return parameters.clone();
  }

  /** Length of an encoded public key: 1 + 2n for a point, n for a raw key. */
  public int publicLength() {
    return form == Form.WEIERSTRASS ? 1 + 2 * length : length;
  }

  /** A curve by dotted object identifier. */
  public static NamedCurve ofOid(String oid) {
    for (var curve : values()) {
      if (curve.oid.equals(oid)) {
        return curve;
      }
    }
    throw new Pkcs11Exception(Ckr.CKR_CURVE_NOT_SUPPORTED, "curve " + oid);
  }

  /**
   * A curve by CKA_EC_PARAMS: a DER object identifier, or an ASCII name in any case. Explicit
   * parameters are refused.
   */
  public static NamedCurve ofParameters(byte[] parameters) {
    for (var curve : values()) {
      if (Arrays.equals(curve.parameters, parameters)) {
        return curve;
      }
    }
    var name = new String(parameters, StandardCharsets.ISO_8859_1).toUpperCase(Locale.ROOT);
    for (var curve : values()) {
      if (curve.ep11Name.equals(name)) {
        return curve;
      }
    }
    throw new Pkcs11Exception(
        Ckr.CKR_CURVE_NOT_SUPPORTED, "CKA_EC_PARAMS names no curve that is served");
  }

  /** ITU-T X.690, 8.19; all arcs here are below 2^21. */
  private static byte[] derOid(String dotted) {
    var arcs = Arrays.stream(dotted.split("\\.", -1)).mapToInt(Integer::parseInt).toArray();
    var content = new java.io.ByteArrayOutputStream();
    content.write(arcs[0] * 40 + arcs[1]);
    for (int i = 2; i < arcs.length; i++) {
      if (arcs[i] >= 1 << 14) {
        content.write(0x80 | (arcs[i] >> 14));
      }
      if (arcs[i] >= 1 << 7) {
        content.write(0x80 | ((arcs[i] >> 7) & 0x7f));
      }
      content.write(arcs[i] & 0x7f);
    }
    var body = content.toByteArray();
    var der = new byte[body.length + 2];
    der[0] = 6;
    der[1] = (byte) body.length;
    System.arraycopy(body, 0, der, 2, body.length);
    return der;
  }
}
