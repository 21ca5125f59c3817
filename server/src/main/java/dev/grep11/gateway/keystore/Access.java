package dev.grep11.gateway.keystore;

import java.util.UUID;

/**
 * Who reaches into which keystore. Whoever may not is given the id of one that does not exist.
 *
 * @param caller for quotas and the count of wrong passwords
 * @param password in UTF-8; empty for none
 */
@SuppressWarnings("ArrayRecordComponent") // Never compared.
public record Access(UUID instance, UUID keystore, String caller, byte[] password) {
  @Override
  public String toString() {
    return "Access[" + keystore + " of " + instance + "]";
  }
}
