package dev.grep11.gateway.rpc;

import dev.grep11.gateway.keystore.Keystores;
import dev.grep11.gateway.operation.Operations;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.tls.Connections;
import dev.grep11.gateway.trace.Tracing;
import io.grpc.Codec;
import io.grpc.CompressorRegistry;
import io.grpc.DecompressorRegistry;
import io.grpc.Server;
import io.grpc.ServerServiceDefinition;
import io.grpc.netty.NettyServerBuilder;
import io.netty.channel.ChannelOption;
import io.netty.channel.WriteBufferWaterMark;
import io.netty.handler.ssl.SslContext;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import java.util.logging.Logger;

/**
 * The port that serves the GREP11 service and that of keystores. TLS only: there is no other way to
 * build one.
 */
public final class CryptoListener implements AutoCloseable {
  /**
   * Its warnings are stack traces about what clients send. Held here because java.util.logging
   * forgets the level of a logger that nobody holds.
   */
  private static final Logger GRPC = Logger.getLogger("io.grpc.netty");

  static {
    GRPC.setLevel(Level.SEVERE);
  }

  private static final Duration CONNECTION_IDLE = Duration.ofMinutes(5);

  /**
   * What a connection takes to be sent before it waits for its client to read. HTTP/2 writes up to
   * it and flushes, and the end of each flush is a TLS record of its own: with Netty's 64 KiB a
   * result of 1 MiB takes half as many records again.
   */
  private static final WriteBufferWaterMark UNSENT =
      new WriteBufferWaterMark(128 * 1024, 256 * 1024);

  private final Server server;
  private final ListenAddresses addresses;
  private final Connections connections;

  /** Ends what was started for this listener. */
  private final Runnable closing;

  private CryptoListener(
      Server server, ListenAddresses addresses, Connections connections, Runnable closing) {
    this.server = server;
    this.addresses = addresses;
    this.connections = connections;
    this.closing = closing;
  }

  /** What a listener asks of the rest of the gateway. */
  public record Collaborators(
      Operations operations,
      Policy policy,
      Dispatcher dispatcher,
      TokenAccess access,
      ClientCertificates clientCertificates,
      CallAudit audit,
      Optional<KeystoreCollaborators> keystores,
      NetworkPolicies network,
      boolean reflection,
      Tracing tracing) {
    /** Of a listener without keystores and tracing, which is reached from everywhere. */
    public Collaborators(
        Operations operations,
        Policy policy,
        Dispatcher dispatcher,
        TokenAccess access,
        ClientCertificates clientCertificates,
        CallAudit audit) {
      this(
          operations,
          policy,
          dispatcher,
          access,
          clientCertificates,
          audit,
          Optional.empty(),
          NetworkPolicies.OPEN,
          false,
          Tracing.OFF);
    }
  }

  /** What the keystore service asks of it besides. */
  public record KeystoreCollaborators(Keystores keystores, CallAudit audit) {}

  /**
   * Starts to serve.
   *
   * @param connections of all addresses that are listened on
   * @param instance the one instance of this listener; empty when host name or header selects it
   * @throws IllegalStateException when an rpc of the service has no route
   */
  public static CryptoListener start(
      ListenAddresses addresses,
      SslContext ssl,
      Connections connections,
      Optional<UUID> instance,
      Limits limits,
      Collaborators with)
      throws IOException {
    var network = NetworkAccess.by(with.network(), addresses, NetworkPolicy::refusalOfUse);
    var rates =
        new CallRates(
            limits.callsPerSecondPerCaller(), limits.callsPerSecondPerInstance(), System::nanoTime);
    var admission =
        new Admission(
            new InstanceSelection(instance),
            network,
            with.access(),
            with.clientCertificates(),
            rates);
    var services =
        new Routes.Services(
            admission, with.dispatcher(), with.audit(), Failures::of, with.tracing());
    var crypto = CryptoService.bind(with.operations(), with.policy(), services);
    var bound = new ArrayList<ServerServiceDefinition>();
    bound.add(crypto);
    if (with.reflection()) {
      bound.add(GuardedReflection.bind(admission, with.audit()));
    }
    if (with.keystores().isEmpty()) {
      return start(addresses, ssl, connections, limits, bound, () -> {});
    }
    var keystores = with.keystores().get();
    var access = new KeystoreAccess(with.access());
    var dispatcher = new KeystoreDispatcher();
    var keystoreServices =
        new Routes.Services(
            new Admission(
                new InstanceSelection(instance), network, access, with.clientCertificates(), rates),
            dispatcher,
            keystores.audit(),
            Failures::of,
            with.tracing());
    try {
      bound.add(KeystoreService.bind(keystores.keystores(), access, keystoreServices));
      return start(addresses, ssl, connections, limits, bound, dispatcher::close);
    } catch (IOException | RuntimeException e) {
      dispatcher.close();
      throw e;
    }
  }

