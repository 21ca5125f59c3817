package dev.grep11.gateway.tls;

import java.util.concurrent.TimeUnit;

/**
 * So many a second, and a multiple of it at once after a pause. Safe for use by several threads.
 */
public final class RateLimit {
  private final double perNano;
  private final double most;
  private double left;
  private long at;

  /**
   * With all that a pause brings.
   *
   * @param burstSeconds whose rate is kept while it is not used
   * @param nowNanos by {@link System#nanoTime}
   */
  public RateLimit(int perSecond, int burstSeconds, long nowNanos) {
    perNano = perSecond / (double) TimeUnit.SECONDS.toNanos(1);
    most = (double) perSecond * burstSeconds;
    left = most;
    at = nowNanos;
  }

  /** Takes one; false when none is left. */
  public synchronized boolean take(long nowNanos) {
    // Clocks of two threads may be seen in either order.
    long passed = Math.max(0, nowNanos - at);
    left = Math.min(most, left + passed * perNano);
    at += passed;
    if (left < 1) {
      return false;
    }
    left--;
    return true;
  }
}
