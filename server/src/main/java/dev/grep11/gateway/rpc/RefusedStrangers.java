package dev.grep11.gateway.rpc;

import dev.grep11.gateway.iam.CallBudget;
import dev.grep11.gateway.iam.CallBudget.Balance;
import dev.grep11.gateway.tls.RateLimit;
import java.net.InetSocketAddress;
import java.time.Duration;

/**
 * Records calls, and those of too many strangers as a number. A call without a good token costs its
 * sender tens of bytes, and its record hundreds on disk: whoever reaches the port could fill it, or
 * have every call refused for want of records.
 */
public final class RefusedStrangers implements CallAudit, AutoCloseable {
  /** Of an address, or a /64. */
  private static final int A_MINUTE = 600;

  /** Of all addresses together. */
  private static final int A_SECOND = 100;

  private static final int BURST_SECONDS = 20;
  private static final Duration BETWEEN_COUNTS = Duration.ofSeconds(10);

  private final CallAudit audit;
  private final CallBudget ofAddress = new CallBudget(A_MINUTE);
  private final RateLimit ofAll = new RateLimit(A_SECOND, BURST_SECONDS, System.nanoTime());
  private final RefusalCount others;

  public RefusedStrangers(CallAudit audit) {
    this.audit = audit;
    this.others =
        new RefusalCount((last, text) -> audit.record(last.withReason(text)), BETWEEN_COUNTS);
  }

  @Override
  public boolean mayProceed() {
    return audit.mayProceed();
  }

  @Override
  public void record(CallRecord call) {
    if (call.subject().isEmpty() && !call.succeeded() && isTooMany(call)) {
      others.add(call);
    } else {
      audit.record(call);
    }
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
  }
}
