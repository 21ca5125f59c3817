package dev.grep11.agent.cryptoki;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.grep11.agent.config.ClientConfigFile;
import dev.grep11.agent.config.UserConnection;
import java.io.IOException;
import java.net.ConnectException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is done while a gateway is away; how it is away is up to the call. */
class GatewayUserTest {
  private final AtomicInteger calls = new AtomicInteger();
  @TempDir private Path directory;
  private final Semaphore waiting = new Semaphore(1);
  private GatewayUser user;

  @BeforeEach
  void connect() throws IOException {
    var file =
        Files.writeString(
            directory.resolve("grep11client.yaml"),
            """
            tokens:
              0:
                grep11connection: { address: localhost, port: 1, tls: { enabled: true } }
                users:
                  0: { name: officer }
                  1: { name: user, tokenspaceID: 7c0c7d1e-07c4-4a6b-8d3c-0e5f5f3f6a11, sessionauth: &store { enabled: true, tokenspaceIDPassword: k3yst0re } }
                  2: { name: guest, tokenspaceID: b1f3f2d6-5b0d-4f0a-9d54-2a6f3c8e7720, sessionauth: *store }
            """);
    var token = ClientConfigFile.read(file).tokens().values().iterator().next();
    user =
        new GatewayUser(
            new UserConnection(token, token.normal(), new char[0], warning -> {}),
            () -> {},
            waiting);
  }

  @AfterEach
  void stop() {
    user.close();
  }

  /** A call that fails so often, and then answers with the number of calls. */
  private int failing(int times, Exception cause) {
    calls.set(0);
    return user.ask(client -> {
      if (calls.incrementAndGet() <= times) {
        throw new IllegalStateException("away", cause);
      }
      return calls.get();
    });
  }

  @Test
  void waitsForAGatewayThatWasThereBefore() {
    assertThat(failing(0, new ConnectException())).isEqualTo(1);
    assertThat(failing(3, new ConnectException("Connection refused"))).isEqualTo(4);
  }

  @Test
  void doesNotWaitForOneThatNeverAnswered() {
    assertThatThrownBy(() -> failing(1, new ConnectException("Connection refused")))
        .hasMessage("away");
    assertThat(calls).hasValue(1);
  }

  @Test
  void failsAtOnceWhileAsManyWaitAsMay() {
    assertThat(failing(0, new ConnectException())).isEqualTo(1);
    assertThat(waiting.tryAcquire()).isTrue();
    assertThatThrownBy(() -> failing(1, new ConnectException("Connection refused")))
        .hasMessage("away");
    assertThat(calls).hasValue(1);

    waiting.release();
    assertThat(failing(1, new ConnectException("Connection refused"))).isEqualTo(2);
    assertThat(waiting.availablePermits()).as("given back").isEqualTo(1);
  }

  @Test
  void doesNotRepeatACallThatMayHaveReachedTheGateway() {
    assertThat(failing(0, new ConnectException())).isEqualTo(1);
    assertThatThrownBy(() -> failing(1, new IOException("Connection reset by peer")))
        .hasMessage("away");
    assertThat(calls).hasValue(1);
  }
}
