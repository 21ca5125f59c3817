package dev.grep11.gateway.rpc;

import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLongArray;

/**
 * When calls are answered that were too many. A client that asks again at once would keep event
 * loops busy with refusals, which cost them as much as a short call; one that waits for its answer
 * is held by its own limit on concurrent calls.
 *
 * <p>A refusal waits a quarter of a second, and longer where more than {@value #A_SECOND} a second
 * would leave; never longer than ten seconds, so that beyond ten times as many that wait they leave
 * as fast as they came, nor than half of the time that the client waits: it is to read why. They
 * leave in batches, which event loops send at once. Callers do not wait for each other, but for the
 * few that share a place. Safe for use by several threads.
 */
final class RefusalPace {
  static final long EARLIEST_NANOS = TimeUnit.MILLISECONDS.toNanos(250);
  static final long LATEST_NANOS = TimeUnit.SECONDS.toNanos(10);

  /** A tenth of what an event loop can do. */
  private static final int A_SECOND = 1000;

  private static final long BETWEEN_NANOS = TimeUnit.SECONDS.toNanos(1) / A_SECOND;
  private static final int PLACES = 256;

  /** All that leave within it leave together. */
  private static final long BATCH_NANOS = TimeUnit.MILLISECONDS.toNanos(20);

  private static final ScheduledExecutorService LEAVING =
      Executors.newSingleThreadScheduledExecutor(
          Thread.ofPlatform().daemon().name("refusals").factory());

  /** When the last refusal of each place leaves. */
  private final AtomicLongArray last = new AtomicLongArray(PLACES);

  /**
   * @param now by {@link System#nanoTime}
   */
  RefusalPace(long now) {
    for (int i = 0; i < PLACES; i++) {
      last.set(i, now);
    }
  }

  /**
   * Answers in its turn, on a thread that must not wait.
   *
   * @param patienceNanos how long the client still waits
   */
  @SuppressWarnings("FutureReturnValueIgnored") // A call that is gone needs no answer.
  void answer(String caller, long patienceNanos, Runnable answer) {
    long now = System.nanoTime();
    long delay = Math.min(delayNanos(caller, now), patienceNanos / 2);
    LEAVING.schedule(
        answer, delay + Math.floorMod(-(now + delay), BATCH_NANOS), TimeUnit.NANOSECONDS);
  }

  /** How long the next one of a caller waits. */
  long delayNanos(String caller, long now) {
    long turn =
        last.updateAndGet(
            Math.floorMod(caller.hashCode(), PLACES),
            before -> {
              // Differences, since the clock may pass the end of its range.
              long after = before - now + BETWEEN_NANOS;
              return now + Math.clamp(after, EARLIEST_NANOS, LATEST_NANOS);
            });
    return turn - now;
  }
}
