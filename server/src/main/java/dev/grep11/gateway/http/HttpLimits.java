package dev.grep11.gateway.http;

import java.time.Duration;

/**
 * What a request may be.
 *
 * @param line bytes of its first line
 * @param headers bytes of all its headers
 * @param fields how many headers; each costs memory besides its bytes
 * @param body bytes of its body
 * @param idle within which it begins, from the handshake or the answer before it
 * @param time within which it is complete, from its first byte; and within which it is answered
 * @param unread how long a client may take nothing of its answer
 */
public record HttpLimits(
    int line, int headers, int fields, int body, Duration idle, Duration time, Duration unread) {
  public HttpLimits {
    if (line < 1
        || headers < 1
        || fields < 1
        || body < 0
        || !idle.isPositive()
        || !time.isPositive()
        || !unread.isPositive()) {
      throw new IllegalArgumentException("a port that takes no request serves nobody");
    }
  }
}
