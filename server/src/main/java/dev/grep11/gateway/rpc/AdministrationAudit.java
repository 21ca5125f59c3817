package dev.grep11.gateway.rpc;

import dev.grep11.gateway.audit.AdministrativeAction;
import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.certmgr.AdministrativeEvents;
import dev.grep11.gateway.iam.CallBudget;
import dev.grep11.gateway.store.Subject;
import io.grpc.Status;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.atomic.LongAdder;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Attempts that were refused before {@link dev.grep11.gateway.certmgr.Administration} saw them: a
 * bad token, a missing role, bytes that are no request. What it saw, it recorded.
 *
 * <p>Those of who is refused too often, or calls too often, are counted and told as a number: a
 * flood must neither fill the disk nor go unseen.
 */
final class AdministrationAudit implements CallAudit, AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(AdministrationAudit.class);

  /** Of a command that nobody looked at: only its sender knows what it was to do. */
  private static final String UNREAD_COMMAND = "hs-crypto.mtlscert.command";

  private static final String COUNTED = "hs-crypto.mtlscert.attempts";
  private static final String UNKNOWN_OUTCOME = "outcome unknown; see the event of the change";

  private final AdministrativeEvents events;
  private final CallBudget refusals;
  private final Duration betweenCounts;
  private final LongAdder counted = new LongAdder();
  private final AtomicReference<@Nullable CallRecord> last = new AtomicReference<>();
  private final ScheduledExecutorService teller =
      Executors.newSingleThreadScheduledExecutor(
          Thread.ofPlatform().daemon().name("administration-audit").factory());

  /**
   * @param refusals of addresses; past it they are counted
   * @param betweenCounts how often their number is told
   */
  AdministrationAudit(AdministrativeEvents events, CallBudget refusals, Duration betweenCounts) {
    this.events = events;
    this.refusals = refusals;
    this.betweenCounts = betweenCounts;
    var _ =
        teller.scheduleWithFixedDelay(
            this::tell, betweenCounts.toMillis(), betweenCounts.toMillis(), TimeUnit.MILLISECONDS);
  }

  @Override
  public boolean mayProceed() {
    return events.available();
  }

  @Override
  public void record(CallRecord call) {
    if (call.succeeded()) {
      return;
    }
    if (call.status() == Status.Code.RESOURCE_EXHAUSTED || isRefusedOften(call)) {
      last.set(call);
      counted.increment();
      return;
    }
    // A command may have been carried out, and its answer had nobody to go to.
    boolean unknown = call.status() == Status.Code.CANCELLED && action(call.rpc()).isEmpty();
    var reason =
        AuditEvent.Reason.failure(
            CallAuditLog.httpStatus(call.status()),
            call.status().name(),
            unknown ? call.reason() + "; " + UNKNOWN_OUTCOME : call.reason());
    write(call, reason, unknown ? UNKNOWN_OUTCOME : "refused");
  }

  private boolean isRefusedOften(CallRecord call) {
    return (call.status() == Status.Code.UNAUTHENTICATED
            || call.status() == Status.Code.PERMISSION_DENIED)
        && call.remote().orElse(null) instanceof InetSocketAddress remote
        && refusals.exceeded(remote.getAddress());
  }

  private void tell() {
    long attempts = counted.sumThenReset();
    var one = last.getAndSet(null);
    if (attempts == 0 || one == null) {
      counted.add(attempts);
      return;
    }
    try {
      events.record(
          new AuditEvent(
              COUNTED,
              Instant.now(),
              AuditEvent.Outcome.FAILURE,
              AuditEvent.Reason.failure(
                  429,
                  "many",
                  "%d more calls were refused within %d s; this is the last of them"
                      .formatted(attempts, betweenCounts.toSeconds())),
              CallAuditLog.initiator(one),
              new AuditEvent.Target(
                  one.instance().map(UUID::toString).orElse("unknown"),
                  Optional.empty(),
                  "hs-crypto/mtlscert"),
              one.correlationId(),
              requestOf(one),
              Optional.of(new AuditEvent.ResponseData("refused")),
              Optional.of(UUID.randomUUID())));
    } catch (RuntimeException e) {
      // They are refused as they are, and told of when that is possible again.
      counted.add(attempts);
      last.compareAndSet(null, one);
      LOG.warn("{} refused calls are not in the audit log yet: {}", attempts, e.getMessage());
    }
  }

  /** Tells of what was counted. */
  @Override
  public void close() {
    teller.shutdown();
    try {
      if (!teller.awaitTermination(5, TimeUnit.SECONDS)) {
        LOG.warn("the number of refused calls is still being written");
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    tell();
  }

  private void write(CallRecord call, AuditEvent.Reason reason, String response) {
    var action = action(call.rpc());
    events.record(
        new AuditEvent(
            action.map(AdministrativeAction::eventName).orElse(UNREAD_COMMAND),
            Instant.now(),
            AuditEvent.Outcome.FAILURE,
            call.tokenRefusal()
                .map(refusal -> reason.withTokenRefusal(CallAuditLog.word(refusal)))
                .orElse(reason),
            CallAuditLog.initiator(call),
            new AuditEvent.Target(
                call.instance().map(UUID::toString).orElse("unknown"),
                action.map(AdministrativeAction::targetName),
                action.map(AdministrativeAction::targetTypeUri).orElse("hs-crypto/mtlscert")),
            call.correlationId(),
            call.subject()
                .map(Subject::id)
                .map(requestOf(call)::withAccountId)
                .orElse(requestOf(call)),
            Optional.of(new AuditEvent.ResponseData(response)),
            Optional.of(UUID.randomUUID())));
  }

  private static AuditEvent.RequestData requestOf(CallRecord call) {
    return new AuditEvent.RequestData(CertificateManagerService.path(call.rpc()), call.instance());
  }

  private static Optional<AdministrativeAction> action(String rpc) {
    return switch (rpc) {
      case "GetAdminKey" -> Optional.of(AdministrativeAction.ADMIN_KEY_READ);
      case "ListCertificates" -> Optional.of(AdministrativeAction.CERT_LIST);
      case "GetCertificate", "CheckCertificate" -> Optional.of(AdministrativeAction.CERT_READ);
      default -> Optional.empty();
    };
  }
}
