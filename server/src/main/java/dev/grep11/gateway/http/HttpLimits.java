package dev.grep11.gateway.http;

import java.time.Duration;

/**
 * What a request may be.
 *
 * @param line bytes of its first line
 * @param headers bytes of all its headers
 * @param body bytes of its body
 * @param time within which it is complete, from the handshake or the answer before it; and within
 *     which it is answered
 * @param unread how long a client may take nothing of its answer
 */
public record HttpLimits(int line, int headers, int body, Duration time, Duration unread) {
  public HttpLimits {
    if (line < 1 || headers < 1 || body < 0 || !time.isPositive() || !unread.isPositive()) {
      throw new IllegalArgumentException("a port that takes no request serves nobody");
    }
  }
}
