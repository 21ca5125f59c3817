package dev.grep11.gateway.tls;

import java.net.SocketAddress;
import java.security.cert.X509Certificate;
import java.util.List;

/**
 * A connection that did not come about.
 *
 * @param chain what the client showed, where the handshake came so far
 */
public record FailedHandshake(SocketAddress remote, List<X509Certificate> chain, Throwable cause) {
  public FailedHandshake {
    chain = List.copyOf(chain);
  }
}
