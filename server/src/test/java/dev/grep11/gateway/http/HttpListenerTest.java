package dev.grep11.gateway.http;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.grep11.gateway.iam.TestIdentity;
import dev.grep11.gateway.tls.Connections;
import dev.grep11.gateway.tls.ServerTls;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLSocket;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What a port of HTTP/1.1 takes of a client, byte by byte. */
@Timeout(value = 120, unit = TimeUnit.SECONDS)
class HttpListenerTest {
  private static final int PATIENCE_MILLIS = 30_000;
  private static final int LINE = 200;
  private static final int HEADERS = 400;
  private static final int FIELDS = 10;
  private static final int BODY = 100;

  /** More than any socket takes of what is not read. */
  private static final int LONG = 32 * 1024 * 1024;

  private static final Duration NO_HURRY = Duration.ofMinutes(10);

  private final CountDownLatch asked = new CountDownLatch(1);
  private final CountDownLatch released = new CountDownLatch(1);
  private TestIdentity identity;
  private ServerTls tls;
  private Connections connections;

  @SuppressWarnings("NullAway.Init") // Each test connects with a time of its own.
  private HttpListener listener;

  /** Says what was read; {@code /wait} when the test says so, and {@code /long} something long. */
  private final class Echo implements Pages {
    @Override
    public Answer answer(Request request) {
      assertThat(request.body().length).isLessThanOrEqualTo(BODY);
      if (request.target().equals("/wait")) {
        asked.countDown();
        try {
          released.await();
        } catch (InterruptedException e) {
          throw new IllegalStateException(e);
        }
      }
      if (request.target().equals("/long")) {
        return Answer.of(200, "text/plain", new byte[LONG]);
      }
      return text(
          200,
          "%s %s %s %s%n"
              .formatted(
                  request.method(),
                  request.target(),
                  request.isTooLarge() ? "too large" : new String(request.body(), US_ASCII),
                  Thread.currentThread().isVirtual()));
    }

    @Override
    public Answer malformed() {
      return text(400, "malformed\n");
    }

    private Answer text(int status, String text) {
      return Answer.of(status, "text/plain", text.getBytes(US_ASCII));
    }
  }

  @BeforeEach
  void makeIdentity(@TempDir Path directory) throws Exception {
    identity = TestIdentity.create();
    identity.writePem(directory.resolve("server.pem"));
    identity.writeKey(directory.resolve("server.key"));
    tls =
        ServerTls.start(
            directory.resolve("server.pem"),
            directory.resolve("server.key"),
            Duration.ofHours(1),
            _ -> {});
    connections = new Connections(1);
  }

  @AfterEach
  void stop() {
    released.countDown();
    listener.close();
    connections.close();
    tls.close();
  }

  private SSLSocket connect(Duration time) throws IOException {
    return connect(time, time);
  }

  private SSLSocket connect(Duration idle, Duration time) throws IOException {
    listener =
        HttpListener.start(
            new InetSocketAddress(InetAddress.getLoopbackAddress(), 0),
            tls.httpContext(),
            connections,
            new HttpLimits(LINE, HEADERS, FIELDS, BODY, idle, time, Duration.ofSeconds(30)),
            new Echo());
    var socket =
        (SSLSocket)
            identity
                .client()
                .getSocketFactory()
                .createSocket(listener.address().getAddress(), listener.address().getPort());
    socket.setSoTimeout(PATIENCE_MILLIS);
    socket.startHandshake();
    return socket;
  }

  private static void send(Socket socket, String text) throws IOException {
    socket.getOutputStream().write(text.getBytes(US_ASCII));
    socket.getOutputStream().flush();
  }

  private static String line(Socket socket) throws IOException {
    var line = new StringBuilder();
    int read;
    while ((read = socket.getInputStream().read()) != '\n') {
      if (read < 0) {
        throw new IOException("closed after: " + line);
      }
      line.append((char) read);
    }
    return line.toString().strip();
  }

  /** Its first line, its headers, and its only line. */
  private static String answer(Socket socket) throws IOException {
    var answer = new StringBuilder();
    for (var line = line(socket); !line.isEmpty(); line = line(socket)) {
      answer.append(line).append('\n');
    }
    return answer + line(socket);
  }

  /** Without an answer; in time, for a read that takes too long is an exception of its own. */
  private static boolean isClosed(Socket socket) throws IOException {
    try {
      return socket.getInputStream().read() < 0;
    } catch (SocketException e) {
      return true;
    }
  }

  private static String post(String body) {
    return "POST /one HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"
        .formatted(body.length(), body);
  }

