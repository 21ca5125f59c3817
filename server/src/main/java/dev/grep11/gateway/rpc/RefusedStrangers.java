package dev.grep11.gateway.rpc;

import dev.grep11.gateway.iam.CallBudget;
import dev.grep11.gateway.iam.CallBudget.Balance;
import dev.grep11.gateway.tls.RateLimit;
import io.grpc.Status;
import java.net.InetSocketAddress;
import java.time.Duration;

/**
 * Records calls, and those of strangers that are too many as a number. A call without a good token
 * costs its sender tens of bytes, and its record hundreds on disk: whoever reaches the port could
 * fill it, or have every call refused for want of records. So could who has a good token and may do
 * nothing here.
 */
public final class RefusedStrangers implements CallAudit, AutoCloseable {
  /** Of an address, or a /64, without a good token; and of a subject. */
  private static final int A_MINUTE = 600;

  /** Of all addresses together. */
  private static final int A_SECOND = 100;

  private static final int BURST_SECONDS = 20;
  private static final Duration BETWEEN_COUNTS = Duration.ofSeconds(10);

  private final CallAudit audit;
  private final CallBudget ofAddress = new CallBudget(A_MINUTE);
  private final RateLimit ofAll = new RateLimit(A_SECOND, BURST_SECONDS, System.nanoTime());
  private final CallBudget ofSubject = new CallBudget(A_MINUTE);
  private final RefusalCount others;

  /** Apart, so that strangers hide nobody. */
  private final RefusalCount othersOfSubjects;

  public RefusedStrangers(CallAudit audit) {
    this.audit = audit;
    this.others = counting(audit);
    this.othersOfSubjects = counting(audit);
  }

  private static RefusalCount counting(CallAudit audit) {
    return new RefusalCount((last, text) -> audit.record(last.withReason(text)), BETWEEN_COUNTS);
  }

  @Override
  public boolean mayProceed() {
    return audit.mayProceed();
  }

  @Override
  public void record(CallRecord call) {
    var subject = call.subject();
    if (subject.isEmpty() && !call.succeeded() && isTooMany(call)) {
      others.add(call);
    } else if (subject.isPresent()
        && isRefused(call)
        && ofSubject.spend(subject.get(), 1) != Balance.WITHIN) {
      othersOfSubjects.add(call);
    } else {
      audit.record(call);
    }
  }

  /** For what the caller is, not for what is in the call. */
  private static boolean isRefused(CallRecord call) {
    return call.status() == Status.Code.UNAUTHENTICATED
        || call.status() == Status.Code.PERMISSION_DENIED;
  }

  private boolean isTooMany(CallRecord call) {
    return (call.remote().orElse(null) instanceof InetSocketAddress remote
            && ofAddress.spend(remote.getAddress(), 1) != Balance.WITHIN)
        || !ofAll.take(System.nanoTime());
  }

  /** Tells of what was counted. */
  @Override
  public void close() {
    others.close();
    othersOfSubjects.close();
  }
}
