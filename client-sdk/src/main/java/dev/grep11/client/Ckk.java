package dev.grep11.client;

/**
 * Key types, CK_KEY_TYPE. Edwards and Montgomery keys are CKK_EC in EP11; the curve tells them
 * apart.
 */
public final class Ckk {
  public static final long CKK_RSA = 0x0L;
  public static final long CKK_DSA = 0x1L;
  public static final long CKK_DH = 0x2L;
  public static final long CKK_EC = 0x3L;
  public static final long CKK_GENERIC_SECRET = 0x10L;
  public static final long CKK_DES2 = 0x14L;
  public static final long CKK_DES3 = 0x15L;
  public static final long CKK_AES = 0x1fL;

  private Ckk() {}
}
