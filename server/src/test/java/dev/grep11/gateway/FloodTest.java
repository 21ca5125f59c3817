package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.mechanism;
import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.proto.AttributeValue;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.CryptoGrpc.CryptoBlockingStub;
import dev.grep11.proto.GenerateKeyPairRequest;
import dev.grep11.proto.GenerateRandomRequest;
import dev.grep11.proto.SignSingleRequest;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import io.netty.handler.codec.http2.DefaultHttp2Headers;
import io.netty.handler.codec.http2.DefaultHttp2HeadersEncoder;
import io.netty.handler.codec.http2.Http2Exception;
import io.netty.handler.codec.http2.Http2Headers;
import io.netty.handler.ssl.util.InsecureTrustManagerFactory;
import io.netty.util.internal.PlatformDependent;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Floods of every kind, from another address of this host, while an honest client signs, or fetches
 * tokens where their port is flooded. It meets no error, the flooder is sent away, and its 99th
 * percentile is at most three times what it is without (interfaces 11): printed, and a failure
 * where it is far beyond, or {@code GREP11_BOUNDS=fail}, since the flood computes on the same
 * processors.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(value = 300, unit = TimeUnit.SECONDS)
@Tag("flood")
class FloodTest {
  private static final String FROM = "127.0.0.3";
  private static final int THREADS = 4;
  private static final int OPEN_PER_ADDRESS = 60;
  private static final int HANDSHAKES_PER_ADDRESS = 20;
  private static final int PER_SECOND_PER_ADDRESS = 40;
  private static final int CALLS_PER_SECOND = 500;
  private static final int UNREAD_SECONDS = 2;
  private static final double P99_BOUND = 3;

  /** Of the bound, in the few seconds of a run in which a first burst weighs much. */
  private static final int FAR_BEYOND = 10;

  private static final String TOKEN_SERVICE = "token-service";

  /** Of all threads together fewer than handshakes may be begun: so it is time that ends them. */
  private static final int DRIPPING_HANDSHAKES = HANDSHAKES_PER_ADDRESS / THREADS - 1;

  private static final byte[] P256 = HexFormat.of().parseHex("06082a8648ce3d030107");

  // Frame types and flags of RFC 9113, 6.
  private static final int HEADERS = 1;
  private static final int RST_STREAM = 3;
  private static final int SETTINGS = 4;
  private static final int PING = 6;
  private static final int WINDOW_UPDATE = 8;
  private static final int CONTINUATION = 9;
  private static final int END_STREAM = 1;
  private static final int END_HEADERS = 4;

  private RunningGateway running;
  private CryptoBlockingStub honest;
  private SignSingleRequest signing;
  private SSLContext trusting;
  private String flooder;
  private HttpClient web;
  private String apiKey;

  /** Sockets of the flooder that the gateway closed, and calls that it refused. */
  private final AtomicInteger sentAway = new AtomicInteger();

  /** What a thread of a flood does again and again; ended by an exception of the socket too. */
  enum Flood {
    CONNECTIONS_THAT_SAY_NOTHING("crypto", "handshakes-of-address"),
    HALF_OPEN_TLS("crypto", "handshakes-of-address"),
    HALF_OPEN_TLS_THAT_DRIPS,
    HANDSHAKES("crypto", "rate-of-address"),
    CONNECTIONS_THAT_DO_NOTHING("crypto", "connections-of-address"),
    RESET_STREAMS,
    ENDLESS_HEADERS,
    PINGS,
    EMPTY_SETTINGS("crypto", "frames"),
    WINDOW_UPDATES("crypto", "frames"),
    UNREAD_ANSWERS("crypto", "unread"),
    CALLS,
    CALLS_WITHOUT_A_TOKEN("crypto", "frames-of-address"),
    SLOW_PAGES("health", "rate-of-address"),
    TOKEN_CONNECTIONS_THAT_SAY_NOTHING(TOKEN_SERVICE, "handshakes-of-address"),
    TOKEN_REQUESTS_THAT_DRIP(TOKEN_SERVICE, "connections-of-address");

    /** Of the port that is flooded, in the metrics. */
    private final String port;

    /**
     * What the reason begins with for which connections are closed, in the metrics; empty where the
     * flooder himself sees that he is sent away.
     */
    private final String refusal;

