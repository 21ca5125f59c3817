package dev.grep11.gateway.operation;

import dev.grep11.gateway.pkcs11.Ckr;

/** The part that a key plays in a call, with the return values that PKCS #11 has for each. */
enum KeyRole {
  KEY(Ckr.CKR_KEY_HANDLE_INVALID, Ckr.CKR_KEY_TYPE_INCONSISTENT, Ckr.CKR_KEY_SIZE_RANGE, "key"),
  WRAPPING_KEY(
      Ckr.CKR_WRAPPING_KEY_HANDLE_INVALID,
      Ckr.CKR_WRAPPING_KEY_TYPE_INCONSISTENT,
      Ckr.CKR_WRAPPING_KEY_SIZE_RANGE,
      "wrapping key"),
  UNWRAPPING_KEY(
      Ckr.CKR_UNWRAPPING_KEY_HANDLE_INVALID,
      Ckr.CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT,
      Ckr.CKR_UNWRAPPING_KEY_SIZE_RANGE,
      "unwrapping key"),
  /** PKCS #11 has no return values for it: it is IBM's. */
  MAC_KEY(
      Ckr.CKR_KEY_HANDLE_INVALID, Ckr.CKR_KEY_TYPE_INCONSISTENT, Ckr.CKR_KEY_SIZE_RANGE, "MAC key");

  private final long absent;
  private final long wrongType;
  private final long wrongSize;
  private final String words;

  KeyRole(long absent, long wrongType, long wrongSize, String words) {
    this.absent = absent;
    this.wrongType = wrongType;
    this.wrongSize = wrongSize;
    this.words = words;
  }

  long absent() {
    return absent;
  }

  long wrongType() {
    return wrongType;
  }

  long wrongSize() {
    return wrongSize;
  }

  @Override
  public String toString() {
    return words;
  }
}
