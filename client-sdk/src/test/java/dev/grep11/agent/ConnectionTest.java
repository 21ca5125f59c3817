package dev.grep11.agent;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import dev.grep11.agent.config.ClientConfig.LogLevel;
import dev.grep11.agent.config.ClientConfigFile;
import dev.grep11.agent.cryptoki.Cryptoki;
import dev.grep11.agent.log.Log;
import dev.grep11.agent.rpc.Call;
import dev.grep11.client.Ckr;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.DigestSingleRequest;
import dev.grep11.proto.DigestSingleResponse;
import dev.grep11.proto.GenerateRandomRequest;
import dev.grep11.proto.GenerateRandomResponse;
import dev.grep11.proto.GetMechanismInfoRequest;
import dev.grep11.proto.GetMechanismInfoResponse;
import dev.grep11.proto.GetMechanismListRequest;
import dev.grep11.proto.GetMechanismListResponse;
import io.grpc.Grpc;
import io.grpc.Server;
import io.grpc.TlsServerCredentials;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.PrintStream;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** One application's connection over the real loop, before a gateway that digests and is slow. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(value = 60, unit = TimeUnit.SECONDS)
class ConnectionTest {
  private static final byte[] HANDSHAKE =
      "PRIVATE-GNOME-KEYRING-PKCS11-PROTOCOL-V-1".getBytes(US_ASCII);
  private static final int SHA256 = 0x250;
  private static final int BUDGET = 64 << 20;

  private final ByteArrayOutputStream log = new ByteArrayOutputStream();
  private final Log to = new Log(new PrintStream(log, true, UTF_8), LogLevel.INFO);
  private final Semaphore ofAgent = new Semaphore(BUDGET);
  private final ExecutorService pool = Executors.newCachedThreadPool();

  /** Digests of {@code slow} are answered when it is ended. */
  private volatile CompletableFuture<Boolean> slow = CompletableFuture.completedFuture(true);

  private final Semaphore slowBegun = new Semaphore(0);
  private Path socket;
  private ServerSocketChannel listening;
  private Server gateway;
  private Cryptoki cryptoki;

  @BeforeAll
  void start(@TempDir Path directory) throws Exception {
    var key = directory.resolve("key.pem");
    var certificate = directory.resolve("certificate.pem");
    var openssl =
        new ProcessBuilder(
                ("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
                        + " -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout "
                        + key
                        + " -out "
                        + certificate)
                    .split(" "))
            .redirectErrorStream(true)
            .redirectOutput(directory.resolve("openssl").toFile())
            .start();
    assertThat(openssl.waitFor()).isZero();
    gateway =
        Grpc.newServerBuilderForPort(
                0, TlsServerCredentials.create(certificate.toFile(), key.toFile()))
            .addService(new Digests())
            .build()
            .start();
    var file =
        Files.writeString(
            directory.resolve("grep11client.yaml"),
            """
            tokens:
              7:
                grep11connection: { address: localhost, port: %d, tls: { enabled: true, mutual: false, cacert: "%s" } }
                users:
                  0: { name: officer }
                  1: { name: user, tokenspaceID: 7c0c7d1e-07c4-4a6b-8d3c-0e5f5f3f6a11, sessionauth: &store { enabled: true, tokenspaceIDPassword: k3yst0re } }
                  2: { name: guest, tokenspaceID: b1f3f2d6-5b0d-4f0a-9d54-2a6f3c8e7720, sessionauth: *store }
            """
                .formatted(gateway.getPort(), certificate));
    cryptoki = new Cryptoki(ClientConfigFile.read(file), to);
    socket = directory.resolve("socket");
    listening =
        ServerSocketChannel.open(StandardProtocolFamily.UNIX)
            .bind(UnixDomainSocketAddress.of(socket));
  }

  @AfterAll
  void stop() throws IOException {
    listening.close();
    cryptoki.close();
    gateway.shutdownNow();
    pool.shutdownNow();
  }

  private final class Digests extends CryptoGrpc.CryptoImplBase {
    private <T> void answer(StreamObserver<T> observer, T answer) {
      observer.onNext(answer);
      observer.onCompleted();
    }

    @Override
    public void getMechanismList(
        GetMechanismListRequest request, StreamObserver<GetMechanismListResponse> observer) {
      answer(observer, GetMechanismListResponse.newBuilder().addMechs(SHA256).build());
    }

    @Override
    public void getMechanismInfo(
        GetMechanismInfoRequest request, StreamObserver<GetMechanismInfoResponse> observer) {
      var answer = GetMechanismInfoResponse.newBuilder();
      answer.getMechInfoBuilder().setFlags(0x400);
      answer(observer, answer.build());
    }

    @Override
    public void generateRandom(
        GenerateRandomRequest request, StreamObserver<GenerateRandomResponse> observer) {
      var bytes = ByteString.copyFrom(new byte[(int) request.getLen()]);
      answer(observer, GenerateRandomResponse.newBuilder().setRnd(bytes).build());
    }

