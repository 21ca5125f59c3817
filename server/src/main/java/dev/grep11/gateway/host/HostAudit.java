package dev.grep11.gateway.host;

import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.audit.AuditHead;
import dev.grep11.gateway.audit.AuditLog;
import dev.grep11.gateway.audit.AuditSettings;
import dev.grep11.gateway.audit.CheckpointMac;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.UncertainChangeException;
import dev.grep11.gateway.token.StartException;
import java.io.IOException;
import java.util.Optional;
import java.util.function.Function;

/** Records what commands on the host do. What cannot be recorded is not done. */
public final class HostAudit {
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
   * @throws UncertainChangeException when it is not known whether the change was made
   * @throws StartException when it cannot be recorded
   */
  void change(
      Store store, Function<Store.Change, AuditEvent> work, Function<String, AuditEvent> refusal) {
    change(store, work, () -> {}, refusal);
  }

  /**
   * The same, with something that cannot be undone and so is done when it is recorded already.
   *
   * @param last comes between the record and the commit; what it throws undoes the change
   */
  void change(
      Store store,
      Function<Store.Change, AuditEvent> work,
      Runnable last,
      Function<String, AuditEvent> refusal) {
    try {
      store.<Boolean>change(change -> {
        var event = work.apply(change);
        // Last, so that what is recorded is about to be committed; and before that, so that nothing
        // is committed that is not recorded.
        record(change, event);
        last.run();
        return true;
      });
    } catch (UncertainChangeException e) {
      // Whatever fails besides, it must not pass for a change that was not made.
      try {
        writeRefusal(store, refusal.apply(String.valueOf(e.getMessage())));
      } catch (RuntimeException also) {
        e.addSuppressed(also);
      }
      throw e;
    } catch (RuntimeException e) {
      writeRefusal(store, refusal.apply(String.valueOf(e.getMessage())));
      throw e;
    }
  }

  private void writeRefusal(Store store, AuditEvent event) {
    write(event)
        .ifPresent(head ->
            store.change(change -> {
              AuditHeads.put(change, head);
              return true;
            }));
  }

  /**
   * Records a change that is about to be committed.
   *
   * @throws StartException when it cannot be recorded, so that it must not be made
   */
  void record(Store.Change change, AuditEvent event) {
    write(event).ifPresent(head -> AuditHeads.put(change, head));
  }

  /**
   * Records why something was not done, where no store may be there to remember the checkpoint.
   *
   * @param why what is thrown; it says also that it could not be recorded, where that is so
   */
  void refused(AuditEvent event, RuntimeException why) {
    try {
      var _ = write(event);
    } catch (StartException e) {
      why.addSuppressed(e);
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
