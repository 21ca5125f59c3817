package dev.grep11.gateway.rpc;

import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.certmgr.CertificateManagerGrpc;
import dev.grep11.proto.keystore.KeyStoresGrpc;
import io.grpc.Server;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.local.LocalAddress;
import io.netty.channel.local.LocalIoHandler;
import io.netty.channel.local.LocalServerChannel;
import java.io.IOException;
import java.util.concurrent.TimeUnit;

/**
 * {@code grpc.health.v1} for the services of the gateway, by name, and for all of them by the empty
 * name. It listens within this process only: the health port, which speaks TLS and more than gRPC,
 * passes it what is meant for it.
 */
public final class GrpcHealth implements AutoCloseable {
  private static final int LARGEST_BYTES = 8 * 1024;
  private static final int CALLS_PER_CONNECTION = 32;

  private final HealthStatusManager statuses = new HealthStatusManager();
  private final LocalAddress address = new LocalAddress(GrpcHealth.class);
  private final EventLoopGroup eventLoops =
      new MultiThreadIoEventLoopGroup(
          1,
          Thread.ofPlatform().daemon().name("grpc-health-", 0).factory(),
          LocalIoHandler.newFactory());
  private final Server server;

  /** Starts with everything not serving. */
  public GrpcHealth() throws IOException {
    show(false, false);
    server =
        NettyServerBuilder.forAddress(address)
            .channelType(LocalServerChannel.class)
            .bossEventLoopGroup(eventLoops)
            .workerEventLoopGroup(eventLoops)
            .directExecutor()
            .addService(statuses.getHealthService())
            .maxInboundMessageSize(LARGEST_BYTES)
            .maxInboundMetadataSize(LARGEST_BYTES)
            .maxConcurrentCallsPerConnection(CALLS_PER_CONNECTION)
            .maxRstFramesPerWindow(
                Limits.DEFAULT.resetsPerWindow(),
                Math.toIntExact(Limits.DEFAULT.resetWindow().toSeconds()))
            .permitKeepAliveTime(
                Limits.DEFAULT.shortestClientKeepAlive().toSeconds(), TimeUnit.SECONDS)
            .permitKeepAliveWithoutCalls(true)
            .keepAliveTime(Limits.DEFAULT.keepAlive().toSeconds(), TimeUnit.SECONDS)
            .maxConnectionIdle(1, TimeUnit.MINUTES)
            // Who watches asks again; who only stays is gone after a while.
            .maxConnectionAge(1, TimeUnit.HOURS)
            .maxConnectionAgeGrace(1, TimeUnit.MINUTES)
            .handshakeTimeout(Limits.DEFAULT.handshake().toSeconds(), TimeUnit.SECONDS)
            .build()
            .start();
  }

  /** Where it listens, for connections within this process. */
  public LocalAddress address() {
    return address;
  }

  /** The threads that serve it. */
  public EventLoopGroup eventLoops() {
    return eventLoops;
  }

  /**
   * Says what is served from now on, to those who watch too.
   *
   * @param keys whether calls with keys are
   * @param administration whether the certificate manager is
   */
  public void show(boolean keys, boolean administration) {
    statuses.setStatus(HealthStatusManager.SERVICE_NAME_ALL_SERVICES, status(keys));
    statuses.setStatus(CryptoGrpc.SERVICE_NAME, status(keys));
    statuses.setStatus(KeyStoresGrpc.SERVICE_NAME, status(keys));
    statuses.setStatus(CertificateManagerGrpc.SERVICE_NAME, status(administration));
  }

  private static ServingStatus status(boolean serving) {
    return serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
  }

  @Override
  @SuppressWarnings("FutureReturnValueIgnored") // Threads are daemons.
  public void close() {
    statuses.enterTerminalState();
    server.shutdownNow();
    eventLoops.shutdownGracefully(0, 1, TimeUnit.SECONDS);
  }
}