    @Override
    public void digestSingle(
        DigestSingleRequest request, StreamObserver<DigestSingleResponse> observer) {
      var digest = DigestSingleResponse.newBuilder().setDigest(ByteString.copyFrom(new byte[32]));
      if (request.getData().startsWith(ByteString.copyFromUtf8("slow"))) {
        slowBegun.release();
        var unused = slow.thenRun(() -> answer(observer, digest.build()));
      } else {
        answer(observer, digest.build());
      }
    }
  }

  // ---- An application

  private record Answer(int tag, ByteBuffer body) {}

  private final class Peer implements AutoCloseable {
    private final SocketChannel channel = SocketChannel.open(UnixDomainSocketAddress.of(socket));
    private final CountDownLatch gone = new CountDownLatch(1);

    Peer(Executor calls) throws IOException {
      new Connection(
              listening.accept(),
              cryptoki.application("alice"),
              Budget.ofConnection(ofAgent),
              cryptoki.loop(),
              calls,
              to,
              connection -> gone.countDown())
          .start();
      write(ByteBuffer.wrap(new byte[] {2}));
      read(1);
    }

    Peer() throws IOException {
      this(pool);
      call(Call.C_Initialize, array(HANDSHAKE), new byte[] {0}, array(new byte[1]));
    }

    long openSession() throws IOException {
      var opened = call(Call.C_OpenSession, number(7), number(6));
      return opened.getLong(opened.limit() - 8);
    }

    ByteBuffer call(Call call, byte[]... arguments) throws IOException {
      write(frame(1, call, arguments));
      var answer = answer();
      assertThat(answer.tag).isEqualTo(1);
      assertThat(answer.body.getInt(0)).as("number of the answer").isEqualTo(call.number());
      return answer.body;
    }

    void write(ByteBuffer... frames) throws IOException {
      var all = ByteBuffer.allocate(Arrays.stream(frames).mapToInt(ByteBuffer::remaining).sum());
      for (var frame : frames) {
        all.put(frame);
      }
      all.flip();
      while (all.hasRemaining()) {
        channel.write(all);
      }
    }

    Answer answer() throws IOException {
      var header = read(12);
      return new Answer(header.getInt(0), read(header.getInt(8)));
    }

    private ByteBuffer read(int length) throws IOException {
      var bytes = ByteBuffer.allocate(length);
      while (bytes.hasRemaining()) {
        if (channel.read(bytes) < 0) {
          throw new EOFException();
        }
      }
      return bytes.flip();
    }

    @Override
    public void close() throws IOException {
      channel.close();
    }
  }

  private static ByteBuffer frame(int tag, Call call, byte[]... arguments) {
    byte[] signature = call.request().getBytes(US_ASCII);
    byte[] body = bytes(arguments);
    return ByteBuffer.allocate(20 + signature.length + body.length)
        .putInt(tag)
        .putInt(0)
        .putInt(8 + signature.length + body.length)
        .putInt(call.number())
        .putInt(signature.length)
        .put(signature)
        .put(body)
        .flip();
  }

  private static byte[] bytes(byte[]... parts) {
    var all = new ByteArrayOutputStream();
    for (byte[] part : parts) {
      all.writeBytes(part);
    }
    return all.toByteArray();
  }

  private static byte[] number(long value) {
    return ByteBuffer.allocate(8).putLong(value).array();
  }

  private static byte[] int32(int value) {
    return ByteBuffer.allocate(4).putInt(value).array();
  }

  private static byte[] array(byte[] value) {
    return bytes(new byte[] {1}, int32(value.length), value);
  }

  private static ByteBuffer init(int tag, long session) {
    return frame(tag, Call.C_DigestInit, number(session), int32(SHA256));
  }

  private static ByteBuffer digest(int tag, long session, String data) {
    return frame(tag, Call.C_Digest, number(session), array(data.getBytes(UTF_8)), int32(64));
  }

  private static ByteBuffer seed(int tag, long session, int length) {
    return frame(tag, Call.C_SeedRandom, number(session), array(new byte[length]));
  }

  private static void digests(Peer peer, long session) throws IOException {
    peer.write(init(1, session));
    assertThat(peer.answer().body.getInt(0)).isEqualTo(Call.C_DigestInit.number());
    peer.write(digest(2, session, "quick"));
    assertThat(peer.answer().body.getInt(0)).isEqualTo(Call.C_Digest.number());
  }

  private void requireWholeBudget() {
    await()
        .atMost(Duration.ofSeconds(10))
        .untilAsserted(() -> assertThat(ofAgent.availablePermits()).isEqualTo(BUDGET));
  }

  // ---- What is at hand and goes

  /** The mechanism is known from the first application; the second has no user of the slot yet. */
  @Test
  void handsAnInitThatSeemedToBeAtHandToThePool() throws IOException {
    try (var first = new Peer()) {
      digests(first, first.openSession());
      var handedOver = new AtomicInteger();
      try (var second =
          new Peer(task -> {
            handedOver.incrementAndGet();
            pool.execute(task);
          })) {
        second.call(Call.C_Initialize, array(HANDSHAKE), new byte[] {0}, array(new byte[1]));
        long session = second.openSession();
        int before = handedOver.get();
        second.write(init(3, session));
        assertThat(second.answer().body.getInt(0)).isEqualTo(Call.C_DigestInit.number());
        assertThat(handedOver).hasValue(before + 1);

        second.write(digest(4, session, "quick"));
        assertThat(second.answer().body.getInt(0)).isEqualTo(Call.C_Digest.number());
        before = handedOver.get();
        second.write(init(5, session));
        assertThat(second.answer().body.getInt(0)).isEqualTo(Call.C_DigestInit.number());
        assertThat(handedOver).as("now it is at hand").hasValue(before);
      }
    }
  }

