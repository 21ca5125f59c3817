package dev.grep11.client;

import io.grpc.Deadline;
import io.grpc.Status;
import java.util.OptionalLong;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLException;

/** When a call that failed is made again. */
final class Repetition {
  private static final int ATTEMPTS = 4;

  /** Some 5 s: a gateway that is started again is back within them. */
  private static final int ATTEMPTS_TO_REACH = 10;

  private static final long FIRST_PAUSE_MILLIS = 100;
  private static final long LONGEST_PAUSE_MILLIS = 1000;

  private Repetition() {}

  /**
   * How long to wait before the next attempt; empty when there is to be none.
   *
   * @param attempt the one that failed, from 1
   * @param end of all attempts
   */
  static OptionalLong pauseMillis(
      Call<?, ?, ?> call, Grep11Exception failure, int attempt, Deadline end) {
    if (!(call.isRepeatable() || failure.isNotBegun())
        || !failure.retry()
        || attempt >= (isUnreachable(failure) ? ATTEMPTS_TO_REACH : ATTEMPTS)
        || brokeInTheHandshake(failure)) {
      return OptionalLong.empty();
    }
    long most = Math.min(FIRST_PAUSE_MILLIS << (attempt - 1), LONGEST_PAUSE_MILLIS);
    // Half fixed, half drawn, so that clients of one gateway do not come back in step.
    long millis = most / 2 + ThreadLocalRandom.current().nextLong(most / 2 + 1);
    return end.timeRemaining(TimeUnit.MILLISECONDS) <= millis
        ? OptionalLong.empty()
        : OptionalLong.of(millis);
  }

  /** Who answers that he has too much to do would have more of it with more attempts. */
  private static boolean isUnreachable(Grep11Exception failure) {
    return failure.status() == Status.Code.UNAVAILABLE
        && !TokenServiceUnavailableException.answered(failure);
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
