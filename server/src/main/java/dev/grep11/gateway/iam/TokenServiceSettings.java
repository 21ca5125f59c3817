package dev.grep11.gateway.iam;

import java.net.InetSocketAddress;
import java.time.Duration;

/**
 * The embedded token service.
 *
 * @param address where it listens; port 0 takes a free one
 * @param issuer the {@code iss} of its tokens
 * @param audience the {@code aud} of its tokens
 * @param account the {@code account.bss} of its tokens
 * @param lifetime of a token
 * @param requestsPerMinute that an API key has at an address; and, apart from them, that an address
 *     has whose requests show no good key, each of which counts as {@value
 *     TokenService#COST_OF_REFUSAL}
 */
public record TokenServiceSettings(
    InetSocketAddress address,
    String issuer,
    String audience,
    String account,
    Duration lifetime,
    int requestsPerMinute) {
  public TokenServiceSettings {
    if (lifetime.toSeconds() < 1 || lifetime.compareTo(Duration.ofHours(24)) > 0) {
      throw new IllegalArgumentException("a token lives from a second to a day, not " + lifetime);
    }
    if (requestsPerMinute < 1) {
      throw new IllegalArgumentException("requests per minute " + requestsPerMinute);
    }
  }

  /** Tokens of an hour, as the clients expect. */
  public static TokenServiceSettings of(
      InetSocketAddress address, String issuer, String audience, String account) {
    return new TokenServiceSettings(address, issuer, audience, account, Duration.ofHours(1), 1_200);
  }
}
