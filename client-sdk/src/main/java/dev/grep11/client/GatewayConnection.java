package dev.grep11.client;

import io.grpc.Channel;
import io.grpc.ManagedChannel;
import java.util.concurrent.TimeUnit;

/**
 * A TLS connection to a port of the gateway on which every call carries a token and a deadline.
 *
 * <p>{@link Grep11Client.Builder#connect()} makes it; {@link Grep11Client} is one for the crypto
 * port, {@link dev.grep11.client.certmgr.CertificateManagerClient} takes one to the certificate
 * manager. Safe for use by several threads.
 */
public final class GatewayConnection implements AutoCloseable {
  private final String address;
  private final ManagedChannel connection;
  private final Channel channel;

  /**
   * @param channel the connection with what each call gets
   */
  GatewayConnection(String address, ManagedChannel connection, Channel channel) {
    this.address = address;
    this.connection = connection;
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

  /** Closes the connection; calls that run get five seconds to finish. */
  @Override
  public void close() {
    connection.shutdown();
    try {
      if (!connection.awaitTermination(5, TimeUnit.SECONDS)) {
        connection.shutdownNow();
      }
    } catch (InterruptedException e) {
      connection.shutdownNow();
      Thread.currentThread().interrupt();
    }
  }
}
