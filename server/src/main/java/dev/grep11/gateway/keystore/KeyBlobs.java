package dev.grep11.gateway.keystore;

import java.util.Optional;
import java.util.UUID;

/** What a keystore asks of those who seal keys. Calls wait for the token. */
public interface KeyBlobs {
  /**
   * A blob that proved genuine.
   *
   * @param generation of its sealing keys; empty text for a bare public key
   * @param objectClass CKO number of the key
   */
  @SuppressWarnings("ArrayRecordComponent") // Never compared.
  record Proven(byte[] blob, String generation, long objectClass) {}

  /**
   * Checks a blob.
   *
   * @param caller whose share of the token's time this takes
   * @throws dev.grep11.gateway.pkcs11.Pkcs11Exception as for every use of the blob
   */
  Proven prove(UUID instance, String caller, byte[] blob);

  /**
   * The same key under the generation that seals, or a newer one; empty when it is there already.
   */
  Optional<Proven> reseal(UUID instance, String caller, byte[] blob);
}
