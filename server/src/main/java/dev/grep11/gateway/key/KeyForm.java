package dev.grep11.gateway.key;

/** As what object a sealed key is loaded into the token. */
public enum KeyForm {
  /** As the key it is, for the uses that its attributes allow. */
  USE,
  /**
   * As a generic secret of the same value, for HMAC with AES and DES keys: a token takes an HMAC
   * key of no other type.
   */
  HMAC,
  /** Extractable, for one wrap, one re-seal or one look at its value; never cached. */
  EXPORT
}
