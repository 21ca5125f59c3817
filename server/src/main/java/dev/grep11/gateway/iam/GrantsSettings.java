package dev.grep11.gateway.iam;

import java.time.Duration;

/**
 * How closely the grants in memory follow the store.
 *
 * @param poll between two looks at its generation; bounds how long a revoked grant still works
 * @param lease age of verified state after which everything is refused
 */
public record GrantsSettings(Duration poll, Duration lease) {
  public static final GrantsSettings DEFAULT =
      new GrantsSettings(Duration.ofSeconds(2), Duration.ofMinutes(5));

  public GrantsSettings {
    if (poll.isNegative() || poll.isZero() || poll.compareTo(Duration.ofSeconds(30)) > 0) {
      throw new IllegalArgumentException(
          "grants are polled at least every 30 s, so that revocation binds within 60 s");
    }
    if (lease.compareTo(poll) <= 0) {
      throw new IllegalArgumentException("the lease must be longer than the poll");
    }
  }
}
