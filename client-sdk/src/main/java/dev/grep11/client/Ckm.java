package dev.grep11.client;

/**
 * Mechanism numbers, CK_MECHANISM_TYPE (PKCS #11 v2.40 current mechanisms; the CKM_IBM block is
 * EP11's).
 */
public final class Ckm {
  public static final long CKM_RSA_PKCS_KEY_PAIR_GEN = 0x0L;
  public static final long CKM_RSA_PKCS = 0x1L;
  public static final long CKM_SHA1_RSA_PKCS = 0x6L;
  public static final long CKM_RSA_PKCS_OAEP = 0x9L;
  public static final long CKM_RSA_X9_31_KEY_PAIR_GEN = 0xaL;
  public static final long CKM_RSA_X9_31 = 0xbL;
  public static final long CKM_SHA1_RSA_X9_31 = 0xcL;
  public static final long CKM_RSA_PKCS_PSS = 0xdL;
  public static final long CKM_SHA1_RSA_PKCS_PSS = 0xeL;
  public static final long CKM_DSA_KEY_PAIR_GEN = 0x10L;
  public static final long CKM_DSA = 0x11L;
  public static final long CKM_DSA_SHA1 = 0x12L;
  public static final long CKM_DSA_SHA224 = 0x13L;
  public static final long CKM_DSA_SHA256 = 0x14L;
  public static final long CKM_DSA_SHA384 = 0x15L;
  public static final long CKM_DSA_SHA512 = 0x16L;
  public static final long CKM_DH_PKCS_KEY_PAIR_GEN = 0x20L;
  public static final long CKM_DH_PKCS_DERIVE = 0x21L;
  public static final long CKM_SHA256_RSA_PKCS = 0x40L;
  public static final long CKM_SHA384_RSA_PKCS = 0x41L;
  public static final long CKM_SHA512_RSA_PKCS = 0x42L;
  public static final long CKM_SHA256_RSA_PKCS_PSS = 0x43L;
  public static final long CKM_SHA384_RSA_PKCS_PSS = 0x44L;
  public static final long CKM_SHA512_RSA_PKCS_PSS = 0x45L;
  public static final long CKM_SHA224_RSA_PKCS = 0x46L;
  public static final long CKM_SHA224_RSA_PKCS_PSS = 0x47L;
  public static final long CKM_SHA512_224 = 0x48L;
  public static final long CKM_SHA512_224_HMAC = 0x49L;
  public static final long CKM_SHA512_256 = 0x4cL;
  public static final long CKM_SHA512_256_HMAC = 0x4dL;
  public static final long CKM_DES2_KEY_GEN = 0x130L;
  public static final long CKM_DES3_KEY_GEN = 0x131L;
  public static final long CKM_DES3_ECB = 0x132L;
  public static final long CKM_DES3_CBC = 0x133L;
  public static final long CKM_DES3_CBC_PAD = 0x136L;
  public static final long CKM_DES3_CMAC = 0x138L;
  public static final long CKM_SHA_1 = 0x220L;
  public static final long CKM_SHA_1_HMAC = 0x221L;
  public static final long CKM_SHA256 = 0x250L;
  public static final long CKM_SHA256_HMAC = 0x251L;
  public static final long CKM_SHA224 = 0x255L;
  public static final long CKM_SHA224_HMAC = 0x256L;
  public static final long CKM_SHA384 = 0x260L;
  public static final long CKM_SHA384_HMAC = 0x261L;
  public static final long CKM_SHA512 = 0x270L;
  public static final long CKM_SHA512_HMAC = 0x271L;
  public static final long CKM_GENERIC_SECRET_KEY_GEN = 0x350L;
  public static final long CKM_SHA1_KEY_DERIVATION = 0x392L;
  public static final long CKM_SHA256_KEY_DERIVATION = 0x393L;
  public static final long CKM_SHA384_KEY_DERIVATION = 0x394L;
  public static final long CKM_SHA512_KEY_DERIVATION = 0x395L;
  public static final long CKM_SHA224_KEY_DERIVATION = 0x396L;
  public static final long CKM_EC_KEY_PAIR_GEN = 0x1040L;
  public static final long CKM_ECDSA = 0x1041L;
  public static final long CKM_ECDSA_SHA1 = 0x1042L;
  public static final long CKM_ECDSA_SHA224 = 0x1043L;
  public static final long CKM_ECDSA_SHA256 = 0x1044L;
  public static final long CKM_ECDSA_SHA384 = 0x1045L;
  public static final long CKM_ECDSA_SHA512 = 0x1046L;
  public static final long CKM_ECDH1_DERIVE = 0x1050L;
  public static final long CKM_AES_KEY_GEN = 0x1080L;
  public static final long CKM_AES_ECB = 0x1081L;
  public static final long CKM_AES_CBC = 0x1082L;
  public static final long CKM_AES_CBC_PAD = 0x1085L;
  public static final long CKM_AES_CTR = 0x1086L;
  public static final long CKM_AES_GCM = 0x1087L;
  public static final long CKM_AES_CMAC = 0x108aL;
  public static final long CKM_DES3_ECB_ENCRYPT_DATA = 0x1102L;
  public static final long CKM_DSA_PARAMETER_GEN = 0x2000L;
  public static final long CKM_DH_PKCS_PARAMETER_GEN = 0x2001L;
  public static final long CKM_AES_KEY_WRAP = 0x2109L;
  public static final long CKM_AES_KEY_WRAP_PAD = 0x210aL;

  public static final long CKM_IBM_SHA3_224 = 0x80010001L;
  public static final long CKM_IBM_SHA3_256 = 0x80010002L;
  public static final long CKM_IBM_SHA3_384 = 0x80010003L;
  public static final long CKM_IBM_SHA3_512 = 0x80010004L;
  public static final long CKM_IBM_CMAC = 0x80010007L;
  public static final long CKM_IBM_EC_X25519 = 0x8001001bL;
  public static final long CKM_IBM_ED25519_SHA512 = 0x8001001cL;
  public static final long CKM_IBM_EC_X448 = 0x8001001eL;
  public static final long CKM_IBM_ED448_SHA3 = 0x8001001fL;
  public static final long CKM_IBM_SHA3_224_HMAC = 0x80010025L;
  public static final long CKM_IBM_SHA3_256_HMAC = 0x80010026L;
  public static final long CKM_IBM_SHA3_384_HMAC = 0x80010027L;
  public static final long CKM_IBM_SHA3_512_HMAC = 0x80010028L;
  public static final long CKM_IBM_ECDSA_OTHER = 0x80010031L;
  public static final long CKM_IBM_EC_AGGREGATE = 0x80010034L;
  public static final long CKM_IBM_ATTRIBUTEBOUND_WRAP = 0x80020004L;
  public static final long CKM_IBM_TRANSPORTKEY = 0x80020005L;
  public static final long CKM_IBM_DH_PKCS_DERIVE_RAW = 0x80020006L;
  public static final long CKM_IBM_ECDH1_DERIVE_RAW = 0x80020007L;
  public static final long CKM_IBM_BTC_DERIVE = 0x80070001L;

  private Ckm() {}
}
