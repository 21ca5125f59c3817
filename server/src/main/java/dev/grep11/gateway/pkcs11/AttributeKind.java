package dev.grep11.gateway.pkcs11;

import static dev.grep11.gateway.pkcs11.Cka.*;

/**
 * The C type of an attribute's value. It decides the arm of the wire's AttributeValue and the bytes
 * in native memory.
 */
public enum AttributeKind {
  /** CK_BBOOL. */
  BOOL,
  /** CK_ULONG. */
  ULONG,
  /** Byte array, string, big integer, date or DER. */
  BYTES;

  /** The kind of an attribute; numbers nobody declared are byte arrays. */
  public static AttributeKind of(long type) {
    if (type == CKA_TOKEN
        || type == CKA_PRIVATE
        || type == CKA_TRUSTED
        || type == CKA_SENSITIVE
        || type == CKA_ENCRYPT
        || type == CKA_DECRYPT
        || type == CKA_WRAP
        || type == CKA_UNWRAP
        || type == CKA_SIGN
        || type == CKA_SIGN_RECOVER
        || type == CKA_VERIFY
        || type == CKA_VERIFY_RECOVER
        || type == CKA_DERIVE
        || type == CKA_EXTRACTABLE
        || type == CKA_LOCAL
        || type == CKA_NEVER_EXTRACTABLE
        || type == CKA_ALWAYS_SENSITIVE
        || type == CKA_MODIFIABLE
        || type == CKA_COPYABLE
        || type == CKA_DESTROYABLE
        || type == CKA_ALWAYS_AUTHENTICATE
        || type == CKA_WRAP_WITH_TRUSTED
        || type == CKA_IBM_RESTRICTABLE
        || type == CKA_IBM_NEVER_MODIFIABLE
        || type == CKA_IBM_ATTRBOUND
        || type == CKA_IBM_USE_AS_DATA
        || type == CKA_IBM_PROTKEY_EXTRACTABLE
        || type == CKA_IBM_PROTKEY_NEVER_EXTRACTABLE
        || type == CKA_GREP11_KEYBLOB_HAS_ROTATION) {
      return BOOL;
    }
    if (type == CKA_CLASS
        || type == CKA_KEY_TYPE
        || type == CKA_MODULUS_BITS
        || type == CKA_VALUE_LEN
        || type == CKA_VALUE_BITS
        || type == CKA_PRIME_BITS
        || type == CKA_SUBPRIME_BITS
        || type == CKA_KEY_GEN_MECHANISM
        || type == CKA_CERTIFICATE_TYPE
        || type == CKA_CERTIFICATE_CATEGORY
        || type == CKA_JAVA_MIDP_SECURITY_DOMAIN
        || type == CKA_NAME_HASH_ALGORITHM
        || type == CKA_IBM_KEYTYPE
        || type == CKA_IBM_STD_COMPLIANCE1) {
      return ULONG;
    }
    return BYTES;
  }
}
