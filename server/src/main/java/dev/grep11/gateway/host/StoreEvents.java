package dev.grep11.gateway.host;

import dev.grep11.gateway.audit.AuditEvent;
import java.nio.file.Path;
import java.time.InstantSource;
import java.util.Optional;
import java.util.UUID;

/** Audit events of what is done with the store as a whole. */
final class StoreEvents {
  private final String store;
  private final InstantSource clock;

  /**
   * @param storeKey CKA_ID of the store key in hexadecimal, which tells stores apart
   */
  StoreEvents(String storeKey, InstantSource clock) {
    this.store = "grep11 store " + storeKey;
    this.clock = clock;
  }

  /**
   * @param verb of the command: {@code backup}, {@code restore} or {@code rehearse}
   * @param file the backup
   * @param refusal why it was not done; empty when it was
   * @param what was done, or would have been
   */
  AuditEvent event(
      String verb, Path file, Optional<String> refusal, String what, Optional<String> consequence) {
    return new AuditEvent(
        "grep11.store." + verb,
        clock.instant(),
        HostAudit.outcome(refusal),
        HostAudit.reason(refusal),
        HostAudit.operator("grep11 " + verb),
        new AuditEvent.Target(
            store, Optional.of(String.valueOf(file.getFileName())), "grep11/store"),
        UUID.randomUUID().toString(),
        new AuditEvent.RequestData(
            verb + " " + file.toAbsolutePath().normalize(), Optional.empty()),
        Optional.of(new AuditEvent.ResponseData(what, consequence)),
        Optional.of(UUID.randomUUID()));
  }
}
