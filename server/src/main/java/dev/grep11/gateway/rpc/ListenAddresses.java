package dev.grep11.gateway.rpc;

import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Where a service listens. They are told apart by the end of a connection that is ours, so a
 * private address with a free port (0) must be another host than the public one, and both must be
 * named.
 *
 * @param privately in a private network besides; empty where it listens in public only
 */
public record ListenAddresses(InetSocketAddress publicly, Optional<InetSocketAddress> privately) {

  public ListenAddresses {
    if (privately.isPresent() && privately.get().getAddress().isAnyLocalAddress()) {
      throw new IllegalArgumentException(
          "every address of the host is no private one: name that of the private network");
    }
    if (privately.isPresent() && overlap(publicly, privately.get())) {
      throw new IllegalArgumentException(
          "%s and %s are not told apart".formatted(text(publicly), text(privately.get())));
    }
  }

  /** In public only. */
  public static ListenAddresses of(InetSocketAddress publicly) {
    return new ListenAddresses(publicly, Optional.empty());
  }

  private static boolean overlap(InetSocketAddress one, InetSocketAddress other) {
    boolean hosts =
        one.getAddress().isAnyLocalAddress()
            || other.getAddress().isAnyLocalAddress()
            || one.getAddress().equals(other.getAddress());
    boolean ports = one.getPort() == other.getPort() || one.getPort() == 0 || other.getPort() == 0;
    return hosts && ports;
  }

  private static String text(InetSocketAddress address) {
    return address.getAddress().getHostAddress() + ":" + address.getPort();
  }

  List<InetSocketAddress> all() {
    return Stream.concat(Stream.of(publicly), privately.stream()).toList();
  }

  /**
   * Whether a connection came by the private address.
   *
   * @param local our end of it; where it is not known, it counts as public
   */
  boolean isPrivate(@Nullable SocketAddress local) {
    return privately.isPresent()
        && local instanceof InetSocketAddress end
        && (privately.get().getPort() == 0 || privately.get().getPort() == end.getPort())
        && privately.get().getAddress().equals(end.getAddress());
  }
}