  // ---- Budget

  @Test
  void hasItsWholeBudgetAgainAfterApplicationsDiedWithCallsUnderWay() throws Exception {
    requireWholeBudget();
    for (int round = 0; round < 3; round++) {
      var late = new LinkedBlockingQueue<Runnable>();
      var peer = new Peer(late::add);
      // Two of one session, so that one waits for the other; and one of which half came.
      peer.write(seed(1, 1, 8 << 20), seed(2, 1, 1 << 20), seed(3, 2, 1 << 20));
      peer.write(seed(4, 3, 1 << 20).limit(512 << 10));
      var underWay = late.take();
      var another = late.take();
      await().until(() -> BUDGET - ofAgent.availablePermits() > 10 << 20);
      peer.close();
      late.take().run();
      assertThat(peer.gone.await(10, TimeUnit.SECONDS)).isTrue();
      underWay.run();
      another.run();
    }
    requireWholeBudget();
  }

  @Test
  void leavesNoThreadAndNoBudgetOfAnApplicationThatDiedWhileItWaited() throws Exception {
    requireWholeBudget();
    var late = new LinkedBlockingQueue<Runnable>();
    var peer = new Peer(late::add);
    // More than a connection may have under way, of which nothing is ever answered.
    var writing =
        pool.submit(() -> {
          peer.write(seed(1, 1, 15 << 20), seed(2, 2, 15 << 20), seed(3, 3, 15 << 20));
          return true;
        });
    await().until(ConnectionTest::isSomebodyWaiting);
    // It is not read meanwhile: an answer that cannot be written tells.
    peer.close();
    await()
        .until(() -> {
          var next = late.poll();
          if (next != null) {
            next.run();
          }
          return next == null && peer.gone.getCount() == 0;
        });
    await().until(() -> !isSomebodyWaiting());
    assertThat(writing).failsWithin(Duration.ofSeconds(10));
    requireWholeBudget();
  }

  private static boolean isSomebodyWaiting() {
    return Thread.getAllStackTraces().keySet().stream()
        .anyMatch(thread -> thread.getName().equals("agent-waiting"));
  }

  // ---- Applications that do not read

  @Test
  void readsAnApplicationNoFurtherThatReadsNoAnswersAndServesTheOthers() throws Exception {
    requireWholeBudget();
    int randoms = 4;
    int length = 900_000;
    int others = 100;
    try (var deaf = new Peer();
        var other = new Peer()) {
      long session = deaf.openSession();
      long another = other.openSession();
      for (int tag = 0; tag < randoms; tag++) {
        deaf.write(frame(tag, Call.C_GenerateRandom, number(session), int32(length)));
      }
      // Less what the socket took.
      await().until(() -> BUDGET - ofAgent.availablePermits() > (randoms - 1) * length);

      var writing =
          pool.submit(() -> {
            for (int tag = 0; tag < others; tag++) {
              deaf.write(seed(1000 + tag, session, 64 << 10));
            }
            return true;
          });
      for (int i = 0; i < 50; i++) {
        digests(other, another);
      }
      assertThat(writing.isDone()).as("it is read to the end").isFalse();
      assertThat(BUDGET - ofAgent.availablePermits()).isLessThan((randoms + 1) * length);

      // What was taken is answered, and the rest is read.
      for (int tag = 0; tag < randoms; tag++) {
        var answer = deaf.answer();
        assertThat(answer.tag).isEqualTo(tag);
        assertThat(answer.body.remaining()).isGreaterThan(length);
      }
      for (int tag = 0; tag < others; tag++) {
        var answer = deaf.answer();
        assertThat(answer.tag).isEqualTo(1000 + tag);
        assertThat(answer.body.getLong(answer.body.limit() - 8))
            .isEqualTo(Ckr.CKR_RANDOM_SEED_NOT_SUPPORTED);
      }
      assertThat(writing).succeedsWithin(Duration.ofSeconds(10));
    }
    requireWholeBudget();
  }

  // ---- Held answers

  @Test
  void holdsAnAnswerForACallOfItsOwnSessionOnly() throws IOException {
    slow = new CompletableFuture<>();
    try (var peer = new Peer()) {
      long one = peer.openSession();
      long two = peer.openSession();
      digests(peer, one);
      peer.write(init(10, two));
      assertThat(peer.answer().tag).isEqualTo(10);
      peer.write(init(11, one), digest(12, two, "slow"));

      assertThat(peer.answer().tag).as("told before the gateway answers the other").isEqualTo(11);

      slow.complete(true);
      assertThat(peer.answer().tag).isEqualTo(12);
    } finally {
      slow.complete(true);
    }
  }
}
