package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.aesKey;
import static dev.grep11.gateway.RunningGateway.detail;
import static dev.grep11.gateway.RunningGateway.encrypt;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import dev.grep11.gateway.pkcs11.Ckr;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A token that is pulled away under a running gateway, and given back. */
class HsmLossTest {
  private static final ByteString PLAIN = ByteString.copyFromUtf8("before, during and after");

  @Test
  void callsAreUnavailableMeanwhileAndGoOnWithoutARestart(@TempDir Path parent) throws Exception {
    try (var running = RunningGateway.start(parent.resolve("demo"))) {
      var client = running.client();
      var web = running.web();
      var key = aesKey(client);
      var ciphered = encrypt(client, key, PLAIN);
      var sessions = running.calls.openSessions();
      var served = new AtomicLong();
      var unavailable = new AtomicLong();
      var wrong = ConcurrentHashMap.<String>newKeySet();
      var traffic = new AtomicBoolean(true);
      var threads = new ArrayList<Thread>();
      for (int i = 0; i < 4; i++) {
        var mine = aesKey(client);
        threads.add(
            Thread.ofVirtual()
                .start(() -> {
                  while (traffic.get()) {
                    try {
                      encrypt(client, mine, PLAIN);
                      served.incrementAndGet();
                    } catch (StatusRuntimeException e) {
                      if (e.getStatus().getCode() == Status.Code.UNAVAILABLE
                          && detail(e).getRetry()
                          && detail(e).getCode() == Ckr.CKR_DEVICE_ERROR) {
                        unavailable.incrementAndGet();
                      } else {
                        wrong.add(e.toString());
                      }
                    }
                  }
                }));
      }
      await().until(() -> served.get() > 20);
      assertThat(running.health(web, "/readyz")).isEqualTo(200);

      var tokens = running.directory.resolve("token").resolve("tokens");
      var away = tokens.resolveSibling("away");
      Files.move(tokens, away);

      await().atMost(Duration.ofSeconds(20)).until(() -> unavailable.get() > 20);
      await()
          .atMost(Duration.ofSeconds(10))
          .untilAsserted(() -> assertThat(running.health(web, "/readyz")).isEqualTo(503));
      assertThat(running.health(web, "/livez")).isEqualTo(200);

      Files.move(away, tokens);

      await()
          .atMost(Duration.ofSeconds(30))
          .untilAsserted(() -> assertThat(running.health(web, "/readyz")).isEqualTo(200));
      var before = served.get();
      await().atMost(Duration.ofSeconds(20)).until(() -> served.get() > before + 20);
      traffic.set(false);
      for (var thread : threads) {
        thread.join();
      }

      assertThat(wrong).isEmpty();
      assertThat(encrypt(client, key, PLAIN)).isEqualTo(ciphered);
      assertThat(running.calls.openSessions()).isEqualTo(sessions);
    }
  }
}
