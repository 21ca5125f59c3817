package dev.grep11.gateway.rpc;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import com.google.common.util.concurrent.ListenableFuture;
import com.google.protobuf.ByteString;
import dev.grep11.gateway.operation.Workload;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.EncryptSingleRequest;
import dev.grep11.proto.EncryptSingleResponse;
import dev.grep11.proto.GenerateRandomRequest;
import dev.grep11.proto.GenerateRandomResponse;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.DataInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import javax.net.ssl.SSLSocket;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** One client cannot make the port hold more than its limits say, nor disturb the others. */
class LimitsTest {
  private static final int STREAMS = 4;
  private static final int RESETS = 20;
  private static final int MESSAGE = Limits.MIB;
  private static final Limits LIMITS =
      new Limits(
          MESSAGE,
          MESSAGE,
          8 * 1024,
          STREAMS,
          RESETS,
          Duration.ofSeconds(30),
          Duration.ofSeconds(10),
          Duration.ofMinutes(2),
          Duration.ofSeconds(2));
  private static final GenerateRandomRequest QUICK = random(1);
  private static final GenerateRandomRequest WAITING = random(2);

  private static final int PING = 6;
  private static final int GOAWAY = 7;
  private static final int ENHANCE_YOUR_CALM = 11;

  private final AtomicInteger begun = new AtomicInteger();
  private final CountDownLatch release = new CountDownLatch(1);
  private WireServer server;

  @BeforeEach
  void start(@TempDir Path directory) throws Exception {
    server =
        WireServer.start(
            directory,
            LIMITS,
            routes -> {
              routes.unary(
                  CryptoGrpc.getGenerateRandomMethod(),
                  _ -> Workload.INFORMATION,
                  (_, r) -> {
                    begun.incrementAndGet();
                    if (r.equals(WAITING)) {
                      waitForRelease();
                    }
                    return GenerateRandomResponse.getDefaultInstance();
                  });
              routes.unary(
                  CryptoGrpc.getEncryptSingleMethod(),
                  _ -> Workload.INFORMATION,
                  (_, r) -> {
                    begun.incrementAndGet();
                    if (r.hasMech()) {
                      waitForRelease();
                    }
                    return EncryptSingleResponse.getDefaultInstance();
                  });
            });
  }

