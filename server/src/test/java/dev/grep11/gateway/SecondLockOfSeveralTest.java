package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.MANAGER;
import static dev.grep11.gateway.RunningGateway.aesKey;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.grep11.gateway.command.DemoData;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.trust.TestCertificates;
import dev.grep11.gateway.trust.TestCertificates.Identity;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.CryptoGrpc.CryptoBlockingStub;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.GrpcSslContexts;
import io.netty.handler.ssl.util.InsecureTrustManagerFactory;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.UUID;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** The second lock of a port with two instances, of which one is locked. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class SecondLockOfSeveralTest {
  private static final Duration BOUND = Duration.ofSeconds(5);
  private static final UUID LOCKED = UUID.fromString("2b2ce7a5-7a20-4a10-9cb2-3f6bd2b4f9a1");

  private static final Identity CA = TestCertificates.ca("CN=Locked CA").selfSigned();
  private static final Identity APP = TestCertificates.client("CN=app").signedBy(CA);
  private static final Identity STRANGER = TestCertificates.client("CN=stranger").selfSigned();

  private RunningGateway running;
  private UUID open;

  @BeforeAll
  void start(@TempDir Path parent) throws Exception {
    var directory = parent.resolve("demo");
    var demo = DemoData.open(directory);
    try (var host = Host.open(GatewayConfig.read(demo.config()))) {
      host.createInstance(LOCKED, "locked", "demo", "local");
    }
    var settings = new HashMap<String, Object>();
    settings.put("/instance", null);
    settings.put("/multiInstance", true);
    running = RunningGateway.start(directory, settings);
    open = running.instance;
    running.grant(MANAGER, "Manager", LOCKED);
    running.registerClientCas(LOCKED, List.of(CA.der()));
    await()
        .atMost(BOUND)
        .until(
            () -> answer(calls(channel("localhost", null), LOCKED)) == Status.Code.UNAUTHENTICATED);
    await()
        .atMost(BOUND)
        .until(() -> answer(calls(channel("localhost", APP), LOCKED)) == Status.Code.OK);
  }

  @AfterAll
  void stop() {
    running.close();
  }

  private ManagedChannel channel(String authority, @Nullable Identity identity) throws Exception {
    var ssl = GrpcSslContexts.forClient().trustManager(InsecureTrustManagerFactory.INSTANCE);
    if (identity != null) {
      ssl.keyManager(identity.privateKey(), identity.certificate());
    }
    return running.channel(authority, ssl);
  }

  private CryptoBlockingStub calls(ManagedChannel channel, @Nullable UUID header) {
    var headers = new ArrayList<>(List.of("authorization", "Bearer " + running.token(MANAGER)));
    if (header != null) {
      headers.addAll(List.of("bluemix-instance", header.toString()));
    }
    return CryptoGrpc.newBlockingStub(channel)
        .withInterceptors(RunningGateway.headers(headers.toArray(String[]::new)));
  }

  private static String host(UUID instance) {
    return instance + ".ep11.local.test";
  }

  private static ClientInterceptor authority(String name) {
    return new ClientInterceptor() {
      @Override
      public <Q, P> ClientCall<Q, P> interceptCall(
          MethodDescriptor<Q, P> method, CallOptions options, Channel next) {
        return next.newCall(method, options.withAuthority(name));
      }
    };
  }

  private static Status.Code answer(CryptoBlockingStub calls) {
    try {
      return aesKey(calls).isEmpty() ? Status.Code.DATA_LOSS : Status.Code.OK;
    } catch (StatusRuntimeException e) {
      return e.getStatus().getCode();
    }
  }

  @Test
  void noNameOfTheOpenInstanceOpensTheLockedOne() throws Exception {
    var bare = channel("localhost", null);
    var underOpenName = channel(host(open), null);
    var underLockedName = channel(host(LOCKED), null);
    int before = running.calls.generated();

    assertThat(answer(calls(bare, LOCKED))).isEqualTo(Status.Code.UNAUTHENTICATED);
    assertThat(answer(calls(underOpenName, LOCKED))).isEqualTo(Status.Code.PERMISSION_DENIED);
    assertThat(answer(calls(underLockedName, null))).isEqualTo(Status.Code.UNAUTHENTICATED);
    assertThat(answer(calls(underLockedName, open))).isEqualTo(Status.Code.PERMISSION_DENIED);
    // The name of the call, where it differs from that of the handshake.
    assertThat(answer(calls(underOpenName, null).withInterceptors(authority(host(LOCKED)))))
        .isEqualTo(Status.Code.PERMISSION_DENIED);
    assertThat(answer(calls(bare, UUID.randomUUID()))).isEqualTo(Status.Code.PERMISSION_DENIED);
    assertThat(running.calls.generated()).isEqualTo(before);

    assertThat(answer(calls(bare, open))).isEqualTo(Status.Code.OK);
    assertThat(answer(calls(underOpenName, null))).isEqualTo(Status.Code.OK);
  }

  @Test
  void aConnectionThatWasNotAskedIsReplacedByOneThatIs() throws Exception {
    running.registerClientCas(LOCKED, List.of());
    var app = channel("localhost", APP);
    var calls = calls(app, LOCKED);
    await()
        .atMost(BOUND)
        .until(() -> answer(calls(channel("localhost", null), LOCKED)) == Status.Code.OK);
    assertThat(answer(calls)).isEqualTo(Status.Code.OK);

    running.registerClientCas(LOCKED, List.of(CA.der()));

    await()
        .atMost(BOUND)
        .until(
            () -> answer(calls(channel("localhost", null), LOCKED)) == Status.Code.UNAUTHENTICATED);
    // Whatever it was told meanwhile.
    await().atMost(BOUND).until(() -> answer(calls) == Status.Code.OK);
  }

  @Test
  void whatTheLockedInstanceRefusesTheOpenOneDoesNotCareAbout() throws Exception {
    var stranger = channel("localhost", STRANGER);
    int before = running.calls.generated();

    assertThat(answer(calls(stranger, LOCKED))).isEqualTo(Status.Code.UNAUTHENTICATED);
    assertThat(running.calls.generated()).isEqualTo(before);

    assertThat(answer(calls(stranger, open))).isEqualTo(Status.Code.OK);
  }

  @Test
  void aConnectionOfADeletedCaLosesTheLockedInstanceAndKeepsTheOpenOne() throws Exception {
    var app = channel("localhost", APP);
    assertThat(answer(calls(app, LOCKED))).isEqualTo(Status.Code.OK);
    try {
      running.registerClientCas(
          LOCKED, List.of(TestCertificates.ca("CN=Locked CA").selfSigned().der()));

      await().atMost(BOUND).until(() -> answer(calls(app, LOCKED)) == Status.Code.UNAUTHENTICATED);
      assertThat(app.getState(false)).isEqualTo(ConnectivityState.READY);
      assertThat(answer(calls(app, open))).isEqualTo(Status.Code.OK);
    } finally {
      running.registerClientCas(LOCKED, List.of(CA.der()));
      await().atMost(BOUND).until(() -> answer(calls(app, LOCKED)) == Status.Code.OK);
    }
  }
}
