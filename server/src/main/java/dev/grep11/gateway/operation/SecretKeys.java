package dev.grep11.gateway.operation;

import static dev.grep11.gateway.pkcs11.Cka.*;

import dev.grep11.gateway.pkcs11.AttributeValue.Ulong;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.pkcs11.Template;
import java.nio.ByteBuffer;

/** Lengths of secret keys by type. */
final class SecretKeys {
  private static final int MIN_GENERIC = 8;
  private static final int MIN_GENERIC_STRICT = 14;
  private static final int MAX_GENERIC = 256;

  private SecretKeys() {}

  /** Length in bytes of a secret key by its attributes. */
  static long length(Template attributes) {
    long keyType = attributes.ulong(CKA_KEY_TYPE).orElseThrow();
    if (keyType == Ckk.CKK_DES2) {
      return 16;
    }
    if (keyType == Ckk.CKK_DES3) {
      return 24;
    }
    return attributes.ulong(CKA_VALUE_LEN).orElseThrow();
  }

  static boolean isDes(long keyType) {
    return keyType == Ckk.CKK_DES2 || keyType == Ckk.CKK_DES3;
  }

  /** FIPS 46-3: the lowest bit of each byte of a DES key makes its number of ones odd. */
  static void setOddParity(ByteBuffer key) {
    for (int i = key.position(); i < key.limit(); i++) {
      int seven = key.get(i) & 0xfe;
      key.put(i, (byte) (seven | (~Integer.bitCount(seven) & 1)));
    }
  }

  /** Refuses lengths that the type or the policy does not have. */
  static void requireLength(long keyType, long length, Policy policy) {
    boolean fits;
    if (keyType == Ckk.CKK_AES) {
      fits = length == 16 || length == 24 || length == 32;
    } else if (keyType == Ckk.CKK_GENERIC_SECRET) {
      fits =
          length >= (policy == Policy.STRICT ? MIN_GENERIC_STRICT : MIN_GENERIC)
              && length <= MAX_GENERIC;
    } else if (keyType == Ckk.CKK_DES2) {
      fits = length == 16;
    } else if (keyType == Ckk.CKK_DES3) {
      fits = length == 24;
    } else {
      throw new Pkcs11Exception(
          Ckr.CKR_TEMPLATE_INCONSISTENT, Ckk.name(keyType) + " is no secret key");
    }
    if (!fits) {
      throw new Pkcs11Exception(
          Ckr.CKR_KEY_SIZE_RANGE,
          "%s bytes for %s".formatted(Ulong.describe(length), Ckk.name(keyType)));
    }
  }
}