    Flood() {
      this("crypto", "");
    }

    Flood(String port, String refusal) {
      this.port = port;
      this.refusal = refusal;
    }
  }

  @BeforeAll
  void start(@TempDir Path directory) throws Exception {
    running =
        RunningGateway.start(
            directory,
            Map.of(
                "/limits/connectionsPerAddress", OPEN_PER_ADDRESS,
                "/limits/handshakesPerAddress", HANDSHAKES_PER_ADDRESS,
                "/limits/connectionsPerSecondPerAddress", PER_SECOND_PER_ADDRESS,
                "/limits/callsPerSecondPerCaller", CALLS_PER_SECOND,
                "/limits/unreadAnswerSeconds", UNREAD_SECONDS));
    trusting = SSLContext.getInstance("TLS");
    trusting.init(null, InsecureTrustManagerFactory.INSTANCE.getTrustManagers(), null);
    running.grant("IBMid-flood", "Manager");
    flooder = "Bearer " + running.token("IBMid-flood");
    honest = running.client();
    apiKey = running.demoApiKey();
    web = running.web();
    var pair =
        honest.generateKeyPair(
            GenerateKeyPairRequest.newBuilder()
                .setMech(mechanism(Ckm.CKM_EC_KEY_PAIR_GEN))
                .putPubKeyTemplate(
                    Cka.CKA_EC_PARAMS,
                    AttributeValue.newBuilder().setAttributeB(ByteString.copyFrom(P256)).build())
                .build());
    signing =
        SignSingleRequest.newBuilder()
            .setMech(mechanism(Ckm.CKM_ECDSA))
            .setPrivKeyBytes(pair.getPrivKeyBytes())
            .setData(ByteString.copyFrom(new byte[32]))
            .build();
    await()
        .ignoreExceptions()
        .until(() ->
            running.client("authorization", flooder).generateRandom(random(1)).getRnd().size() > 0);
    var _ = sign(Duration.ofSeconds(2));
    var _ = fetch(Duration.ofSeconds(1));
    var _ = metrics();
  }

  @AfterAll
  void stop() {
    running.close();
  }

  @ParameterizedTest
  @EnumSource
  void leavesAnHonestClientServed(Flood flood) throws Exception {
    judge(flood, Duration.ofSeconds(1), Duration.ofSeconds(3));
  }

  @Tag("long")
  @ParameterizedTest
  @EnumSource
  void leavesAnHonestClientServedForLong(Flood flood) throws Exception {
    judge(flood, Duration.ofSeconds(5), Duration.ofSeconds(20));
  }

  private void judge(Flood flood, Duration unloaded, Duration loaded) throws Exception {
    double ratio = flood(flood, unloaded, loaded);
    if (ratio >= FAR_BEYOND * P99_BOUND) {
      // The worst three of three hundred calls say little, once.
      ratio = flood(flood, unloaded, loaded);
    }
    assertThat(ratio).as("no machine is so busy with others").isLessThan(FAR_BEYOND * P99_BOUND);
    if ("fail".equals(System.getenv("GREP11_BOUNDS"))) {
      assertThat(ratio).as("99th percentile against that without a flood").isLessThan(P99_BOUND);
    }
  }

