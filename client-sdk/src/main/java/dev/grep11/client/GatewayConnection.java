package dev.grep11.client;

import io.grpc.Channel;
import io.grpc.ManagedChannel;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A TLS connection, or several, to a port of the gateway on which every call carries a token and a
 * deadline.
 *
 * <p>{@link Grep11Client.Builder#connect()} makes it; {@link Grep11Client} is one for the crypto
 * port, {@link dev.grep11.client.certmgr.CertificateManagerClient} takes one to the certificate
 * manager. Safe for use by several threads.
 */
public final class GatewayConnection implements AutoCloseable {
  /** Many calls fail at once, and one attempt serves them all. */
  private static final long SHORTEST_PAUSE = TimeUnit.MILLISECONDS.toNanos(50);

  private final String address;
  private final List<ManagedChannel> connections;
  private final Channel channel;
  private final AtomicLong triedAgain = new AtomicLong(System.nanoTime() - SHORTEST_PAUSE);

  /**
   * @param channel the connections with what each call gets
   */
  GatewayConnection(String address, List<ManagedChannel> connections, Channel channel) {
    this.address = address;
    this.connections = List.copyOf(connections);
    this.channel = channel;
  }

  /** For generated stubs of any service on that port. */
  public Channel channel() {
    return channel;
  }

  /** {@code host:port}, several of them with commas; for people. */
  public String address() {
    return address;
  }

  /**
   * Has replicas that could not be reached be tried at once. By itself gRPC waits up to two minutes
   * between two attempts, longer than a call is repeated: it would fail although a replica that was
   * restarted meanwhile is there to take it.
   */
  void tryAgain() {
    long before = triedAgain.get();
    long now = System.nanoTime();
    if (now - before >= SHORTEST_PAUSE && triedAgain.compareAndSet(before, now)) {
      connections.forEach(ManagedChannel::resetConnectBackoff);
    }
  }

  /** Closes it; calls that run get five seconds to finish. */
  @Override
  public void close() {
    connections.forEach(ManagedChannel::shutdown);
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(5);
    try {
      for (var connection : connections) {
        if (!connection.awaitTermination(end - System.nanoTime(), TimeUnit.NANOSECONDS)) {
          break;
        }
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    // Nothing but those that did not end by themselves.
    connections.forEach(ManagedChannel::shutdownNow);
  }
}
