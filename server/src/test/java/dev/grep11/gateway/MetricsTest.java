package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.aesKey;
import static dev.grep11.gateway.RunningGateway.encrypt;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import io.grpc.StatusRuntimeException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a gateway shows of itself, read over its port. */
class MetricsTest {
  private static final ByteString PLAIN = ByteString.copyFromUtf8("counted");
  private static final Pattern DOCUMENTED =
      Pattern.compile("^\\| `((?:grep11|ibm)_\\w+)` \\|", Pattern.MULTILINE);
  private static final Pattern SHOWN =
      Pattern.compile("^# TYPE ((?:grep11|ibm)_\\w+) ", Pattern.MULTILINE);

  @TempDir private static Path parent;
  private static RunningGateway running;
  private static HttpClient web;

  @BeforeAll
  static void startAndCall() throws Exception {
    running = RunningGateway.start(parent.resolve("demo"));
    web = running.web();
    var key = aesKey(running.client());
    for (int i = 0; i < 3; i++) {
      encrypt(running.client(), key, PLAIN);
    }
    var notAKey = ByteString.copyFrom(new byte[64]);
    assertThatThrownBy(() -> encrypt(running.client(), notAKey, PLAIN))
        .isInstanceOf(StatusRuntimeException.class);
  }

  @AfterAll
  static void stop() throws Exception {
    running.close();
  }

  private static String scrape(String accept) throws Exception {
    var answer =
        web.send(
            HttpRequest.newBuilder(
                    URI.create("https://localhost:" + running.gateway.healthPort() + "/metrics"))
                .header("Accept", accept)
                .build(),
            HttpResponse.BodyHandlers.ofString());
    assertThat(answer.statusCode()).isEqualTo(200);
    return answer.body();
  }

  private static double value(String scraped, String series) {
    return scraped
        .lines()
        .filter(line -> line.startsWith(series + " "))
        .mapToDouble(line -> Double.parseDouble(line.split(" ", -1)[1]))
        .findFirst()
        .orElse(Double.NaN);
  }

  @Test
  void countsCallsByStatusAndReturnValue() throws Exception {
    var scraped = scrape("text/plain");

    assertThat(
            value(scraped, "grep11_calls_total{ckr=\"CKR_OK\",code=\"OK\",rpc=\"EncryptSingle\"}"))
        .isEqualTo(3);
    assertThat(scraped)
        .containsPattern(
            "grep11_calls_total\\{ckr=\"CKR_[A-Z_0-9]+\",code=\"UNKNOWN\",rpc=\"EncryptSingle\"} 1");
    assertThat(value(scraped, "grep11_call_seconds_count{rpc=\"EncryptSingle\"}")).isEqualTo(4);
  }

  @Test
  void showsTheLastMinuteAsTheHostedServiceDid() throws Exception {
    assertThat(scrape("text/plain"))
        .containsPattern(
            "ibm_hpcs_api_request_gauge\\{ibm_hpcs_api=\"EncryptSingle\",ibm_hpcs_response_code="
                + "\"200\",[^}]*ibm_service_name=\"kms\"} 3");
  }

  @Test
  void showsTheTokenTheLockAndTheEndOfCertificates() throws Exception {
    var scraped = scrape("text/plain");
    var now = (double) Instant.now().getEpochSecond();

    assertThat(value(scraped, "grep11_token_up")).isEqualTo(1);
    assertThat(value(scraped, "grep11_token_signature_age_seconds")).isBetween(0.0, 60.0);
    assertThat(value(scraped, "grep11_audit_working")).isEqualTo(1);
    assertThat(value(scraped, "grep11_lease_left_seconds")).isPositive();
    assertThat(value(scraped, "grep11_second_lock_closed{instance=\"" + running.instance + "\"}"))
        .isZero();
    assertThat(value(scraped, "grep11_server_certificate_end_timestamp_seconds"))
        .isGreaterThan(now);
    assertThat(value(scraped, "grep11_connections")).isPositive();
  }

  @Test
  void speaksOpenMetricsToWhoAsksForIt() throws Exception {
    assertThat(scrape("application/openmetrics-text; version=1.0.0")).endsWith("# EOF\n");
  }

  @Test
  void thePageNamesEveryMetricAndNoOther() throws Exception {
    // These have no series before a handshake failed, a CA was registered, a backup was made.
    var absent =
        Set.of(
            "grep11_tls_handshakes_total",
            "grep11_client_ca_end_timestamp_seconds",
            "grep11_backup_age_seconds",
            "grep11_backup_rehearsal_age_seconds");
    var documented = names(DOCUMENTED, Files.readString(Path.of("../docs/metrics.md")));
    documented.removeAll(absent);
    var shown = names(SHOWN, scrape("text/plain"));
    shown.removeAll(absent);

    assertThat(shown).isEqualTo(documented);
  }

  private static Set<String> names(Pattern pattern, String text) {
    return pattern
        .matcher(text)
        .results()
        .map((MatchResult found) -> found.group(1))
        .collect(Collectors.toCollection(TreeSet::new));
  }
}
