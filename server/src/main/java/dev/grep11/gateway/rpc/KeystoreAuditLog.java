package dev.grep11.gateway.rpc;

import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.audit.AuditLog;
import dev.grep11.gateway.iam.Actions;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.proto.keystore.KeyStoresGrpc;
import java.time.Instant;
import java.util.Optional;

/** Calls of the keystore service as events of the audit log, each under the name of its action. */
public final class KeystoreAuditLog implements CallAudit {
  private static final String CHANGE_PASSWORD = "ChangePassword";

  private final AuditLog log;

  public KeystoreAuditLog(AuditLog log) {
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
            action(call.rpc()),
            Instant.now(),
            call.succeeded() ? AuditEvent.Outcome.SUCCESS : AuditEvent.Outcome.FAILURE,
            reason(call),
            CallAuditLog.initiator(call),
            new AuditEvent.Target(
                call.instance().map(Object::toString).orElse("unknown"),
                call.target(),
                call.rpc().contains("Keystore") || call.rpc().equals(CHANGE_PASSWORD)
                    ? "hs-crypto/keystore"
                    : "hs-crypto/key"),
            call.correlationId(),
            new AuditEvent.RequestData(
                "/" + KeyStoresGrpc.SERVICE_NAME + "/" + call.rpc(),
                call.instance(),
                Optional.empty(),
                Optional.empty())));
  }

  /** The published names have none for a change of the password. */
  private static String action(String rpc) {
    return rpc.equals(CHANGE_PASSWORD)
        ? "grep11.keystore.change-password"
        : Actions.ofKeystoreRpc(rpc).iterator().next();
  }

  private static AuditEvent.Reason reason(CallRecord call) {
    if (call.succeeded()) {
      return AuditEvent.Reason.OK;
    }
    var reason =
        AuditEvent.Reason.failure(httpStatus(call), Ckr.name(call.returnValue()), call.reason());
    return call.tokenRefusal()
        .map(refusal -> reason.withTokenRefusal(CallAuditLog.word(refusal)))
        .orElse(reason);
  }

  private static int httpStatus(CallRecord call) {
    long value = call.returnValue();
    if (value == Ckr.CKR_IBM_GREP11_MISSING) {
      return 404;
    }
    if (value == Ckr.CKR_IBM_GREP11_CONFLICT || value == Ckr.CKR_IBM_GREP11_REPLAY) {
      return 409;
    }
    if (value == Ckr.CKR_PIN_INCORRECT || value == Ckr.CKR_PIN_LOCKED) {
      return 403;
    }
    if (value == Ckr.CKR_IBM_GREP11_DBINTERNAL) {
      return 500;
    }
    return CallAuditLog.httpStatus(call.status());
  }
}
