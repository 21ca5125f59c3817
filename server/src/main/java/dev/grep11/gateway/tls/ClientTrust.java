package dev.grep11.gateway.tls;

import dev.grep11.gateway.trust.ClientChain;
import io.netty.handler.ssl.ClientAuth;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import javax.security.auth.x500.X500Principal;

/**
 * What a port asks of its clients in a handshake.
 *
 * @param ask whether for a certificate, and whether it goes on without one
 * @param named CAs whose names the request for a certificate carries (RFC 8446, 4.2.4; RFC 5246,
 *     7.4.4), by which clients choose; none means any
 * @param judge why a chain, never an empty one, ends the handshake; empty when it may go on
 */
record ClientTrust(
    ClientAuth ask, List<X509Certificate> named, Function<ClientChain, Optional<Refusal>> judge) {
  static final ClientTrust NOT_ASKED =
      new ClientTrust(ClientAuth.NONE, List.of(), _ -> Optional.empty());

  /** Clients take so much: OpenSSL and Java limit handshake messages to some 16 and 32 KiB. */
  private static final int LONGEST_NAMES = 12_000;

  ClientTrust {
    named = List.copyOf(named);
  }

  /** One for each name; none when they are too long for a handshake, which means any. */
  static List<X509Certificate> named(List<X509Certificate> anchors) {
    var seen = new HashSet<X500Principal>();
    var named = new ArrayList<X509Certificate>();
    int length = 0;
    for (var anchor : anchors) {
      if (seen.add(anchor.getSubjectX500Principal())) {
        named.add(anchor);
        length += 2 + anchor.getSubjectX500Principal().getEncoded().length;
      }
    }
    return length <= LONGEST_NAMES ? List.copyOf(named) : List.of();
  }

  /** Whether a handshake would look the same. */
  boolean asksAs(ClientTrust other) {
    return ask == other.ask && named.equals(other.named);
  }
}
