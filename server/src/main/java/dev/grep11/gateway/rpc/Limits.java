package dev.grep11.gateway.rpc;

import io.netty.util.internal.PlatformDependent;
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
 * @param callsPerSecondPerCaller that are admitted; 0 for any number
 * @param callsPerSecondPerInstance of all its callers together; 0 for any number
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
    Duration handshake,
    int callsPerSecondPerCaller,
    int callsPerSecondPerInstance) {

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

  /** Without a rate of calls. */
  public Limits(
      int inboundMessageBytes,
      long inboundBytesInFlight,
      int headerBytes,
      int concurrentCallsPerConnection,
      int resetsPerWindow,
      Duration resetWindow,
      Duration shortestClientKeepAlive,
      Duration keepAlive,
      Duration handshake) {
    this(
        inboundMessageBytes,
        inboundBytesInFlight,
        headerBytes,
        concurrentCallsPerConnection,
        resetsPerWindow,
        resetWindow,
        shortestClientKeepAlive,
        keepAlive,
        handshake,
        0,
        0);
  }

  /**
   * Answers that no client has taken yet. As much as requests may be, and no more than half of what
   * the transport's buffers may take in all, but always some of the longest.
   */
  long unreadBytes() {
    return Math.max(
        4L * inboundMessageBytes,
        Math.min(inboundBytesInFlight, PlatformDependent.maxDirectMemory() / 2));
  }

  /** A quarter of all, or one message. */
  long inboundBytesPerCaller() {
    return Math.max(inboundMessageBytes, inboundBytesInFlight / 4);
  }

  public Limits {
    if (inboundMessageBytes < 1
        || inboundBytesInFlight < inboundMessageBytes
        || headerBytes < 1
        || concurrentCallsPerConnection < 1
        || resetsPerWindow < 1
        || callsPerSecondPerCaller < 0
        || callsPerSecondPerInstance < 0) {
      throw new IllegalArgumentException("limits must be positive, and hold at least one message");
    }
  }
}
