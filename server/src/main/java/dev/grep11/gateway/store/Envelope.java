package dev.grep11.gateway.store;

/**
 * Seals the store's data key by something outside of the database: in the gateway, the store key in
 * the HSM.
 */
public interface Envelope {
  /** Encrypts and authenticates {@code plaintext}, and authenticates {@code aad}. */
  byte[] seal(byte[] plaintext, byte[] aad);

  /**
   * Opens what {@link #seal} made.
   *
   * @throws RuntimeException when {@code sealed} or {@code aad} is not what was sealed
   */
  byte[] open(byte[] sealed, byte[] aad);
}