  @Test
  void answersOneRequestAfterTheOtherEachOnAThreadThatMayWait() throws Exception {
    try (var socket = connect(NO_HURRY)) {
      send(socket, post("a=b"));
      assertThat(answer(socket))
          .startsWith("HTTP/1.1 200 OK\n")
          .containsIgnoringCase("content-type: text/plain\n")
          .containsIgnoringCase("date: ")
          .doesNotContainIgnoringCase("connection: close")
          .endsWith("POST /one a=b true");
      var chunks = "3\r\nc=d\r\n2\r\n&e\r\n0\r\n\r\n";
      send(
          socket,
          "POST /two?x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks);
      assertThat(answer(socket)).endsWith("POST /two?x c=d&e true");
      send(socket, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
      assertThat(answer(socket)).containsIgnoringCase("connection: close").endsWith("GET /  true");
      assertThat(isClosed(socket)).isTrue();
    }
  }

  @Test
  void saysContinueToWhoWaitsForIt() throws Exception {
    try (var socket = connect(NO_HURRY)) {
      send(
          socket,
          "POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
      assertThat(line(socket)).isEqualTo("HTTP/1.1 100 Continue");
      assertThat(line(socket)).isEmpty();
      send(socket, "a=b");
      assertThat(answer(socket)).startsWith("HTTP/1.1 200 OK\n").endsWith("POST / a=b true");
    }
  }

  @Test
  void aRequestThatDripsInEndsTheConnectionInTime() throws Exception {
    try (var socket = connect(Duration.ofSeconds(1))) {
      send(socket, "GET / HTTP/1.1\r\nX: ");
      var dripping =
          Thread.ofVirtual()
              .start(() -> {
                try {
                  while (true) {
                    send(socket, "x");
                    Thread.sleep(200);
                  }
                } catch (IOException | InterruptedException e) {
                  // It is closed.
                }
              });
      assertThat(isClosed(socket)).isTrue();
      dripping.interrupt();
    }
  }

  @Test
  void aBodyThatDripsInEndsTheConnectionInTime() throws Exception {
    try (var socket = connect(Duration.ofSeconds(1))) {
      send(
          socket,
          "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n".formatted(BODY));
      // Whole after ten seconds, and then it would be answered.
      var dripping =
          Thread.ofVirtual()
              .start(() -> {
                try {
                  for (int i = 0; i < BODY; i++) {
                    send(socket, "x");
                    Thread.sleep(100);
                  }
                } catch (IOException | InterruptedException e) {
                  // It is closed.
                }
              });
      assertThat(isClosed(socket)).isTrue();
      dripping.interrupt();
    }
  }

  @Test
  void aHandshakeThatIsNotDoneEndsInTime() throws Exception {
    try (var _ = connect(NO_HURRY);
        var silent = new Socket(listener.address().getAddress(), listener.address().getPort())) {
      silent.setSoTimeout(PATIENCE_MILLIS);
      assertThat(isClosed(silent)).isTrue();
    }
  }

  @Test
  void whoSaysNothingIsSentAwayBeforeTheFirstRequestAndAfterIt() throws Exception {
    try (var socket = connect(Duration.ofSeconds(1))) {
      assertThat(isClosed(socket)).isTrue();
    }
    listener.close();
    try (var socket = connect(Duration.ofSeconds(5))) {
      send(socket, post("a=b"));
      assertThat(answer(socket)).endsWith("a=b true");
      assertThat(isClosed(socket)).isTrue();
    }
  }

  @Test
  void anAnswerThatDoesNotComeEndsTheConnection() throws Exception {
    try (var socket = connect(Duration.ofSeconds(1))) {
      send(socket, "GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
      assertThat(isClosed(socket)).isTrue();
    }
  }

  @Test
  void takesNoLongerHeadThanItsLimits() throws Exception {
    for (var head :
        new String[] {
          "GET /" + "x".repeat(LINE) + " HTTP/1.1\r\n\r\n",
          "GET / HTTP/1.1\r\nX: " + "x".repeat(HEADERS) + "\r\n\r\n",
          "nonsense\r\n\r\n"
        }) {
      try (var socket = connect(NO_HURRY)) {
        send(socket, head);
        assertThat(answer(socket)).startsWith("HTTP/1.1 400 ").endsWith("malformed");
        assertThat(isClosed(socket)).isTrue();
      }
      listener.close();
    }
  }

  @Test
  void keepsNoMoreOfABodyThanItsLimit() throws Exception {
    try (var socket = connect(NO_HURRY)) {
      send(socket, post("x".repeat(BODY)));
      assertThat(answer(socket)).endsWith("x".repeat(BODY) + " true");
      send(socket, post("x".repeat(BODY + 1)));
      assertThat(answer(socket)).endsWith("too large true");
      send(socket, post("next"));
      assertThat(answer(socket)).endsWith("next true");
    }
  }

  @Test
  void answersABodyThatDoesNotEnd() throws Exception {
    try (var socket = connect(NO_HURRY)) {
      send(socket, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n");
      var sending =
          Thread.ofVirtual()
              .start(() -> {
                try {
                  while (true) {
                    send(socket, "x".repeat(1000));
                  }
                } catch (IOException e) {
                  // It is closed.
                }
              });
      assertThat(isClosedAfterAnAnswer(socket.getInputStream())).isTrue();
      sending.join();
    }
  }

  /** The answer may be lost to a client that goes on sending (RFC 9112, 9.6). */
  private static boolean isClosedAfterAnAnswer(InputStream in) throws IOException {
    try {
      return new String(in.readAllBytes(), US_ASCII).endsWith("too large true\n");
    } catch (SocketException e) {
      return true;
    }
  }

  @Test
  void whoAsksBeforeHeHasHisAnswerIsSentAway() throws Exception {
    try (var socket = connect(NO_HURRY)) {
      send(
          socket,
          "GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
      assertThat(isClosed(socket)).isTrue();
    }
  }

  @Test
  void nonsenseBeforeAnAnswerIsNotAnsweredInItsPlace() throws Exception {
    try (var socket = connect(NO_HURRY)) {
      send(socket, "GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\nnonsense\r\n\r\n");
      assertThat(isClosed(socket)).isTrue();
    }
  }

  @Test
  void whoAsksAgainBeforeHeTookHisAnswerIsSentAway() throws Exception {
    try (var socket = connect(NO_HURRY)) {
      send(socket, "GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n");
      assertThat(line(socket)).isEqualTo("HTTP/1.1 200 OK");
      send(socket, "GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n");
      assertThat(restUntilClosed(socket)).as("bytes of one answer").isLessThan(LONG + LONG / 2);
    }
  }

  private static long restUntilClosed(Socket socket) throws IOException {
    long bytes = 0;
    try {
      var part = new byte[16 * 1024];
      for (int read = 0; read >= 0; read = socket.getInputStream().read(part)) {
        bytes += read;
      }
    } catch (SocketException e) {
      // It is closed.
    }
    return bytes;
  }

  @Test
  void takesNoMoreFieldsThanItsLimitInHeadersAndInTrailers() throws Exception {
    var most = "x:\r\n".repeat(FIELDS - 1);
    var chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\n";
    try (var socket = connect(NO_HURRY)) {
      send(socket, "GET / HTTP/1.1\r\nHost: localhost\r\n" + most + "\r\n");
      assertThat(answer(socket)).endsWith("GET /  true");
      send(socket, chunked + "x:\r\n" + most + "\r\n");
      assertThat(answer(socket)).endsWith("POST / a=b true");
    }
    listener.close();
    for (var much :
        new String[] {
          "GET / HTTP/1.1\r\nHost: localhost\r\n" + most + "x:\r\n\r\n",
          chunked + "x:\r\nx:\r\n" + most + "\r\n"
        }) {
      try (var socket = connect(NO_HURRY)) {
        send(socket, much);
        assertThat(answer(socket)).startsWith("HTTP/1.1 400 ").endsWith("malformed");
        assertThat(isClosed(socket)).isTrue();
      }
      listener.close();
    }
  }

  @Test
  void mayBeIdleForLongerThanARequestMayTake() throws Exception {
    try (var socket = connect(NO_HURRY, Duration.ofSeconds(1))) {
      Thread.sleep(1500);
      send(socket, post("a=b"));
      assertThat(answer(socket)).endsWith("a=b true");
      Thread.sleep(1500);
      send(socket, post("c=d"));
      assertThat(answer(socket)).endsWith("c=d true");
      send(socket, "GET ");
      assertThat(isClosed(socket)).isTrue();
    }
  }

  @Test
  void aRequestThatBeginsBeforeTheAnswerIsNoIdleConnection() throws Exception {
    try (var socket = connect(NO_HURRY, Duration.ofSeconds(2))) {
      send(socket, "GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
      asked.await();
      send(socket, "GET ");
      released.countDown();
      assertThat(answer(socket)).endsWith("GET /wait  true");
      assertThat(isClosed(socket)).isTrue();
    }
  }

  @Test
  void whatIsUnderWayIsAnsweredBeforeItCloses() throws Exception {
    try (var socket = connect(NO_HURRY)) {
      send(socket, "GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
      asked.await();
      var closing = Thread.ofVirtual().start(listener::close);
      await().until(this::isRefused);
      released.countDown();
      assertThat(answer(socket)).endsWith("GET /wait  true");
      closing.join();
    }
  }

  private boolean isRefused() {
    try (var socket = new Socket()) {
      socket.connect(listener.address());
      return false;
    } catch (IOException e) {
      return true;
    }
  }
}
