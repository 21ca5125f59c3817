package dev.grep11.gateway.pkcs11;

/** Object classes (CK_OBJECT_CLASS). */
public final class Cko {
  public static final long CKO_DATA = 0x0L;
  public static final long CKO_CERTIFICATE = 0x1L;
  public static final long CKO_PUBLIC_KEY = 0x2L;
  public static final long CKO_PRIVATE_KEY = 0x3L;
  public static final long CKO_SECRET_KEY = 0x4L;
  public static final long CKO_DOMAIN_PARAMETERS = 0x6L;

  private static final ConstantNames NAMES = ConstantNames.of(Cko.class, "CKO_");

  private Cko() {}

  /** The header's name of a number, or its hexadecimal form when the header has none. */
  public static String name(long value) {
    return NAMES.name(value);
  }
}
