package dev.grep11.gateway.pkcs11;

/** Key types (CK_KEY_TYPE). */
public final class Ckk {
  public static final long CKK_RSA = 0x0L;
  public static final long CKK_DSA = 0x1L;
  public static final long CKK_DH = 0x2L;
  public static final long CKK_EC = 0x3L;
  public static final long CKK_GENERIC_SECRET = 0x10L;
  public static final long CKK_DES2 = 0x14L;
  public static final long CKK_DES3 = 0x15L;
  public static final long CKK_AES = 0x1fL;
  public static final long CKK_SHA_1_HMAC = 0x28L;
  public static final long CKK_SHA256_HMAC = 0x2bL;
  public static final long CKK_SHA384_HMAC = 0x2cL;
  public static final long CKK_SHA512_HMAC = 0x2dL;
  public static final long CKK_SHA224_HMAC = 0x2eL;
  public static final long CKK_EC_EDWARDS = 0x40L;
  public static final long CKK_EC_MONTGOMERY = 0x41L;
  public static final long CKK_IBM_PQC_DILITHIUM = 0x80010023L;
  public static final long CKK_IBM_PQC_KYBER = 0x80010024L;

  private static final ConstantNames NAMES = ConstantNames.of(Ckk.class, "CKK_");

  private Ckk() {}

  /** The header's name of a number, or its hexadecimal form when the header has none. */
  public static String name(long value) {
    return NAMES.name(value);
  }
}
