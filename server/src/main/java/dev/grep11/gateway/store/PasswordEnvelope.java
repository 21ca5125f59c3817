package dev.grep11.gateway.store;

/**
 * The key of a keystore with a password, sealed under what Argon2id (RFC 9106) makes of it. The
 * costs are kept with it, so that they can be raised for later ones.
 *
 * @param memoryKib of one derivation
 * @param salt drawn for this password
 * @param sealedKey opens with the right password only
 */
@SuppressWarnings("ArrayRecordComponent") // Never compared as a whole.
public record PasswordEnvelope(int memoryKib, int passes, byte[] salt, byte[] sealedKey) {
  @Override
  public String toString() {
    return "PasswordEnvelope[" + memoryKib + " KiB, " + passes + " passes]";
  }
}
