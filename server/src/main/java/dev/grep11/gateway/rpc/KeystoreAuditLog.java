package dev.grep11.gateway.rpc;

import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.audit.AuditLog;
import dev.grep11.gateway.iam.KeystoreRpc;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.proto.keystore.KeyStoresGrpc;
import java.time.Instant;
import java.util.Optional;

/** Calls of the keystore service as events of the audit log, each under the name of its action. */
public final class KeystoreAuditLog implements CallAudit {
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
    var rpc = KeystoreRpc.named(call.rpc());
    log.record(
        new AuditEvent(
            rpc.event(),
            Instant.now(),
            call.succeeded() ? AuditEvent.Outcome.SUCCESS : AuditEvent.Outcome.FAILURE,
            CallAuditLog.reason(call, httpStatus(call)),
            CallAuditLog.initiator(call),
            new AuditEvent.Target(
                call.instance().map(Object::toString).orElse("unknown"),
                call.target(),
                rpc.isAboutKeystore() ? "hs-crypto/keystore" : "hs-crypto/key"),
            call.correlationId(),
            new AuditEvent.RequestData(
                "/" + KeyStoresGrpc.SERVICE_NAME + "/" + call.rpc(),
                call.instance(),
                Optional.empty(),
                Optional.empty())));
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