  /** The honest client's 99th percentile against that before. */
  private double flood(Flood flood, Duration unloaded, Duration loaded) throws Exception {
    var before = serve(flood, unloaded);
    long descriptors = descriptors();
    long direct = PlatformDependent.usedDirectMemory();
    double refusedBefore = refused(flood);
    sentAway.set(0);
    var stop = new AtomicBoolean();
    var attempts = new AtomicInteger();
    var sockets = new ConcurrentLinkedQueue<Socket>();
    var threads = new ArrayList<Thread>();
    long[] during;
    try {
      for (int i = 0; i < THREADS; i++) {
        threads.add(
            Thread.ofPlatform().daemon().start(() -> again(flood, stop, attempts, sockets)));
      }
      during = serve(flood, loaded);
      await()
          .atMost(Duration.ofSeconds(40))
          .pollInterval(Duration.ofMillis(200))
          .untilAsserted(() -> {
            if (flood.refusal.isEmpty()) {
              assertThat(sentAway).as("sent away").hasPositiveValue();
            } else {
              assertThat(refused(flood))
                  .as("%s in %s", flood.refusal, refusals())
                  .isGreaterThan(refusedBefore);
            }
          });
    } finally {
      stop.set(true);
      closeAll(sockets);
      for (var thread : threads) {
        thread.join(TimeUnit.SECONDS.toMillis(20));
      }
      closeAll(sockets);
    }
    double ratio = (double) percentile(during, 99) / percentile(before, 99);
    System.out.printf(
        "flood=%s attempts=%d sent_away=%d p50_us=%d p99_us=%d unloaded_p50_us=%d unloaded_p99_us=%d"
            + " p99_ratio=%.2f calls=%d errors=0%n",
        flood.name().toLowerCase(java.util.Locale.ROOT),
        attempts.get(),
        sentAway.get(),
        percentile(during, 50) / 1000,
        percentile(during, 99) / 1000,
        percentile(before, 50) / 1000,
        percentile(before, 99) / 1000,
        ratio,
        during.length);

    assertThat(attempts).hasPositiveValue();
    await()
        .atMost(Duration.ofSeconds(20))
        .untilAsserted(() -> {
          assertThat(descriptors()).as("descriptors").isLessThanOrEqualTo(descriptors + 5);
          assertThat(PlatformDependent.usedDirectMemory() - direct)
              .as("bytes of buffers that were not given back")
              .isLessThan(64L << 20);
        });
    return ratio;
  }

  private static void closeAll(Iterable<Socket> sockets) {
    for (var socket : sockets) {
      try {
        socket.close();
      } catch (IOException e) {
        // It is closed.
      }
    }
  }

  // ---- The honest client

  private static GenerateRandomRequest random(int length) {
    return GenerateRandomRequest.newBuilder().setLen(length).build();
  }

  /** Latencies in nanoseconds of what the flood is against; any error is a failure. */
  private long[] serve(Flood flood, Duration duration) throws Exception {
    return flood.port.equals(TOKEN_SERVICE) ? fetch(duration) : sign(duration);
  }

  private long[] sign(Duration duration) throws Exception {
    return latencies(
        duration,
        4,
        () ->
            assertThat(
                    honest
                        .withDeadlineAfter(20, TimeUnit.SECONDS)
                        .signSingle(signing)
                        .getSignature()
                        .size())
                .isEqualTo(64));
  }

  /** Each token by a connection of its own, at half the pace that an API key may have. */
  private long[] fetch(Duration duration) throws Exception {
    var form = "grant_type=urn:ibm:params:oauth:grant-type:apikey&apikey=" + apiKey;
    var request =
        "POST /identity/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"
                .formatted(form.length())
            + "Connection: close\r\n\r\n"
            + form;
    return latencies(
        duration,
        100,
        () -> {
          try (var socket =
              trusting
                  .getSocketFactory()
                  .createSocket(InetAddress.getLoopbackAddress(), tokenPort())) {
            socket.setSoTimeout(20_000);
            // Else the request waits for the acknowledgement of the handshake's end, 40 ms.
            socket.setTcpNoDelay(true);
            socket.getOutputStream().write(request.getBytes(US_ASCII));
            assertThat(new String(socket.getInputStream().readAllBytes(), US_ASCII))
                .startsWith("HTTP/1.1 200 ")
                .contains("\"access_token\"");
          }
        });
  }

  private interface Served {
    void once() throws Exception;
  }

  /** Of one after the other. */
  private static long[] latencies(Duration duration, int pauseMillis, Served served)
      throws Exception {
    var latencies = new ArrayList<Long>();
    long end = System.nanoTime() + duration.toNanos();
    while (System.nanoTime() < end) {
      long begin = System.nanoTime();
      served.once();
      latencies.add(System.nanoTime() - begin);
      pause(pauseMillis);
    }
    return latencies.stream().mapToLong(Long::longValue).sorted().toArray();
  }

  private static long percentile(long[] sorted, int percent) {
    return sorted[Math.min(sorted.length - 1, sorted.length * percent / 100)];
  }

  // ---- What is seen from outside

