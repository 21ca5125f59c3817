package dev.grep11.client;

/** Object classes, CK_OBJECT_CLASS (PKCS #11 v2.40, 4.2). */
public final class Cko {
  public static final long CKO_DATA = 0x0L;
  public static final long CKO_CERTIFICATE = 0x1L;
  public static final long CKO_PUBLIC_KEY = 0x2L;
  public static final long CKO_PRIVATE_KEY = 0x3L;
  public static final long CKO_SECRET_KEY = 0x4L;
  public static final long CKO_DOMAIN_PARAMETERS = 0x6L;

  private Cko() {}
}
