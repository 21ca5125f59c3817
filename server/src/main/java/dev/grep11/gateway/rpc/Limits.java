package dev.grep11.gateway.rpc;

import java.time.Duration;

/**
 * What one client, and all of them, can make the gateway hold. grpc's own defaults are no limit at
 * all for streams and resets.
 *
 * @param inboundMessageBytes largest request; the published limit of the service is 64 MiB
 * @param inboundBytesInFlight of all requests together
 * @param headerBytes of one call, token included
 * @param resetsPerWindow streams a connection may reset per {@code resetWindow}
 * @param shortestClientKeepAlive a client that pings more often is disconnected
 * @param keepAlive how often we ask a silent connection whether it lives
 * @param handshake how long a TLS handshake may take
 */
public record Limits(
    int inboundMessageBytes,
    long inboundBytesInFlight,
    int headerBytes,
    int concurrentCallsPerConnection,
    int resetsPerWindow,
    Duration resetWindow,
    Duration shortestClientKeepAlive,
    Duration keepAlive,
    Duration handshake) {

  public static final int MIB = 1024 * 1024;

  public static final Limits DEFAULT =
      new Limits(
          64 * MIB,
          512L * MIB,
          16 * 1024,
          256,
          200,
          Duration.ofSeconds(30),
          Duration.ofSeconds(10),
          Duration.ofMinutes(2),
          Duration.ofSeconds(10));

  /** A quarter of all, or one message. */
  long inboundBytesPerCaller() {
    return Math.max(inboundMessageBytes, inboundBytesInFlight / 4);
  }

  public Limits {
    if (inboundMessageBytes < 1
        || inboundBytesInFlight < inboundMessageBytes
        || headerBytes < 1
        || concurrentCallsPerConnection < 1
        || resetsPerWindow < 1) {
      throw new IllegalArgumentException("limits must be positive, and hold at least one message");
    }
  }
}
