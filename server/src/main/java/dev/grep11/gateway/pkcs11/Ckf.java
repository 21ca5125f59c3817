package dev.grep11.gateway.pkcs11;

/** Mechanism flags (CK_MECHANISM_INFO.flags), PKCS #11 v2.40 section 3.5. */
public final class Ckf {
  public static final long CKF_HW = 0x1L;
  public static final long CKF_ENCRYPT = 0x100L;
  public static final long CKF_DECRYPT = 0x200L;
  public static final long CKF_DIGEST = 0x400L;
  public static final long CKF_SIGN = 0x800L;
  public static final long CKF_SIGN_RECOVER = 0x1000L;
  public static final long CKF_VERIFY = 0x2000L;
  public static final long CKF_VERIFY_RECOVER = 0x4000L;
  public static final long CKF_GENERATE = 0x8000L;
  public static final long CKF_GENERATE_KEY_PAIR = 0x10000L;
  public static final long CKF_WRAP = 0x20000L;
  public static final long CKF_UNWRAP = 0x40000L;
  public static final long CKF_DERIVE = 0x80000L;
  public static final long CKF_EC_F_P = 0x100000L;
  public static final long CKF_EC_NAMEDCURVE = 0x800000L;
  public static final long CKF_EC_UNCOMPRESS = 0x1000000L;

  private static final ConstantNames NAMES = ConstantNames.of(Ckf.class, "CKF_");

  private Ckf() {}

  /** The header's name of a number, or its hexadecimal form when the header has none. */
  public static String name(long value) {
    return NAMES.name(value);
  }
}
