package dev.grep11.client;

import io.grpc.Deadline;
import java.util.OptionalLong;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLException;

/** When a call that failed is made again. */
final class Repetition {
  private static final int ATTEMPTS = 4;
  private static final long FIRST_PAUSE_MILLIS = 100;

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
        || attempt >= ATTEMPTS
        || brokeInTheHandshake(failure)) {
      return OptionalLong.empty();
    }
    long most = FIRST_PAUSE_MILLIS << (attempt - 1);
    // Half fixed, half drawn, so that clients of one gateway do not come back in step.
    long millis = most / 2 + ThreadLocalRandom.current().nextLong(most / 2 + 1);
    return end.timeRemaining(TimeUnit.MILLISECONDS) <= millis
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
