package dev.grep11.gateway.iam;

import java.time.Duration;

/**
 * How long an issuer's key set is relied on.
 *
 * @param refreshAfter age at which it is fetched again, while the old one serves
 * @param maxStaleness age after which it serves no more, and tokens are refused
 * @param minInterval between two fetches, also when unknown kids ask for more
 */
public record KeySetTimings(Duration refreshAfter, Duration maxStaleness, Duration minInterval) {
  public static final KeySetTimings DEFAULT =
      new KeySetTimings(Duration.ofMinutes(5), Duration.ofHours(1), Duration.ofSeconds(10));

  public KeySetTimings {
    if (refreshAfter.compareTo(maxStaleness) >= 0 || minInterval.compareTo(refreshAfter) > 0) {
      throw new IllegalArgumentException("key set: minInterval <= refreshAfter < maxStaleness");
    }
  }
}
