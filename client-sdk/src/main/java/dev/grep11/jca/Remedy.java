package dev.grep11.jca;

import static dev.grep11.client.Ckr.CKR_IBM_GREP11_NOT_AUTHENTICATED;
import static dev.grep11.client.Ckr.CKR_IBM_WKID_MISMATCH;
import static dev.grep11.client.Ckr.CKR_KEY_FUNCTION_NOT_PERMITTED;
import static dev.grep11.client.Ckr.CKR_KEY_UNEXTRACTABLE;
import static dev.grep11.client.Ckr.CKR_MECHANISM_INVALID;
import static dev.grep11.client.Ckr.CKR_MECHANISM_PARAM_INVALID;

import dev.grep11.client.Grep11Exception;

/** What a refusal of the gateway says to people, with what helps. */
final class Remedy {
  static String of(Grep11Exception refusal) {
    var message = String.valueOf(refusal.getMessage());
    if (!refusal.answered()) {
      return message;
    }
    long value = refusal.returnValue();
    if (value == CKR_KEY_FUNCTION_NOT_PERMITTED) {
      return message
          + "; the attributes of the key do not allow this: make a key whose template does";
    }
    if (value == CKR_MECHANISM_INVALID) {
      return message
          + "; the gateway does not offer this, or its policy does not: choose another algorithm, or"
          + " ask its operator (docs/mechanisms.md)";
    }
    if (value == CKR_MECHANISM_PARAM_INVALID) {
      return message
          + "; these parameters are not taken. Under policy strict the HSM draws the IV of AES-GCM:"
          + " encrypt without one and read getIV() afterwards";
    }
    if (value == CKR_KEY_UNEXTRACTABLE) {
      return message + "; only keys made with CKA_EXTRACTABLE true are wrapped";
    }
    if (value == CKR_IBM_WKID_MISMATCH) {
      return message
          + "; the key was sealed under a master key that the operator has retired since: load the"
          + " KeyStore again, or have the master key reinstated";
    }
    if (value == CKR_IBM_GREP11_NOT_AUTHENTICATED) {
      return message + "; the API key is no longer good: log in with another one";
    }
    return message;
  }

  private Remedy() {}
}
