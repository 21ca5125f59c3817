package dev.grep11.gateway;

import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.audit.AuditHead;
import dev.grep11.gateway.audit.AuditLog;
import dev.grep11.gateway.audit.AuditSettings;
import dev.grep11.gateway.audit.CheckpointMac;
import dev.grep11.gateway.store.Store;
import java.io.IOException;
import java.util.Optional;
import java.util.function.Function;

/** Records what commands on the host do. What cannot be recorded is not done. */
final class HostAudit {
  private static final int CONFLICT = 409;

  /** Takes an event, and gives the checkpoint after it where there is one; or throws. */
  interface Sink {
    Optional<AuditHead> write(AuditEvent event) throws IOException;
  }

  private final Sink sink;

  HostAudit(Sink sink) {
    this.sink = sink;
  }

  static HostAudit of(AuditSettings settings, CheckpointMac mac) {
    return new HostAudit(event -> AuditLog.append(settings, event, mac));
  }

  /**
   * Makes a change that is recorded, or records why it was not made.
   *
   * @param work makes it and gives the event of it
   * @param refusal gives the event of a change that was not made, of what stood in its way
   * @throws RuntimeException what the work threw
   * @throws StartException when it cannot be recorded
   */
  void change(
      Store store, Function<Store.Change, AuditEvent> work, Function<String, AuditEvent> refusal) {
    try {
      store.<Boolean>change(change -> {
        var event = work.apply(change);
        // Last, so that what is recorded is about to be committed; and before that, so that nothing
        // is committed that is not recorded.
        write(event).ifPresent(head -> AuditHeads.put(change, head));
        return true;
      });
    } catch (RuntimeException e) {
      write(refusal.apply(String.valueOf(e.getMessage())))
          .ifPresent(head ->
              store.change(change -> {
                AuditHeads.put(change, head);
                return true;
              }));
      throw e;
    }
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

  /**
   * Who runs a command: an account of the host, which nothing but the host vouches for.
   *
   * @param agent the command
   */
  static AuditEvent.Initiator operator(String agent) {
    return new AuditEvent.Initiator(
        System.getProperty("user.name", "unknown"),
        Optional.empty(),
        AuditEvent.Initiator.USER,
        "none",
        Optional.empty(),
        Optional.of(agent));
  }

  static AuditEvent.Outcome outcome(Optional<String> refusal) {
    return refusal.isEmpty() ? AuditEvent.Outcome.SUCCESS : AuditEvent.Outcome.FAILURE;
  }

  static AuditEvent.Reason reason(Optional<String> refusal) {
    return refusal
        .map(why -> AuditEvent.Reason.failure(CONFLICT, "Conflict", why))
        .orElse(AuditEvent.Reason.OK);
  }
}
