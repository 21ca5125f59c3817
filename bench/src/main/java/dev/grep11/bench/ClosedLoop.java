package dev.grep11.bench;

import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * A bounded number of lanes, each of which begins the next operation when its last one has ended:
 * the clock and the tally that they share. What ends between the end of the warm-up and the end of
 * the window counts.
 */
final class ClosedLoop {
  private static final Duration LONGEST_TAIL = Duration.ofSeconds(60);

  private enum Phase {
    WARM_UP,
    MEASURED,
    OVER
  }

  private final CountDownLatch lanes;
  private final AtomicLong count = new AtomicLong();
  private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
  private final Latencies latencies = new Latencies();
  private volatile Phase phase = Phase.WARM_UP;

  ClosedLoop(int lanes) {
    this.lanes = new CountDownLatch(lanes);
  }

  /** Whether a lane goes on. */
  boolean running() {
    return phase != Phase.OVER;
  }

  void done(long nanos) {
    if (phase == Phase.MEASURED) {
      count.incrementAndGet();
      latencies.record(nanos);
    }
  }

  /** A lane has ended, after its last operation. */
  void left() {
    lanes.countDown();
  }

  /** An operation failed, which ends the run. */
  void failed(Throwable cause) {
    failure.compareAndSet(null, cause);
    phase = Phase.OVER;
    left();
  }

  /**
   * Waits for warm-up and window, ends the lanes, and waits for them.
   *
   * @throws BenchException if an operation failed: a rate with errors in it says nothing
   */
  Sample sample(Duration warmUp, Duration window, Meter meter) {
    try {
      rest(warmUp);
      var before = meter.read();
      long began = System.nanoTime();
      phase = failure.get() == null ? Phase.MEASURED : Phase.OVER;
      rest(window);
      phase = Phase.OVER;
      long ended = System.nanoTime();
      var usage = meter.read().since(before);
      if (!lanes.await(LONGEST_TAIL.toSeconds(), TimeUnit.SECONDS)) {
        throw new BenchException("an operation did not end within " + LONGEST_TAIL);
      }
      var cause = failure.get();
      if (cause != null) {
        throw new BenchException("an operation failed: " + Failures.describe(cause), cause);
      }
      return new Sample(count.get(), ended - began, latencies, usage);
    } catch (InterruptedException e) {
      phase = Phase.OVER;
      Thread.currentThread().interrupt();
      throw new BenchException("interrupted", e);
    }
  }

  private void rest(Duration duration) throws InterruptedException {
    long end = System.nanoTime() + duration.toNanos();
    while (failure.get() == null && System.nanoTime() < end) {
      Thread.sleep(Math.clamp((end - System.nanoTime()) / 1_000_000, 1, 50));
    }
  }
}
