package dev.grep11.client;

import io.grpc.Deadline;
import io.grpc.Status;
import java.util.OptionalLong;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLException;

/**
 * When a call that failed is made again: one for each call. Not safe for use by several threads.
 */
final class Repetition {
  /** By whoever answers: more attempts would give him more of what he has too much of. */
  private static final int REFUSALS = 4;

  /** Some 5 s: a gateway that is started again is back within them. */
  private static final int FAILURES = 10;

  private static final long FIRST_PAUSE_MILLIS = 100;
  private static final long LONGEST_PAUSE_MILLIS = 1000;

  /** Less is no time for an attempt, whose failure would hide what the one before says. */
  private static final long SHORTEST_ATTEMPT_MILLIS = 100;

  private final Call<?, ?, ?> call;
  private final Deadline end;
  private int refusals;
  private int failures;

  /**
   * @param end of all attempts
   */
  Repetition(Call<?, ?, ?> call, Deadline end) {
    this.call = call;
    this.end = end;
  }

  /** How long to wait before the next attempt; empty when there is to be none. */
  OptionalLong pauseMillis(Grep11Exception failure) {
    boolean answered = failure.answered() || TokenServiceUnavailableException.answered(failure);
    int times = !answered && failure.status() == Status.Code.UNAVAILABLE ? ++failures : ++refusals;
    if (!(call.isRepeatable() || failure.isNotBegun())
        || !failure.retry()
        || refusals >= REFUSALS
        || failures >= FAILURES
        || brokeInTheHandshake(failure)) {
      return OptionalLong.empty();
    }
    long most = Math.min(FIRST_PAUSE_MILLIS << (times - 1), LONGEST_PAUSE_MILLIS);
    // Half fixed, half drawn, so that clients of one gateway do not come back in step.
    long millis = most / 2 + ThreadLocalRandom.current().nextLong(most / 2 + 1);
    return end.timeRemaining(TimeUnit.MILLISECONDS) < millis + SHORTEST_ATTEMPT_MILLIS
        ? OptionalLong.empty()
        : OptionalLong.of(millis);
  }

  /** Trust does not come back within a retry's pause. */
  private static boolean brokeInTheHandshake(Throwable failure) {
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof SSLException) {
        return true;
      }
    }
    return false;
  }
}
