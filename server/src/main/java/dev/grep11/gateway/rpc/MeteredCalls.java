package dev.grep11.gateway.rpc;

import dev.grep11.gateway.audit.AuditUnavailableException;
import dev.grep11.gateway.metrics.CallMetrics;
import dev.grep11.gateway.pkcs11.Ckr;
import io.grpc.Status;

/** Counts calls on their way into the audit log. */
public final class MeteredCalls implements CallAudit {
  private final CallAudit audit;
  private final CallMetrics metrics;

  public MeteredCalls(CallAudit audit, CallMetrics metrics) {
    this.audit = audit;
    this.metrics = metrics;
  }

  @Override
  public boolean mayProceed() {
    return audit.mayProceed();
  }

  @Override
  public void record(CallRecord call) {
    try {
      audit.record(call);
    } catch (AuditUnavailableException e) {
      // What a success turns into; a refusal stays what it was.
      if (call.succeeded()) {
        count(call, Status.Code.UNAVAILABLE, Ckr.CKR_DEVICE_ERROR);
      } else {
        count(call, call.status(), call.returnValue());
      }
      throw e;
    }
    count(call, call.status(), call.returnValue());
  }

  private void count(CallRecord call, Status.Code status, long returnValue) {
    metrics.ended(
        new CallMetrics.Outcome(
            call.rpc(),
            status.name(),
            // A token's own values are not of a closed set.
            Ckr.isKnown(returnValue) ? Ckr.name(returnValue) : "vendor",
            CallAuditLog.httpStatus(status)),
        call.duration(),
        call.traceId());
  }
}
