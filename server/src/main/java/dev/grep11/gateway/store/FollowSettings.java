package dev.grep11.gateway.store;

import java.time.Duration;

/**
 * How closely what a gateway holds in memory follows the store.
 *
 * @param poll between two looks at its generation; bounds how long a revoked grant or a deleted
 *     client CA still works
 * @param lease age of verified state after which everything is refused
 */
public record FollowSettings(Duration poll, Duration lease) {
  public static final FollowSettings DEFAULT =
      new FollowSettings(Duration.ofMillis(250), Duration.ofMinutes(5));

  public FollowSettings {
    if (poll.isNegative() || poll.isZero() || poll.compareTo(Duration.ofSeconds(30)) > 0) {
      throw new IllegalArgumentException(
          "the store is polled at least every 30 s, so that revocation binds within 60 s");
    }
    if (lease.compareTo(poll) <= 0) {
      throw new IllegalArgumentException("the lease must be longer than the poll");
    }
  }
}
