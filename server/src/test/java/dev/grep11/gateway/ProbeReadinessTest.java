package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.aesKey;
import static dev.grep11.gateway.RunningGateway.encrypt;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_FUNCTION_FAILED;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_OK;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import dev.grep11.gateway.hsm.Faults;
import dev.grep11.gateway.hsm.Hsm;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A token that answers and serves clients, and no longer signs what the gateway tries it with. */
class ProbeReadinessTest {
  /** Three periods of the probe, and some. */
  private static final Duration PATIENCE = Duration.ofSeconds(40);

  private static final ByteString PLAIN = ByteString.copyFromUtf8("served all the time");

  /** What C_Sign is given by the probe, and by nobody else. */
  private static final byte[] PROBED = TestAdministrator.sha256(new byte[32]);

  private final CountDownLatch release = new CountDownLatch(1);
  private final AtomicInteger tried = new AtomicInteger();
  private volatile boolean failing;
  private volatile boolean hanging;
  private RunningGateway running;
  private HttpClient web;

  @BeforeEach
  void start(@TempDir Path parent) throws Exception {
    running =
        RunningGateway.start(
            parent.resolve("demo"),
            Map.of(),
            settings -> Hsm.open(Faults.signing(PROBED, this::beforeProbe), settings));
    web = running.web();
  }

  @AfterEach
  void stop() {
    release.countDown();
    running.close();
  }

  private long beforeProbe() {
    tried.incrementAndGet();
    if (hanging) {
      try {
        release.await();
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
    }
    return failing ? CKR_FUNCTION_FAILED : CKR_OK;
  }

  @Test
  void aProbeThatFailsOrHangsIsTheOnlyReasonAndPasses() throws Exception {
    assertThat(get("/readyz").statusCode()).isEqualTo(200);
    failing = true;
    assertNotReadyForItsSignature();
    failing = false;
    awaitReady();

    hanging = true;
    assertNotReadyForItsSignature();
    int stuck = tried.get();
    hanging = false;
    release.countDown();
    awaitReady();
    await().atMost(PATIENCE).until(() -> tried.get() > stuck);
  }

  private void assertNotReadyForItsSignature() throws Exception {
    await().atMost(PATIENCE).until(() -> get("/readyz").statusCode() == 503);
    assertThat(get("/readyz").body())
        .isEqualTo(
            "{\"status\":\"not ready\",\"reasons\":{\"signature\":\"the token does not sign\"}}");
    // The token is there, and serves whoever asks it for something else.
    assertThat(metric("grep11_token_up")).isEqualTo(1);
    assertThat(metric("grep11_token_epoch")).isEqualTo(1);
    assertThat(metric("grep11_token_signature_age_seconds")).isGreaterThan(14);
    var client = running.client();
    assertThat(encrypt(client, aesKey(client), PLAIN).isEmpty()).isFalse();
    assertThat(running.tokenFor(running.demoApiKey())).isNotEmpty();
    assertThat(get("/livez").statusCode()).isEqualTo(200);
  }

  private void awaitReady() {
    await().atMost(PATIENCE).until(() -> get("/readyz").statusCode() == 200);
  }

  private double metric(String name) throws Exception {
    return get("/metrics")
        .body()
        .lines()
        .filter(line -> line.startsWith(name + " "))
        .mapToDouble(line -> Double.parseDouble(line.substring(name.length())))
        .findFirst()
        .orElseThrow();
  }

  private HttpResponse<String> get(String path) throws IOException, InterruptedException {
    return web.send(
        HttpRequest.newBuilder(
                URI.create("https://localhost:" + running.gateway.healthPort() + path))
            .build(),
        HttpResponse.BodyHandlers.ofString());
  }
}
