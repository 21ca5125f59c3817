package dev.grep11.client;

import java.util.Set;

/**
 * Attribute numbers, CK_ATTRIBUTE_TYPE, in the three groups that decide which arm of an {@code
 * AttributeValue} carries them. The CKA_IBM block is EP11's.
 */
public final class Cka {
  // CK_BBOOL
  public static final long CKA_TOKEN = 0x1L;
  public static final long CKA_PRIVATE = 0x2L;
  public static final long CKA_TRUSTED = 0x86L;
  public static final long CKA_SENSITIVE = 0x103L;
  public static final long CKA_ENCRYPT = 0x104L;
  public static final long CKA_DECRYPT = 0x105L;
  public static final long CKA_WRAP = 0x106L;
  public static final long CKA_UNWRAP = 0x107L;
  public static final long CKA_SIGN = 0x108L;
  public static final long CKA_SIGN_RECOVER = 0x109L;
  public static final long CKA_VERIFY = 0x10aL;
  public static final long CKA_VERIFY_RECOVER = 0x10bL;
  public static final long CKA_DERIVE = 0x10cL;
  public static final long CKA_EXTRACTABLE = 0x162L;
  public static final long CKA_LOCAL = 0x163L;
  public static final long CKA_NEVER_EXTRACTABLE = 0x164L;
  public static final long CKA_ALWAYS_SENSITIVE = 0x165L;
  public static final long CKA_MODIFIABLE = 0x170L;
  public static final long CKA_COPYABLE = 0x171L;
  public static final long CKA_DESTROYABLE = 0x172L;
  public static final long CKA_WRAP_WITH_TRUSTED = 0x210L;
  public static final long CKA_IBM_RESTRICTABLE = 0x80010001L;
  public static final long CKA_IBM_NEVER_MODIFIABLE = 0x80010002L;
  public static final long CKA_IBM_ATTRBOUND = 0x80010004L;
  public static final long CKA_IBM_USE_AS_DATA = 0x80010008L;
  public static final long CKA_IBM_PROTKEY_EXTRACTABLE = 0x8001000cL;
  public static final long CKA_IBM_PROTKEY_NEVER_EXTRACTABLE = 0x8001000dL;
  public static final long CKA_GREP11_KEYBLOB_HAS_ROTATION = 0x80040004L;

  // CK_ULONG
  public static final long CKA_CLASS = 0x0L;
  public static final long CKA_CERTIFICATE_TYPE = 0x80L;
  public static final long CKA_CERTIFICATE_CATEGORY = 0x87L;
  public static final long CKA_JAVA_MIDP_SECURITY_DOMAIN = 0x88L;
  public static final long CKA_NAME_HASH_ALGORITHM = 0x8cL;
  public static final long CKA_KEY_TYPE = 0x100L;
  public static final long CKA_MODULUS_BITS = 0x121L;
  public static final long CKA_PRIME_BITS = 0x133L;
  public static final long CKA_SUBPRIME_BITS = 0x134L;
  public static final long CKA_VALUE_BITS = 0x160L;
  public static final long CKA_VALUE_LEN = 0x161L;
  public static final long CKA_KEY_GEN_MECHANISM = 0x166L;
  public static final long CKA_IBM_KEYTYPE = 0x80010005L;
  public static final long CKA_IBM_STD_COMPLIANCE1 = 0x8001000aL;

  // Strings, byte arrays, big integers, dates, DER
  public static final long CKA_LABEL = 0x3L;
  public static final long CKA_APPLICATION = 0x10L;
  public static final long CKA_VALUE = 0x11L;
  public static final long CKA_OBJECT_ID = 0x12L;
  public static final long CKA_ISSUER = 0x81L;
  public static final long CKA_SERIAL_NUMBER = 0x82L;
  public static final long CKA_URL = 0x89L;
  public static final long CKA_CHECK_VALUE = 0x90L;
  public static final long CKA_SUBJECT = 0x101L;
  public static final long CKA_ID = 0x102L;
  public static final long CKA_START_DATE = 0x110L;
  public static final long CKA_END_DATE = 0x111L;
  public static final long CKA_MODULUS = 0x120L;
  public static final long CKA_PUBLIC_EXPONENT = 0x122L;
  public static final long CKA_PUBLIC_KEY_INFO = 0x129L;
  public static final long CKA_PRIME = 0x130L;
  public static final long CKA_SUBPRIME = 0x131L;
  public static final long CKA_BASE = 0x132L;
  public static final long CKA_EC_PARAMS = 0x180L;
  public static final long CKA_EC_POINT = 0x181L;
  public static final long CKA_IBM_CV = 0x80010006L;
  public static final long CKA_IBM_MACKEY = 0x80010007L;
  public static final long CKA_IBM_STRUCT_PARAMS = 0x80010009L;
  public static final long CKA_IBM_PQC_PARAMS = 0x8001000eL;
  public static final long CKA_IBM_MACED_PUBLIC_KEY_INFO = 0x80020002L;
  public static final long CKA_GREP11_TOKEN_LABEL = 0x80040001L;
  public static final long CKA_GREP11_WKID = 0x80040002L;
  public static final long CKA_GREP11_KEYSTORE_PASSWORD = 0x80040003L;
  public static final long CKA_GREP11_NEXTWKID = 0x80040005L;

