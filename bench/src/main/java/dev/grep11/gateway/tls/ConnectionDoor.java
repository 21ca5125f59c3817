package dev.grep11.gateway.tls;

import dev.grep11.gateway.trust.ClientChain;
import io.grpc.Attributes;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.NullMarked;

/** Lets the benchmarks call without a handshake. */
@NullMarked
public final class ConnectionDoor {

  /** As those of a call on a connection whose client showed no certificate. */
  public static Attributes attributes() {
    var remote = InetSocketAddress.createUnresolved("client.test", 1);
    var connection =
        new Connection(null, null, remote, Optional.empty(), ClientChain.of(List.of()), false);
    return Attributes.newBuilder().set(Connections.CONNECTION, connection).build();
  }

  private ConnectionDoor() {}
}
