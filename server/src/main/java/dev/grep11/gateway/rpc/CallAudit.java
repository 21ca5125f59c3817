package dev.grep11.gateway.rpc;

/** Where calls are recorded, on the thread that answers. */
public interface CallAudit {

  /**
   * Whether a call may run now. False when the operator wants no call without a record and records
   * cannot be kept at present.
   */
  default boolean mayProceed() {
    return true;
  }

  /**
   * Takes a record before its outcome is released.
   *
   * @throws dev.grep11.gateway.audit.AuditUnavailableException when it cannot be taken, and the
   *     call must be refused for it
   */
  void record(CallRecord call);
}
