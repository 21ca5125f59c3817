package dev.grep11.gateway.audit;

import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/** What the audit queue holds. */
sealed interface AuditEntry permits AuditEvent, AuditEntry.Kept, AuditEntry.Checkpoint {
  /** An event that was kept elsewhere until somebody hears that it is in the file. */
  record Kept(String text, CompletableFuture<Boolean> written) implements AuditEntry {}

  /** A checkpoint after everything before it. */
  record Checkpoint(boolean closing, CompletableFuture<Optional<AuditHead>> made)
      implements AuditEntry {}
}