  private static final Set<Long> FLAGS =
      Set.of(
          CKA_TOKEN,
          CKA_PRIVATE,
          CKA_TRUSTED,
          CKA_SENSITIVE,
          CKA_ENCRYPT,
          CKA_DECRYPT,
          CKA_WRAP,
          CKA_UNWRAP,
          CKA_SIGN,
          CKA_SIGN_RECOVER,
          CKA_VERIFY,
          CKA_VERIFY_RECOVER,
          CKA_DERIVE,
          CKA_EXTRACTABLE,
          CKA_LOCAL,
          CKA_NEVER_EXTRACTABLE,
          CKA_ALWAYS_SENSITIVE,
          CKA_MODIFIABLE,
          CKA_COPYABLE,
          CKA_DESTROYABLE,
          CKA_WRAP_WITH_TRUSTED,
          CKA_IBM_RESTRICTABLE,
          CKA_IBM_NEVER_MODIFIABLE,
          CKA_IBM_ATTRBOUND,
          CKA_IBM_USE_AS_DATA,
          CKA_IBM_PROTKEY_EXTRACTABLE,
          CKA_IBM_PROTKEY_NEVER_EXTRACTABLE,
          CKA_GREP11_KEYBLOB_HAS_ROTATION);

  private static final Set<Long> NUMBERS =
      Set.of(
          CKA_CLASS,
          CKA_CERTIFICATE_TYPE,
          CKA_CERTIFICATE_CATEGORY,
          CKA_JAVA_MIDP_SECURITY_DOMAIN,
          CKA_NAME_HASH_ALGORITHM,
          CKA_KEY_TYPE,
          CKA_MODULUS_BITS,
          CKA_PRIME_BITS,
          CKA_SUBPRIME_BITS,
          CKA_VALUE_BITS,
          CKA_VALUE_LEN,
          CKA_KEY_GEN_MECHANISM,
          CKA_IBM_KEYTYPE,
          CKA_IBM_STD_COMPLIANCE1);

  private static final Set<Long> BYTES =
      Set.of(
          CKA_LABEL,
          CKA_APPLICATION,
          CKA_VALUE,
          CKA_OBJECT_ID,
          CKA_ISSUER,
          CKA_SERIAL_NUMBER,
          CKA_URL,
          CKA_CHECK_VALUE,
          CKA_SUBJECT,
          CKA_ID,
          CKA_START_DATE,
          CKA_END_DATE,
          CKA_MODULUS,
          CKA_PUBLIC_EXPONENT,
          CKA_PUBLIC_KEY_INFO,
          CKA_PRIME,
          CKA_SUBPRIME,
          CKA_BASE,
          CKA_EC_PARAMS,
          CKA_EC_POINT,
          CKA_IBM_CV,
          CKA_IBM_MACKEY,
          CKA_IBM_STRUCT_PARAMS,
          CKA_IBM_PQC_PARAMS,
          CKA_IBM_MACED_PUBLIC_KEY_INFO,
          CKA_GREP11_TOKEN_LABEL,
          CKA_GREP11_WKID,
          CKA_GREP11_KEYSTORE_PASSWORD,
          CKA_GREP11_NEXTWKID);

  /** The form in which a value of an attribute travels. */
  public enum Arm {
    FLAG,
    NUMBER,
    BYTES,
    /** An attribute that is not in the list: any form is passed on. */
    ANY
  }

  /** The form of an attribute's value. */
  public static Arm armOf(long attribute) {
    if (FLAGS.contains(attribute)) {
      return Arm.FLAG;
    }
    if (NUMBERS.contains(attribute)) {
      return Arm.NUMBER;
    }
    return BYTES.contains(attribute) ? Arm.BYTES : Arm.ANY;
  }

  private Cka() {}
}