  private static long descriptors() {
    var files = Path.of("/proc/self/fd").toFile().list();
    return files == null ? 0 : files.length;
  }

  private String metrics() throws IOException, InterruptedException {
    return web.send(
            HttpRequest.newBuilder(
                    URI.create("https://localhost:" + running.gateway.healthPort() + "/metrics"))
                .build(),
            HttpResponse.BodyHandlers.ofString())
        .body();
  }

  private List<String> refusals() throws IOException, InterruptedException {
    return metrics().lines().filter(line -> line.startsWith("grep11_connections_")).toList();
  }

  private double refused(Flood flood) throws IOException, InterruptedException {
    return metrics()
        .lines()
        .filter(line ->
            line.startsWith("grep11_connections_refused_total{")
                && line.contains("port=\"" + flood.port + "\"")
                && line.contains("reason=\"" + flood.refusal))
        .mapToDouble(line -> Double.parseDouble(line.substring(line.lastIndexOf(' '))))
        .sum();
  }

  private int tokenPort() {
    return running.gateway.tokenService().orElseThrow().getPort();
  }

  // ---- Floods

  private void again(
      Flood flood, AtomicBoolean stop, AtomicInteger attempts, ConcurrentLinkedQueue<Socket> held) {
    while (!stop.get()) {
      attempts.incrementAndGet();
      try {
        once(flood, stop, held);
      } catch (IOException | Http2Exception e) {
        // Closed by the gateway, as it should be; at a pace that leaves processors to the others.
        LockSupport.parkNanos(Duration.ofMillis(2).toNanos());
      }
    }
  }

  private void once(Flood flood, AtomicBoolean stop, ConcurrentLinkedQueue<Socket> held)
      throws IOException, Http2Exception {
    switch (flood) {
      case CONNECTIONS_THAT_SAY_NOTHING -> {
        held.add(connect(running.gateway.cryptoPort()));
        pause(5);
      }
      case TOKEN_CONNECTIONS_THAT_SAY_NOTHING -> {
        held.add(connect(tokenPort()));
        pause(5);
      }
      case HALF_OPEN_TLS -> {
        var socket = connect(running.gateway.cryptoPort());
        held.add(socket);
        socket.getOutputStream().write(clientHello());
        pause(5);
      }
      case HALF_OPEN_TLS_THAT_DRIPS ->
          drip(
              stop,
              held,
              DRIPPING_HANDSHAKES,
              1000,
              clientHello(),
              () -> connect(running.gateway.cryptoPort()));
      case TOKEN_REQUESTS_THAT_DRIP ->
          drip(
              stop,
              held,
              OPEN_PER_ADDRESS,
              // No faster than an address may, so that it is the number that counts.
              1000 * THREADS / PER_SECOND_PER_ADDRESS,
              ("POST /identity/token HTTP/1.1\r\nX: " + "x".repeat(4000)).getBytes(US_ASCII),
              () -> secure(connect(tokenPort()), "http/1.1"));
      case HANDSHAKES -> {
        try (var socket = tls(held)) {
          assertThat(socket.isConnected()).isTrue();
        }
        pause(20);
      }
      case CONNECTIONS_THAT_DO_NOTHING -> {
        var _ = http2(held, new byte[0]);
        // No faster than an address may, so that it is the number that counts.
        pause(1000 * THREADS / PER_SECOND_PER_ADDRESS);
      }
      case RESET_STREAMS -> {
        var block = headers("/grep11.Crypto/SignSingle");
        frames(
            stop,
            held,
            stream ->
                join(
                    frame(HEADERS, END_HEADERS, stream, block),
                    frame(RST_STREAM, 0, stream, new byte[] {0, 0, 0, 8})));
      }
      case ENDLESS_HEADERS -> {
        var block = headers("/grep11.Crypto/SignSingle");
        var first = new AtomicBoolean(true);
        frames(
            stop,
            held,
            _ ->
                first.getAndSet(false)
                    ? frame(HEADERS, 0, 1, block)
                    : frame(CONTINUATION, 0, 1, new byte[] {0, 1, 'a', 1, 'b'}));
      }
      case CALLS_WITHOUT_A_TOKEN -> {
        var block = headers("/grep11.Crypto/SignSingle", "");
        frames(stop, held, stream -> frame(HEADERS, END_HEADERS | END_STREAM, stream, block));
      }
      case PINGS -> frames(stop, held, _ -> frame(PING, 0, 0, new byte[8]));
      case EMPTY_SETTINGS -> frames(stop, held, _ -> frame(SETTINGS, 0, 0, new byte[0]));
      case WINDOW_UPDATES ->
          frames(stop, held, _ -> frame(WINDOW_UPDATE, 0, 0, new byte[] {0, 0, 0, 1}));
      case UNREAD_ANSWERS -> {
        // SETTINGS_INITIAL_WINDOW_SIZE 0 (RFC 9113, 6.5.2): nothing may be sent.
        var socket = http2(held, new byte[] {0, 4, 0, 0, 0, 0});
        var out = socket.getOutputStream();
        var block = headers("/grep11.Crypto/GenerateRandom");
        byte[] message = random(1_000_000).toByteArray();
        byte[] body =
            ByteBuffer.allocate(5 + message.length)
                .put((byte) 0)
                .putInt(message.length)
                .put(message)
                .array();
        for (int i = 0; i < 20; i++) {
          out.write(frame(HEADERS, END_HEADERS, 2 * i + 1, block));
          out.write(frame(0, END_STREAM, 2 * i + 1, body));
        }
        out.flush();
        drain(socket.getInputStream());
      }
      case CALLS -> {
        var channel = running.channel();
        try {
          var client =
              CryptoGrpc.newBlockingStub(channel)
                  .withInterceptors(RunningGateway.headers("authorization", flooder));
          while (!stop.get()) {
            call(client);
          }
        } finally {
          channel.shutdownNow();
        }
      }
      case SLOW_PAGES -> {
        var socket = secure(connect(running.gateway.healthPort()), "http/1.1");
        held.add(socket);
        socket.getOutputStream().write("GET /livez HTTP/1.1\r\nX: ".getBytes(US_ASCII));
        socket.getOutputStream().flush();
        pause(20);
      }
    }
  }

