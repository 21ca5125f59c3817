package dev.grep11.gateway.rpc;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/**
 * When calls are answered that were too many. A client that asks again at once would keep event
 * loops busy with refusals, which cost them as much as a short call; one that waits for its answer
 * is held by its own limit on concurrent calls.
 *
 * <p>A refusal waits a quarter of a second, and as many more as it takes for no more than {@value
 * #A_SECOND} of them to leave in a second, but never longer than two seconds. Safe for use by
 * several threads.
 */
final class RefusalPace {
  static final long EARLIEST_NANOS = TimeUnit.MILLISECONDS.toNanos(250);
  static final long LATEST_NANOS = TimeUnit.SECONDS.toNanos(2);

  /** A tenth of what an event loop can do. */
  private static final int A_SECOND = 1000;

  private static final long BETWEEN_NANOS = TimeUnit.SECONDS.toNanos(1) / A_SECOND;

  private final AtomicLong last;

  /**
   * @param now by {@link System#nanoTime}
   */
  RefusalPace(long now) {
    last = new AtomicLong(now);
  }

  /** Answers in its turn, on a thread that must not wait. */
  void answer(Runnable answer) {
    CompletableFuture.delayedExecutor(delayNanos(System.nanoTime()), TimeUnit.NANOSECONDS)
        .execute(answer);
  }

  /** How long the next one waits. */
  long delayNanos(long now) {
    long turn =
        last.updateAndGet(before -> {
          // Differences, since the clock may pass the end of its range.
          long after = before - now + BETWEEN_NANOS;
          return now + Math.clamp(after, EARLIEST_NANOS, LATEST_NANOS);
        });
    return turn - now;
  }
}