  /** With any service, so that tests can bind routes of their own. */
  static CryptoListener start(
      ListenAddresses addresses,
      SslContext ssl,
      Connections connections,
      Limits limits,
      ServerServiceDefinition service)
      throws IOException {
    return start(addresses, ssl, connections, limits, List.of(service), () -> {});
  }

  private static CryptoListener start(
      ListenAddresses addresses,
      SslContext ssl,
      Connections connections,
      Limits limits,
      List<ServerServiceDefinition> services,
      Runnable closing)
      throws IOException {
    var builder = NettyServerBuilder.forAddress(addresses.publicly());
    addresses.privately().ifPresent(builder::addListenAddress);
    var server =
        builder
            .bossEventLoopGroup(connections.acceptors())
            .workerEventLoopGroup(connections.eventLoops())
            .channelFactory(connections.channelFactory())
            .sslContext(ssl)
            .withChildOption(ChannelOption.WRITE_BUFFER_WATER_MARK, UNSENT)
            // Work leaves the event loop by the dispatcher, and only when it is worth it.
            .directExecutor()
            .addTransportFilter(connections)
            .addStreamTracerFactory(
                new InboundBudget(limits.inboundBytesInFlight(), limits.inboundBytesPerCaller()))
            .addStreamTracerFactory(new UnreadAnswers(connections, limits.unreadBytes()))
            .addServices(services)
            // A compressed message is a memory amplifier, and ciphertext does not compress.
            .decompressorRegistry(
                DecompressorRegistry.emptyInstance().with(Codec.Identity.NONE, true))
            .compressorRegistry(CompressorRegistry.newEmptyInstance())
            .maxInboundMessageSize(limits.inboundMessageBytes())
            .maxInboundMetadataSize(limits.headerBytes())
            .maxConcurrentCallsPerConnection(limits.concurrentCallsPerConnection())
            // CVE-2023-44487: streams that are opened and reset cost us and not the client.
            .maxRstFramesPerWindow(
                limits.resetsPerWindow(), Math.toIntExact(limits.resetWindow().toSeconds()))
            .permitKeepAliveTime(limits.shortestClientKeepAlive().toSeconds(), TimeUnit.SECONDS)
            .permitKeepAliveWithoutCalls(true)
            .keepAliveTime(limits.keepAlive().toSeconds(), TimeUnit.SECONDS)
            // A client that comes back connects anew, unnoticed by its application.
            .maxConnectionIdle(CONNECTION_IDLE.toMinutes(), TimeUnit.MINUTES)
            .handshakeTimeout(limits.handshake().toSeconds(), TimeUnit.SECONDS)
            .build()
            .start();
    return new CryptoListener(server, addresses, connections, closing);
  }

  /** The public one. */
  public int port() {
    return port(false).orElseThrow();
  }

  /** The private one, where there is one. */
  public OptionalInt privatePort() {
    return port(true);
  }

  private OptionalInt port(boolean privately) {
    return server.getListenSockets().stream()
        .filter(socket -> addresses.isPrivate(socket) == privately)
        .mapToInt(socket -> ((InetSocketAddress) socket).getPort())
        .findFirst();
  }

  public Connections connections() {
    return connections;
  }

  /** Takes no new connections and calls; those that run may end. */
  public void stopAccepting() {
    server.shutdown();
  }

  /** Whether all calls have ended within the time. */
  public boolean awaitQuiet(long time, TimeUnit unit) throws InterruptedException {
    return server.awaitTermination(time, unit);
  }

  @Override
  public void close() {
    server.shutdownNow();
    closing.run();
  }
}