  private void call(CryptoBlockingStub client) {
    try {
      var _ = client.withDeadlineAfter(20, TimeUnit.SECONDS).generateRandom(random(8));
    } catch (StatusRuntimeException e) {
      if (e.getStatus().getCode() != Status.Code.RESOURCE_EXHAUSTED) {
        throw e;
      }
      sentAway.incrementAndGet();
    }
  }

  private static void pause(int millis) {
    LockSupport.parkNanos(Duration.ofMillis(millis).toNanos());
  }

  @FunctionalInterface
  private interface Frames {
    byte[] of(int stream);
  }

  /** As many as the gateway takes before it closes the connection, at most 20,000 a second. */
  private void frames(AtomicBoolean stop, ConcurrentLinkedQueue<Socket> held, Frames frames)
      throws IOException {
    try (var socket = http2(held, new byte[0])) {
      Thread.ofVirtual()
          .start(() -> {
            if (isEnded(socket) && !stop.get()) {
              sentAway.incrementAndGet();
            }
            closeAll(List.of(socket));
          });
      var out = socket.getOutputStream();
      int stream = 1;
      while (!stop.get()) {
        var some = new java.io.ByteArrayOutputStream();
        for (int i = 0; i < 100; i++) {
          some.writeBytes(frames.of(stream));
          stream += 2;
        }
        out.write(some.toByteArray());
        out.flush();
        pause(5);
      }
    }
  }

  /** False when it was the time to wait that ended. */
  private static boolean isEnded(Socket socket) {
    try {
      drain(socket.getInputStream());
      return true;
    } catch (SocketTimeoutException e) {
      return false;
    } catch (IOException e) {
      return true;
    }
  }

  @FunctionalInterface
  private interface Opening {
    Socket open() throws IOException;
  }

  /** A connection and how many bytes it has sent. */
  private static final class Dripping {
    private final Socket socket;
    private int sent;

    private Dripping(Socket socket) {
      this.socket = socket;
    }
  }

