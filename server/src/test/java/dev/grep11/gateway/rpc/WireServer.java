package dev.grep11.gateway.rpc;

import dev.grep11.gateway.iam.VerifiedToken;
import dev.grep11.gateway.operation.Requester;
import dev.grep11.gateway.operation.Workload;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.store.Subject;
import dev.grep11.gateway.tls.Connections;
import dev.grep11.gateway.tls.DemoCa;
import dev.grep11.gateway.tls.ServerTls;
import dev.grep11.gateway.trace.Tracing;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.Grep11Error;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ClientInterceptors;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;

/** A listener on a free port with routes of a test's own, and clients for it. */
final class WireServer implements AutoCloseable {
  static final UUID INSTANCE = UUID.fromString("8f0ad1c5-0f4f-4a4b-b0d3-0d5ad4e4c1f7");
  static final String GOOD = "aGVhZA.Z29vZA.c2ln";
  static final String WITHOUT_SIGN = "aGVhZA.bm8tc2lnbg.c2ln";

  final List<CallRecord> audited = new CopyOnWriteArrayList<>();

  /** Where calls are recorded from now on. */
  volatile CallAudit audit = audited::add;

  final ExecutorService workers = Executors.newFixedThreadPool(2);
  final AtomicInteger authentications = new AtomicInteger();
  volatile CompletableFuture<Void> authenticationGate = CompletableFuture.completedFuture(null);
  final Routes.Services services;
  private final Path directory;
  private final DemoCa ca = DemoCa.create();
  private final ServerTls tls;
  private final Connections connections = new Connections(2);
  private final CryptoListener listener;
  private final List<ManagedChannel> channels = new ArrayList<>();

  static WireServer start(Path directory, Limits limits, Consumer<Routes> bind) throws Exception {
    return new WireServer(directory, Optional.of(INSTANCE), limits, bind);
  }

  WireServer(Path directory, Optional<UUID> instance, Limits limits, Consumer<Routes> bind)
      throws Exception {
    this(directory, instance, limits, Duration.ofMinutes(10), bind);
  }

