package dev.grep11.gateway.tls;

import java.net.SocketAddress;

/**
 * A connection that was closed because there were too many.
 *
 * @param remote whose it was
 */
public record RefusedConnection(SocketAddress remote, Reason reason) {

  /** Which limit it was; the set of a metric's labels. */
  public enum Reason {
    CONNECTIONS("connections"),
    CONNECTIONS_OF_ADDRESS("connections-of-address"),
    HANDSHAKES("handshakes"),
    HANDSHAKES_OF_ADDRESS("handshakes-of-address"),
    RATE("rate"),
    RATE_OF_ADDRESS("rate-of-address"),
    /** It sent more frames than a client has a use for. */
    FRAMES("frames"),
    /** All of its address sent more of them, with resets and pings, however often it came back. */
    FRAMES_OF_ADDRESS("frames-of-address"),
    /** All of its address asked more often, by HTTP/1.1, than anybody needs to. */
    REQUESTS_OF_ADDRESS("requests-of-address"),
    /** It left its answers unread. */
    UNREAD("unread");

    private final String word;

    Reason(String word) {
      this.word = word;
    }

    public String word() {
      return word;
    }
  }
}
