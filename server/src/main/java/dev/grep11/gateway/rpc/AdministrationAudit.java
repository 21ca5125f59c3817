package dev.grep11.gateway.rpc;

import dev.grep11.gateway.audit.AdministrativeAction;
import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.certmgr.AdministrativeEvents;
import dev.grep11.gateway.store.Subject;
import java.time.Instant;
import java.util.Optional;
import java.util.UUID;

/**
 * Attempts that were refused before {@link dev.grep11.gateway.certmgr.Administration} saw them: a
 * bad token, a missing role, bytes that are no request. What it saw, it recorded.
 */
final class AdministrationAudit implements CallAudit {
  /** Of a command that nobody looked at: only its sender knows what it was to do. */
  private static final String UNREAD_COMMAND = "hs-crypto.mtlscert.command";

  private final AdministrativeEvents events;

  AdministrationAudit(AdministrativeEvents events) {
    this.events = events;
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
    var action = action(call.rpc());
    var reason =
        AuditEvent.Reason.failure(
            CallAuditLog.httpStatus(call.status()), call.status().name(), call.reason());
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
            Optional.of(new AuditEvent.ResponseData("refused")),
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
