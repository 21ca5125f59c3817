package dev.grep11.gateway.rpc;

/** Where calls are recorded. Called on the thread that answers, so it must not block. */
public interface CallAudit {

  /**
   * Whether a call may run now. False when the operator wants no call without a record and records
   * cannot be kept at present.
   */
  default boolean mayProceed() {
    return true;
  }

  void record(CallRecord call);
}
