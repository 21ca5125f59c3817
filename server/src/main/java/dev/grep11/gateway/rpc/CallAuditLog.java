package dev.grep11.gateway.rpc;

import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.audit.AuditLog;
import dev.grep11.gateway.iam.TokenRejectedException;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Ckr;
import java.net.InetSocketAddress;
import java.time.Instant;
import java.util.Optional;

/** Calls as events of the audit log: {@code hs-crypto.ep11.use}, one each, refusals included. */
public final class CallAuditLog implements CallAudit {
  private final AuditLog log;

  public CallAuditLog(AuditLog log) {
    this.log = log;
  }

  @Override
  public boolean mayProceed() {
    return log.available();
  }

  @Override
  public void record(CallRecord call) {
    log.record(
        new AuditEvent(
            AuditEvent.EP11_USE,
            Instant.now(),
            call.succeeded() ? AuditEvent.Outcome.SUCCESS : AuditEvent.Outcome.FAILURE,
            reason(call, httpStatus(call.status())),
            initiator(call),
            new AuditEvent.Target(
                call.instance().map(Object::toString).orElse("unknown"),
                Optional.empty(),
                "hs-crypto/ep11"),
            call.correlationId(),
            new AuditEvent.RequestData(
                "/grep11.Crypto/" + call.rpc(),
                call.instance(),
                call.mechanism().map(Ckm::name),
                call.keyFingerprint())));
  }

  static AuditEvent.Reason reason(CallRecord call, int httpStatus) {
    if (call.succeeded()) {
      return AuditEvent.Reason.OK;
    }
    var reason = AuditEvent.Reason.failure(httpStatus, Ckr.name(call.returnValue()), call.reason());
    return call.tokenRefusal()
        .map(refusal -> reason.withTokenRefusal(word(refusal)))
        .orElse(reason);
  }

  static String word(TokenRejectedException.Reason refusal) {
    return switch (refusal) {
      case MISSING -> "missing";
      case MALFORMED -> "malformed";
      case ISSUER -> "issuer";
      case ALGORITHM -> "algorithm";
      case HEADER -> "header";
      case UNKNOWN_KEY -> "unknown-key";
      case SIGNATURE -> "signature";
      case NOT_AN_ACCESS_TOKEN -> "not-an-access-token";
      case EXPIRED -> AuditEvent.Reason.EXPIRED;
      case NOT_YET_VALID -> "not-yet-valid";
      case AUDIENCE -> "audience";
      case ACCOUNT -> "account";
      case SUBJECT -> "subject";
      case KEYS_UNAVAILABLE -> "keys-unavailable";
    };
  }

  /** The codes that CADF readers know. */
  static int httpStatus(io.grpc.Status.Code code) {
    return switch (code) {
      case OK -> 200;
      case UNAUTHENTICATED -> 401;
      case PERMISSION_DENIED -> 403;
      case RESOURCE_EXHAUSTED -> 429;
      case CANCELLED -> 499;
      case UNAVAILABLE -> 503;
      case DEADLINE_EXCEEDED -> 504;
      case UNKNOWN,
          INVALID_ARGUMENT,
          NOT_FOUND,
          ALREADY_EXISTS,
          FAILED_PRECONDITION,
          ABORTED,
          OUT_OF_RANGE ->
          400;
      case UNIMPLEMENTED -> 501;
      case INTERNAL, DATA_LOSS -> 500;
    };
  }

  static AuditEvent.Initiator initiator(CallRecord call) {
    return new AuditEvent.Initiator(
        call.subject().map(subject -> subject.id()).orElse("unknown"),
        call.name(),
        call.subject().isPresent() ? AuditEvent.Initiator.SERVICE_ID : AuditEvent.Initiator.UNKNOWN,
        call.subject().isPresent() ? "token" : "none",
        call.subject().map(subject -> subject.issuer()),
        call.remote()
            .filter(InetSocketAddress.class::isInstance)
            .map(remote -> ((InetSocketAddress) remote).getAddress().getHostAddress()),
        call.userAgent());
  }
}
