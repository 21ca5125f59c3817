package dev.grep11.gateway.rpc;

import io.netty.util.HashedWheelTimer;
import io.netty.util.Timeout;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/**
 * Ends what a client has begun and does not go on with: a request without its end would hold a
 * stream and its bytes for as long as the client likes, whatever happens to its token meanwhile. To
 * the second, since there may be one for each call.
 */
final class Overdue {
  private static final HashedWheelTimer TIMER =
      new HashedWheelTimer(
          Thread.ofPlatform().daemon().name("overdue-calls").factory(), 1, TimeUnit.SECONDS);

  private Overdue() {}

  /**
   * Runs {@code end} after {@code longest}, on a thread that must not wait, unless it is cancelled.
   */
  static Timeout after(Duration longest, Runnable end) {
    return TIMER.newTimeout(_ -> end.run(), longest.toNanos(), TimeUnit.NANOSECONDS);
  }
}
