package dev.grep11.gateway.tls;

import java.time.Duration;

/**
 * How many connections a port takes. An address is one of IPv4 or, since a host has it for itself,
 * a /64 of IPv6.
 *
 * @param open at once
 * @param openPerAddress at once, of one address
 * @param openPerCaller at once, of one caller, that make room for nobody; further ones do
 * @param handshakes begun and not done, at once
 * @param handshakesPerAddress the same of one address
 * @param perSecond new ones, of addresses from which nobody was admitted of late
 * @param perSecondPerAddress new ones of one address; {@value #BURST_SECONDS} times as many at once
 *     after a pause
 * @param unread how long a client may leave all its answers unread
 */
public record ConnectionLimits(
    int open,
    int openPerAddress,
    int openPerCaller,
    int handshakes,
    int handshakesPerAddress,
    int perSecond,
    int perSecondPerAddress,
    Duration unread) {
  /** A proxy that was restarted comes back with all its connections at once. */
  static final int BURST_SECONDS = 5;

  /** Of the crypto port. */
  public static final ConnectionLimits DEFAULT =
      new ConnectionLimits(10_000, 5_000, 5_000, 1024, 512, 1000, 200, Duration.ofMinutes(1));

  /** Of a port that few people need at a time. */
  public static final ConnectionLimits SMALL =
      new ConnectionLimits(1000, 500, 500, 256, 128, 200, 50, Duration.ofMinutes(1));

  public ConnectionLimits {
    if (open < 1
        || openPerAddress < 1
        || openPerCaller < 1
        || handshakes < 1
        || handshakesPerAddress < 1
        || perSecond < 1
        || perSecondPerAddress < 1
        || !unread.isPositive()) {
      throw new IllegalArgumentException("a port that takes no connection serves nobody");
    }
  }

  /** Of a port to which the clients of this one come too, as often, each for a moment. */
  public ConnectionLimits ofVisits() {
    return new ConnectionLimits(
        Math.min(open, SMALL.open),
        Math.min(openPerAddress, SMALL.openPerAddress),
        Math.min(openPerCaller, SMALL.openPerCaller),
        handshakes,
        handshakesPerAddress,
        perSecond,
        perSecondPerAddress,
        unread);
  }
}
