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

/**
 * Attempts that were refused before {@link dev.grep11.gateway.certmgr.Administration} saw them: a
 * bad token, a missing role, bytes that are no request. What it saw, it recorded.
 *
 * <p>Those of who is refused too often, or calls too often, are told as a number.
 */
final class AdministrationAudit implements CallAudit, AutoCloseable {
  /** Of a command that nobody looked at: only its sender knows what it was to do. */
  private static final String UNREAD_COMMAND = "hs-crypto.mtlscert.command";

  private static final String COUNTED = "hs-crypto.mtlscert.attempts";
  private static final String UNKNOWN_OUTCOME = "outcome unknown; see the event of the change";

  private final AdministrativeEvents events;
  private final CallBudget refusals;
  private final RefusalCount others;

  /**
   * @param refusals of addresses; past it they are counted
   * @param betweenCounts how often their number is told
   */
  AdministrationAudit(AdministrativeEvents events, CallBudget refusals, Duration betweenCounts) {
    this.events = events;
    this.refusals = refusals;
    this.others = new RefusalCount(this::tell, betweenCounts);
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
      others.add(call);
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

  private void tell(CallRecord last, String text) {
    events.record(
        new AuditEvent(
            COUNTED,
            Instant.now(),
            AuditEvent.Outcome.FAILURE,
            AuditEvent.Reason.failure(429, "many", text),
            CallAuditLog.initiator(last),
            new AuditEvent.Target(
                last.instance().map(UUID::toString).orElse("unknown"),
                Optional.empty(),
                "hs-crypto/mtlscert"),
            last.correlationId(),
            requestOf(last),
            Optional.of(new AuditEvent.ResponseData("refused")),
            Optional.of(UUID.randomUUID())));
  }

  /** Tells of what was counted. */
  @Override
  public void close() {
    others.close();
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
