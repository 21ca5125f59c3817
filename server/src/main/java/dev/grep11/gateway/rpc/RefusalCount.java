package dev.grep11.gateway.rpc;

import java.time.Duration;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.atomic.LongAdder;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Refused calls that are told as a number, with the last of them: a flood must neither fill the
 * disk nor go unseen. Safe for use by several threads.
 */
final class RefusalCount implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(RefusalCount.class);
  private static final int LONGEST_CLOSE_SECONDS = 5;

  /** Where the number goes. */
  @FunctionalInterface
  interface Report {
    /**
     * Records them; they are kept for the next time when it cannot.
     *
     * @param text how many they are and since when
     */
    void of(CallRecord last, String text);
  }

  private final Report report;
  private final Duration between;
  private final LongAdder calls = new LongAdder();
  private final AtomicReference<@Nullable CallRecord> last = new AtomicReference<>();
  private final ScheduledExecutorService teller =
      Executors.newSingleThreadScheduledExecutor(
          Thread.ofPlatform().daemon().name("refusal-count").factory());

  /**
   * @param between how often the number is told, where there is one
   */
  RefusalCount(Report report, Duration between) {
    this.report = report;
    this.between = between;
    var _ =
        teller.scheduleWithFixedDelay(
            this::tell, between.toMillis(), between.toMillis(), TimeUnit.MILLISECONDS);
  }

  void add(CallRecord call) {
    last.set(call);
    calls.increment();
  }

  private void tell() {
    long number = calls.sumThenReset();
    var one = last.getAndSet(null);
    if (number == 0 || one == null) {
      calls.add(number);
      return;
    }
    try {
      report.of(
          one,
          "%d more calls were refused within %d s; this is the last of them"
              .formatted(number, between.toSeconds()));
    } catch (RuntimeException e) {
      // They are refused as they are, and told of when that is possible again.
      calls.add(number);
      last.compareAndSet(null, one);
      LOG.warn("{} refused calls are not in the audit log yet: {}", number, e.getMessage());
    }
  }

  /** Tells of what was counted. */
  @Override
  public void close() {
    teller.shutdown();
    try {
      if (!teller.awaitTermination(LONGEST_CLOSE_SECONDS, TimeUnit.SECONDS)) {
        LOG.warn("the number of refused calls is still being written");
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    tell();
  }
}