  /** Holds some connections and sends the next byte of each after every pause. */
  private void drip(
      AtomicBoolean stop,
      ConcurrentLinkedQueue<Socket> held,
      int most,
      int pauseMillis,
      byte[] bytes,
      Opening opening) {
    var dripping = new ArrayList<Dripping>();
    while (!stop.get()) {
      if (dripping.size() < most) {
        try {
          var socket = opening.open();
          held.add(socket);
          dripping.add(new Dripping(socket));
        } catch (IOException e) {
          // Refused; the others drip on.
        }
      }
      dripping.removeIf(connection -> !isOpenAfter(bytes, connection, stop));
      pause(pauseMillis);
    }
  }

  private boolean isOpenAfter(byte[] bytes, Dripping connection, AtomicBoolean stop) {
    try {
      connection.socket.getOutputStream().write(bytes[connection.sent++ % bytes.length]);
      return true;
    } catch (IOException e) {
      if (!stop.get()) {
        sentAway.incrementAndGet();
      }
      closeAll(List.of(connection.socket));
      return false;
    }
  }

  /** As a client begins; what the gateway answers is not read. */
  private byte[] clientHello() throws IOException {
    var engine = trusting.createSSLEngine("localhost", running.gateway.cryptoPort());
    engine.setUseClientMode(true);
    var hello = ByteBuffer.allocate(engine.getSession().getPacketBufferSize());
    var _ = engine.wrap(ByteBuffer.allocate(0), hello);
    return Arrays.copyOf(hello.array(), hello.position());
  }

  private static void drain(InputStream in) throws IOException {
    while (in.read(new byte[8192]) >= 0) {
      // What the gateway has to say is of no interest.
    }
  }

  private static Socket connect(int port) throws IOException {
    var socket = new Socket();
    socket.bind(new InetSocketAddress(FROM, 0));
    socket.setSoTimeout(20_000);
    try {
      socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 5000);
    } catch (IOException e) {
      socket.close();
      throw e;
    }
    return socket;
  }

  private SSLSocket secure(Socket socket, String protocol) throws IOException {
    try {
      var secured =
          (SSLSocket)
              trusting.getSocketFactory().createSocket(socket, "localhost", socket.getPort(), true);
      var parameters = secured.getSSLParameters();
      parameters.setApplicationProtocols(new String[] {protocol});
      secured.setSSLParameters(parameters);
      secured.startHandshake();
      return secured;
    } catch (IOException e) {
      socket.close();
      throw e;
    }
  }

  private SSLSocket tls(ConcurrentLinkedQueue<Socket> held) throws IOException {
    var socket = connect(running.gateway.cryptoPort());
    held.add(socket);
    return secure(socket, "h2");
  }

  /** Preface and SETTINGS. */
  private SSLSocket http2(ConcurrentLinkedQueue<Socket> held, byte[] settings) throws IOException {
    var socket = tls(held);
    var out = socket.getOutputStream();
    out.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".getBytes(US_ASCII));
    out.write(frame(SETTINGS, 0, 0, settings));
    out.flush();
    return socket;
  }

  private byte[] headers(String path) throws Http2Exception {
    return headers(path, flooder);
  }

  private static byte[] headers(String path, String authorization) throws Http2Exception {
    Http2Headers headers =
        new DefaultHttp2Headers()
            .method("POST")
            .scheme("https")
            .path(path)
            .authority("localhost")
            .add("te", "trailers")
            .add("content-type", "application/grpc")
            .add("authorization", authorization);
    var block = Unpooled.buffer();
    // None of it may refer to what an earlier block of the connection said.
    try (var encoder = new DefaultHttp2HeadersEncoder((_, _) -> true, true, 64)) {
      encoder.encodeHeaders(1, headers, block);
      return ByteBufUtil.getBytes(block);
    } finally {
      block.release();
    }
  }

  private static byte[] frame(int type, int flags, int stream, byte[] payload) {
    return ByteBuffer.allocate(9 + payload.length)
        .put((byte) (payload.length >> 16))
        .putShort((short) payload.length)
        .put((byte) type)
        .put((byte) flags)
        .putInt(stream)
        .put(payload)
        .array();
  }

  private static byte[] join(byte[] first, byte[] second) {
    var joined = Arrays.copyOf(first, first.length + second.length);
    System.arraycopy(second, 0, joined, first.length, second.length);
    return joined;
  }
}
