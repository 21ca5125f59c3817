package dev.grep11.gateway;

import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.audit.AuditHead;
import dev.grep11.gateway.audit.AuditLog;
import dev.grep11.gateway.audit.AuditSettings;
import dev.grep11.gateway.audit.CheckpointMac;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.Store;
import java.io.IOException;
import java.time.Instant;
import java.util.Optional;
import java.util.UUID;

/** Records what commands on the host do to master keys. What cannot be recorded is not done. */
final class MasterKeyAudit {
  private static final String AGENT = "grep11 masterkey";

  /** Takes an event, and gives the checkpoint after it where there is one; or throws. */
  interface Sink {
    Optional<AuditHead> write(AuditEvent event) throws IOException;
  }

  private final Sink sink;

  MasterKeyAudit(Sink sink) {
    this.sink = sink;
  }

  static MasterKeyAudit of(AuditSettings settings, CheckpointMac mac) {
    return new MasterKeyAudit(event -> AuditLog.append(settings, event, mac));
  }

  /**
   * To be called in the transaction of the change, as its last step.
   *
   * @param verb of the action
   * @param request the command with its options
   */
  void done(
      Store.Change change,
      String verb,
      String request,
      InstanceRecord instance,
      String generation) {
    write(
            event(
                verb,
                request,
                instance,
                generation,
                AuditEvent.Outcome.SUCCESS,
                AuditEvent.Reason.OK))
        .ifPresent(head -> AuditHeads.put(change, head));
  }

  void refused(
      Store store,
      String verb,
      String request,
      InstanceRecord instance,
      String generation,
      String why) {
    write(
            event(
                verb,
                request,
                instance,
                generation,
                AuditEvent.Outcome.FAILURE,
                AuditEvent.Reason.failure(409, "Conflict", why)))
        .ifPresent(head ->
            store.change(change -> {
              AuditHeads.put(change, head);
              return true;
            }));
  }

  private Optional<AuditHead> write(AuditEvent event) {
    try {
      return sink.write(event);
    } catch (IOException e) {
      throw new StartException(
          "the change cannot be recorded in the audit file, so it is not made: " + e.getMessage(),
          e);
    }
  }

  private static AuditEvent event(
      String verb,
      String request,
      InstanceRecord instance,
      String generation,
      AuditEvent.Outcome outcome,
      AuditEvent.Reason reason) {
    return new AuditEvent(
        "hs-crypto.masterkey." + verb,
        Instant.now(),
        outcome,
        reason,
        new AuditEvent.Initiator(
            System.getProperty("user.name", "unknown"),
            Optional.empty(),
            AuditEvent.Initiator.USER,
            "none",
            Optional.empty(),
            Optional.of(AGENT)),
        new AuditEvent.Target(instance.crn(), Optional.of(generation), "hs-crypto/masterkey"),
        UUID.randomUUID().toString(),
        new AuditEvent.RequestData(request, Optional.of(instance.id())));
  }
}
