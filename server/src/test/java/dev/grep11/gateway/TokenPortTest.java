package dev.grep11.gateway;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketException;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLSocket;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Who keeps others from tokens: nobody. The attacker has another address of this host. */
@Timeout(value = 120, unit = TimeUnit.SECONDS)
class TokenPortTest {
  private static final String ATTACKER = "127.0.0.3";

  /** More than the port has places for. */
  private static final int SILENT = 700;

  /** More than an address may ask in the time that this takes. */
  private static final int MANY = 20_000;

  @TempDir Path directory;

  @SuppressWarnings("NullAway.Init") // Each test starts it with limits of its own.
  private RunningGateway running;

  private final List<Socket> sockets = new ArrayList<>();

  @AfterEach
  void stop() throws IOException {
    for (var socket : sockets) {
      socket.close();
    }
    running.close();
  }

  private void start(Map<String, Object> limits) throws Exception {
    running = RunningGateway.start(directory.resolve("demo"), limits);
  }

  private void attack(int connections) throws IOException {
    for (int i = 0; i < connections; i++) {
      var socket = new Socket();
      sockets.add(socket);
      socket.bind(new InetSocketAddress(ATTACKER, 0));
      try {
        socket.connect(
            new InetSocketAddress(
                InetAddress.getLoopbackAddress(),
                running.gateway.tokenService().orElseThrow().getPort()),
            5000);
      } catch (SocketException e) {
        // Refused already.
      }
    }
  }

  private int answered() throws Exception {
    return running.identityToken(running.demoApiKey()).statusCode();
  }

  private double refused(String reason) {
    try {
      return running
          .web()
          .send(
              HttpRequest.newBuilder(
                      URI.create("https://localhost:" + running.gateway.healthPort() + "/metrics"))
                  .build(),
              HttpResponse.BodyHandlers.ofString())
          .body()
          .lines()
          .filter(line ->
              line.startsWith(
                  "grep11_connections_refused_total{port=\"token-service\",reason=\""
                      + reason
                      + "\"}"))
          .mapToDouble(line -> Double.parseDouble(line.substring(line.lastIndexOf(' '))))
          .sum();
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }

  @Test
  void silentConnectionsOfAnAddressMakeRoomForEachOther() throws Exception {
    start(
        Map.of(
            "/limits/handshakesPerAddress",
            20,
            "/limits/connectionsPerSecondPerAddress",
            2 * SILENT));
    attack(SILENT);

    for (int i = 0; i < 5; i++) {
      assertThat(answered()).isEqualTo(200);
    }

    await()
        .atMost(Duration.ofSeconds(30))
        .until(() -> refused("handshakes-of-address") >= SILENT / 2);
    await()
        .atMost(Duration.ofSeconds(30))
        .untilAsserted(() ->
            assertThat(running.events("grep11.connection.refused"))
                .anySatisfy(event ->
                    assertThat(event.toString())
                        .contains("token-service", ATTACKER, "handshakes-of-address")));
  }

  @Test
  void whoHadATokenOfLateComesBackDuringAFloodOfStrangers() throws Exception {
    start(Map.of("/limits/connectionsPerSecond", 1));
    assertThat(answered()).isEqualTo(200);

    for (int i = 0; i < 5; i++) {
      attack(20);
      assertThat(answered()).isEqualTo(200);
    }

    assertThat(refused("rate")).isPositive();
  }

  @Test
  void whoShowedNoGoodKeyStaysAStrangerDuringAFlood() throws Exception {
    start(Map.of("/limits/connectionsPerSecond", 1));
    assertThat(running.identityToken("g11_unknown").statusCode()).isEqualTo(400);
    assertThat(running.identityToken("").statusCode()).isEqualTo(400);

    // Now and then a second begins between the attack and the question: not ten times.
    assertThatThrownBy(
            () -> {
              for (int i = 0; i < 10; i++) {
                attack(20);
                assertThat(answered()).isEqualTo(200);
              }
            })
        .isInstanceOf(IOException.class);
  }

  @Test
  void whoAsksMoreThanAnybodyNeedsToIsSentAway() throws Exception {
    start(Map.of());
    var asked = 0;
    try (var socket = secure()) {
      var in = socket.getInputStream();
      for (; asked < MANY; asked++) {
        socket
            .getOutputStream()
            .write("GET /identity/keys HTTP/1.1\r\nHost: localhost\r\n\r\n".getBytes(US_ASCII));
        if (in.read() < 0) {
          break;
        }
        // The rest of a short answer, which comes with its first byte.
        var _ = in.skip(in.available());
      }
    } catch (SocketException e) {
      // It is closed.
    }
    assertThat(asked).isBetween(900, MANY - 1);
    await().until(() -> refused("requests-of-address") >= 1);
    assertThat(answered()).isEqualTo(200);
  }

  private Socket secure() throws Exception {
    attack(1);
    var socket =
        (SSLSocket)
            running
                .web()
                .sslContext()
                .getSocketFactory()
                .createSocket(sockets.getLast(), "localhost", 0, true);
    socket.startHandshake();
    return socket;
  }
}
