package dev.grep11.gateway;

import java.time.Duration;
import java.util.Locale;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Whether cheap calls may run on event loops: as long as the token answers them as a local one
 * does. While a loop waits for the token its other connections wait too, so a token that has become
 * slow, or never was local, gets them on its workers; after a rest it is tried again.
 *
 * <p>Goes by the average: a single call is also slow when the processor was somebody else's. The
 * loops share one average without a lock; of two figures at once one may be lost.
 */
final class InlineWatch {
  private static final Logger LOG = LoggerFactory.getLogger(InlineWatch.class);

  /** One part in so many of what is known is what was learnt last. */
  private static final int MEMORY = 64;

  /** A cheap call takes a token in this process well below a tenth of it. */
  private static final long SLOW = Duration.ofMillis(5).toNanos();

  /** However long one took, it alone is not the average. */
  private static final long MOST = MEMORY * SLOW / 4;

  private static final long REST = Duration.ofSeconds(30).toNanos();

  private final boolean local;
  private volatile long averageNanos;
  private volatile boolean resting;
  private volatile long restUntil;

  /**
   * @param local what the setting {@code execution} says; false allows nothing ever
   */
  InlineWatch(boolean local) {
    this.local = local;
  }

  /**
   * Whether a call may run on the event loop.
   *
   * @param now by {@link System#nanoTime}
   */
  boolean allows(long now) {
    if (!local || !resting) {
      return local;
    }
    if (now - restUntil < 0) {
      return false;
    }
    resting = false;
    return true;
  }

  /** Tells of a call that ran there. */
  @SuppressWarnings("NonAtomicOperationOnVolatileField") // As the class says.
  void took(long begin, long end) {
    var average = averageNanos + (Math.min(end - begin, MOST) - averageNanos) / MEMORY;
    averageNanos = average;
    if (average > SLOW) {
      averageNanos = 0;
      restUntil = end + REST;
      resting = true;
      LOG.warn(
          "the token takes {} ms for cheap calls: for {} s they leave the event loops, where other"
              + " connections wait for them; for an HSM behind a network set execution: network",
          String.format(Locale.ROOT, "%.1f", average / 1e6),
          Duration.ofNanos(REST).toSeconds());
    }
  }
}