  private void waitForRelease() {
    try {
      assertThat(release.await(20, TimeUnit.SECONDS)).isTrue();
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  @AfterEach
  void stop() {
    release.countDown();
    server.close();
  }

  @Test
  void aConnectionHasSoManyCallsAtOnceAndTheNextWaits() throws Exception {
    var gate = new CompletableFuture<Void>();
    server.authenticationGate = gate;
    var client = future(server.channel());
    var calls = new ArrayList<ListenableFuture<GenerateRandomResponse>>();
    // The first alone: a client knows the limit once it has seen the server's settings.
    calls.add(client.generateRandom(QUICK));
    await().until(() -> server.authentications.get() == 1);
    Stream.generate(() -> client.generateRandom(QUICK)).limit(STREAMS + 2L).forEach(calls::add);

    await().until(() -> server.authentications.get() == STREAMS);
    await().during(Duration.ofMillis(200)).until(() -> server.authentications.get() == STREAMS);
    gate.complete(null);

    for (var call : calls) {
      assertThat(call.get(10, TimeUnit.SECONDS)).isNotNull();
    }
  }

  @Test
  void headersThatAreTooLongBesideAGoodTokenNeverReachACheck() throws Exception {
    assertThatThrownBy(() ->
            server
                .client(
                    "authorization", "Bearer " + WireServer.GOOD, "x-filler", "a".repeat(9 * 1024))
                .generateRandom(QUICK))
        .isInstanceOf(StatusRuntimeException.class);

    assertThat(server.authentications).hasValue(0);
    assertThat(begun).hasValue(0);
    assertThat(
            server
                .client(
                    "authorization", "Bearer " + WireServer.GOOD, "x-filler", "a".repeat(6 * 1024))
                .generateRandom(QUICK))
        .isNotNull();
  }

  @Test
  void headersThatAreTooLongNeverReachACheck() throws Exception {
    assertThatThrownBy(
            () -> server.client("authorization", "a".repeat(9 * 1024)).generateRandom(QUICK))
        .isInstanceOf(StatusRuntimeException.class);

    assertThat(server.authentications).hasValue(0);
    assertThat(begun).hasValue(0);
    assertThat(server.client().generateRandom(QUICK)).isNotNull();
  }

  @Test
  void aConnectionThatResetsItsStreamsIsClosedAndOthersAreNot() throws Exception {
    var honest = server.client();
    assertThat(honest.generateRandom(QUICK)).isNotNull();
    server.authenticationGate = new CompletableFuture<>();
    var flooding = future(server.channel());
    var watched = flooding.generateRandom(QUICK);
    await().until(() -> server.authentications.get() == 2);

    for (int i = 0; i < 5 * RESETS && !watched.isDone(); i++) {
      int before = server.authentications.get();
      var call = flooding.generateRandom(QUICK);
      await()
          .pollInterval(Duration.ofMillis(1))
          .until(() -> server.authentications.get() > before || watched.isDone());
      call.cancel(true);
    }

    assertThatThrownBy(() -> watched.get(10, TimeUnit.SECONDS))
        .isInstanceOf(ExecutionException.class)
        .satisfies(thrown ->
            assertThat(Status.fromThrowable(thrown).getDescription())
                .contains("ENHANCE_YOUR_CALM"));
    server.authenticationGate = CompletableFuture.completedFuture(null);
    assertThat(honest.generateRandom(QUICK)).isNotNull();
  }

  @Test
  void aClientThatPingsTooOftenIsDisconnected() throws Exception {
    try (var socket = http2()) {
      var out = socket.getOutputStream();
      // The first may come at any time, and two others too early.
      for (int i = 0; i < 4; i++) {
        out.write(frame(PING, new byte[8]));
        out.flush();
        Thread.sleep(100);
      }

      var goAway = awaitFrame(new DataInputStream(socket.getInputStream()), GOAWAY);

      assertThat(goAway.getInt(4)).isEqualTo(ENHANCE_YOUR_CALM);
      assertThat(US_ASCII.decode(goAway.position(8)).toString()).isEqualTo("too_many_pings");
    }
    assertThat(server.client().generateRandom(QUICK)).isNotNull();
  }

  @Test
  void aConnectionThatNeverFinishesItsHandshakeIsClosed() throws Exception {
    try (var silent = new java.net.Socket("localhost", server.port())) {
      silent.setSoTimeout(10_000);

      assertThat(silent.getInputStream().read()).isEqualTo(-1);
    }
  }

  @Test
  void aCallWhoseDeadlinePassesInTheQueueIsNotRun() throws Exception {
    var client = server.client();
    var blocking = future(client.getChannel());
    // As many as there are workers.
    var running = Stream.generate(() -> blocking.generateRandom(WAITING)).limit(2).toList();
    await().until(() -> begun.get() == 2);

    assertThatThrownBy(
            () -> client.withDeadlineAfter(200, TimeUnit.MILLISECONDS).generateRandom(QUICK))
        .satisfies(thrown ->
            assertThat(Status.fromThrowable(thrown).getCode())
                .isEqualTo(Status.Code.DEADLINE_EXCEEDED));
    // The server's clock for this call began later, with its headers.
    Thread.sleep(500);
    release.countDown();

    for (var call : running) {
      assertThat(call.get(10, TimeUnit.SECONDS)).isNotNull();
    }
    assertThat(client.generateRandom(QUICK)).isNotNull();
    assertThat(begun).as("calls that were begun").hasValue(3);
  }

  @Test
  void aCancelledCallGivesItsBytesBack() throws Exception {
    var large =
        EncryptSingleRequest.newBuilder()
            .setPlain(ByteString.copyFrom(new byte[MESSAGE * 9 / 10]))
            .build();
    var held = large.toBuilder().setMech(dev.grep11.proto.Mechanism.getDefaultInstance()).build();
    var client = server.client();
    var first = future(client.getChannel()).encryptSingle(held);
    await().until(() -> begun.get() == 1);
    assertThatThrownBy(() -> client.encryptSingle(large))
        .satisfies(thrown ->
            assertThat(Status.fromThrowable(thrown).getCode())
                .isEqualTo(Status.Code.RESOURCE_EXHAUSTED));

    first.cancel(true);

    await()
        .ignoreExceptions()
        .untilAsserted(() -> assertThat(client.encryptSingle(large)).isNotNull());
  }

  private static CryptoGrpc.CryptoFutureStub future(io.grpc.Channel channel) {
    var stub = CryptoGrpc.newFutureStub(channel);
    return channel instanceof ManagedChannel
        ? stub.withInterceptors(WireServer.headers("authorization", "Bearer " + WireServer.GOOD))
        : stub;
  }

  private static GenerateRandomRequest random(int length) {
    return GenerateRandomRequest.newBuilder().setLen(length).build();
  }

  // ---- HTTP/2 by hand, RFC 9113

  private SSLSocket http2() throws Exception {
    var context = javax.net.ssl.SSLContext.getInstance("TLS");
    context.init(
        null,
        io.netty.handler.ssl.util.InsecureTrustManagerFactory.INSTANCE.getTrustManagers(),
        null);
    var socket = (SSLSocket) context.getSocketFactory().createSocket("localhost", server.port());
    var parameters = socket.getSSLParameters();
    parameters.setApplicationProtocols(new String[] {"h2"});
    socket.setSSLParameters(parameters);
    socket.setSoTimeout(10_000);
    socket.startHandshake();
    var out = socket.getOutputStream();
    out.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".getBytes(US_ASCII));
    out.write(frame(4, new byte[0]));
    return socket;
  }

  /** Of stream 0, without flags. */
  private static byte[] frame(int type, byte[] payload) {
    return ByteBuffer.allocate(9 + payload.length)
        .put((byte) 0)
        .putShort((short) payload.length)
        .put((byte) type)
        .put((byte) 0)
        .putInt(0)
        .put(payload)
        .array();
  }

  private static ByteBuffer awaitFrame(DataInputStream in, int wanted) throws IOException {
    while (true) {
      int lengthAndType = in.readInt();
      in.skipNBytes(5);
      var payload = in.readNBytes(lengthAndType >>> 8);
      if ((lengthAndType & 0xff) == wanted) {
        return ByteBuffer.wrap(payload);
      }
    }
  }

  @Test
  void aRequestThatNeverEndsIsRefusedInTheEnd(@TempDir Path directory) throws Exception {
    try (var server =
        new WireServer(
            directory,
            Optional.of(WireServer.INSTANCE),
            LIMITS,
            Duration.ofSeconds(1),
            routes -> {})) {
      var end = new CompletableFuture<Status>();
      var _ =
          WireServer.sendWithoutEnd(
              server.channel(),
              CryptoGrpc.getEncryptSingleMethod(),
              EncryptSingleRequest.getDefaultInstance(),
              end::complete);

      assertThat(end.get(20, TimeUnit.SECONDS).getCode()).isEqualTo(Status.Code.DEADLINE_EXCEEDED);
      assertThat(server.audited)
          .extracting(CallRecord::status)
          .containsExactly(Status.Code.DEADLINE_EXCEEDED);
    }
  }
}
