package dev.grep11.gateway.hsm;

import static dev.grep11.gateway.pkcs11.Ckr.*;

/** What a return value says about the token, in one table. */
enum Fault {
  /** The call was wrong; the token is well. Rises to the caller as it is. */
  CALLER,
  /** The token has no room just now; the same call may succeed later. */
  BUSY,
  /** Session or token are gone, and with them every handle. */
  LOST,
  /**
   * Tokens use these both for a wrong argument and for their own death, so the token is asked again
   * before it is given up. A client must not be able to end an epoch by sending garbage.
   */
  DOUBTFUL;

  static Fault of(long returnValue) {
    if (returnValue == CKR_DEVICE_REMOVED
        || returnValue == CKR_TOKEN_NOT_PRESENT
        || returnValue == CKR_TOKEN_NOT_RECOGNIZED
        || returnValue == CKR_SLOT_ID_INVALID
        || returnValue == CKR_SESSION_HANDLE_INVALID
        || returnValue == CKR_SESSION_CLOSED
        || returnValue == CKR_USER_NOT_LOGGED_IN
        || returnValue == CKR_CRYPTOKI_NOT_INITIALIZED) {
      return LOST;
    }
    if (returnValue == CKR_DEVICE_ERROR
        || returnValue == CKR_GENERAL_ERROR
        || returnValue == CKR_FUNCTION_FAILED
        // Handles never come from clients: an invalid one means that our picture of the token is
        // wrong. SoftHSM answers so when its directory is gone.
        || returnValue == CKR_KEY_HANDLE_INVALID
        || returnValue == CKR_OBJECT_HANDLE_INVALID
        || returnValue == CKR_WRAPPING_KEY_HANDLE_INVALID
        || returnValue == CKR_UNWRAPPING_KEY_HANDLE_INVALID) {
      return DOUBTFUL;
    }
    if (returnValue == CKR_HOST_MEMORY
        || returnValue == CKR_DEVICE_MEMORY
        || returnValue == CKR_SESSION_COUNT
        || returnValue == CKR_FUNCTION_CANCELED
        || returnValue == CKR_CANCEL) {
      return BUSY;
    }
    return CALLER;
  }
}