  WireServer(
      Path directory,
      Optional<UUID> instance,
      Limits limits,
      Duration longestCall,
      Consumer<Routes> bind)
      throws Exception {
    this.directory = directory;
    ca.write(directory);
    DemoCa.write(ca.server(), directory);
    tls =
        ServerTls.start(
            directory.resolve("server.pem"),
            directory.resolve("server.key"),
            Duration.ofMillis(50),
            problem -> {});
    services =
        new Routes.Services(
            new Admission(
                new InstanceSelection(instance), new Access(), (_, _) -> Optional.empty()),
            new Workers(),
            new SettableAudit(),
            Failures::of,
            new RefusalPace(System.nanoTime()),
            Tracing.OFF,
            longestCall);
    var routes = new Routes(CryptoGrpc.getServiceDescriptor(), services);
    bind.accept(routes);
    refuseTheRest(routes);
    listener =
        CryptoListener.start(
            ListenAddresses.of(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0)),
            tls.grpcContext(),
            connections,
            limits,
            routes.bind());
  }

  @SuppressWarnings("unchecked")
  private static void refuseTheRest(Routes routes) {
    var bound = new HashSet<>(routes.bound());
    for (var method : CryptoGrpc.getServiceDescriptor().getMethods()) {
      if (!bound.contains(method.getBareMethodName())) {
        routes.unary(
            (MethodDescriptor<com.google.protobuf.Message, Object>) method,
            _ -> Workload.INFORMATION,
            (_, _) -> {
              throw new Pkcs11Exception(Ckr.CKR_FUNCTION_NOT_SUPPORTED, "not in this test");
            });
      }
    }
  }

  private final class Access implements AccessControl {
    @Override
    public CompletableFuture<VerifiedToken> authenticate(List<String> authorization) {
      var token = TokenAccess.bearer(authorization);
      var known = Set.of(GOOD, WITHOUT_SIGN).contains(token);
      var gate = authenticationGate;
      authentications.incrementAndGet();
      return gate.thenApply(_ -> {
        if (!known) {
          throw RefusedException.unauthenticated("not one of ours");
        }
        return new VerifiedToken(
            new Subject("issuer", token),
            Optional.empty(),
            Optional.empty(),
            Instant.MAX,
            Optional.empty(),
            Set.of(),
            Optional.empty(),
            Optional.empty());
      });
    }

    @Override
    public void authorize(VerifiedToken token, UUID instance, Set<String> actions) {
      if (token.subject().id().equals(WITHOUT_SIGN) && actions.contains("hs-crypto.crypto.sign")) {
        throw RefusedException.permissionDenied("hs-crypto.crypto.sign is not granted");
      }
    }
  }

  private final class SettableAudit implements CallAudit {
    @Override
    public boolean mayProceed() {
      return audit.mayProceed();
    }

    @Override
    public void record(CallRecord call) {
      audit.record(call);
    }
  }

  private final class Workers implements Dispatcher {
    @Override
    public <T> CompletableFuture<T> submit(
        Requester by, Workload workload, long deadlineNanos, Callable<T> work) {
      return CompletableFuture.supplyAsync(
          () -> {
            try {
              return work.call();
            } catch (RuntimeException e) {
              throw e;
            } catch (Exception e) {
              throw new java.util.concurrent.CompletionException(e);
            }
          },
          workers);
    }
  }

  int port() {
    return listener.port();
  }

  Path caFile() {
    return directory.resolve("ca.pem");
  }

  Connections connections() {
    return connections;
  }

  /** Issues another server certificate and puts it in place of the first. */
  void replaceCertificate() throws Exception {
    var next = Files.createTempDirectory(directory, "next");
    DemoCa.write(ca.server(), next);
    for (var name : List.of("server.pem", "server.key")) {
      Files.move(
          next.resolve(name),
          directory.resolve(name),
          java.nio.file.StandardCopyOption.REPLACE_EXISTING);
    }
  }

  NettyChannelBuilder channelBuilder() throws Exception {
    return NettyChannelBuilder.forAddress("localhost", port())
        .sslContext(GrpcSslContexts.forClient().trustManager(caFile().toFile()).build())
        .maxInboundMessageSize(80 * Limits.MIB);
  }

  ManagedChannel channel() throws Exception {
    return track(channelBuilder().build());
  }

  ManagedChannel track(ManagedChannel channel) {
    channels.add(channel);
    return channel;
  }

  CryptoGrpc.CryptoBlockingStub client() throws Exception {
    return client("authorization", "Bearer " + GOOD);
  }

  /** With these headers, names and values in turn. */
  CryptoGrpc.CryptoBlockingStub client(String... headers) throws Exception {
    return CryptoGrpc.newBlockingStub(channel())
        .withInterceptors(headers(headers))
        .withDeadlineAfter(20, TimeUnit.SECONDS);
  }

  static ClientInterceptor headers(String... namesAndValues) {
    var metadata = new Metadata();
    for (int i = 0; i < namesAndValues.length; i += 2) {
      metadata.put(
          Metadata.Key.of(namesAndValues[i], Metadata.ASCII_STRING_MARSHALLER),
          namesAndValues[i + 1]);
    }
    return MetadataUtils.newAttachHeadersInterceptor(metadata);
  }

  /** Sends it as a request that goes on, which no unary client does. */
  static <Q, P> ClientCall<Q, P> sendWithoutEnd(
      Channel channel, MethodDescriptor<Q, P> method, Q message, Consumer<Status> onClose) {
    var call =
        ClientInterceptors.intercept(channel, headers("authorization", "Bearer " + GOOD))
            // Of a unary call the first message waits for the end.
            .newCall(
                method.toBuilder().setType(MethodDescriptor.MethodType.CLIENT_STREAMING).build(),
                CallOptions.DEFAULT);
    call.start(
        new ClientCall.Listener<>() {
          @Override
          public void onClose(Status status, Metadata trailers) {
            onClose.accept(status);
          }
        },
        new Metadata());
    call.request(2);
    call.sendMessage(message);
    return call;
  }

  /** The one detail of a refusal; fails where there is none or more than one. */
  static Grep11Error detail(StatusRuntimeException refusal) {
    var status = StatusProto.fromThrowable(refusal);
    if (status == null || status.getDetailsCount() != 1) {
      throw new AssertionError("not exactly one detail: " + refusal.getStatus(), refusal);
    }
    if (status.getCode() != refusal.getStatus().getCode().value()
        || !status.getMessage().equals(refusal.getStatus().getDescription())) {
      throw new AssertionError("trailer and status differ: " + status);
    }
    try {
      return status.getDetails(0).unpack(Grep11Error.class);
    } catch (com.google.protobuf.InvalidProtocolBufferException e) {
      throw new AssertionError(e);
    }
  }

  @Override
  public void close() {
    channels.forEach(ManagedChannel::shutdownNow);
    listener.close();
    connections.close();
    tls.close();
    workers.shutdownNow();
  }
}
