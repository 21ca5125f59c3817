package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.aesKey;
import static dev.grep11.gateway.RunningGateway.encrypt;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import dev.grep11.gateway.hsm.Lane;
import dev.grep11.gateway.trust.Verdict;
import dev.grep11.proto.GetMechanismListRequest;
import io.grpc.StatusRuntimeException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Locale;
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
  private static final String OPEN_METRICS = "application/openmetrics-text; version=1.0.0";
  private static final Pattern DOCUMENTED =
      Pattern.compile("^\\| `((?:grep11|ibm)_\\w+)` \\|", Pattern.MULTILINE);
  private static final Pattern SHOWN =
      Pattern.compile("^# TYPE ((?:grep11|ibm)_\\w+) ", Pattern.MULTILINE);

  private static final String TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";

  @TempDir private static Path parent;
  private static RunningGateway running;
  private static HttpClient web;

  @BeforeAll
  static void startAndCall() throws Exception {
    running = RunningGateway.start(parent.resolve("demo"));
    web = running.web();
    var token = "Bearer " + running.token(RunningGateway.MANAGER);
    var client = running.client("authorization", token);
    var key = aesKey(client);
    for (int i = 0; i < 3; i++) {
      encrypt(client, key, PLAIN);
    }
    // Asks to be followed where nobody follows.
    var _ =
        running
            .client("authorization", token, "traceparent", "00-" + TRACE + "-00f067aa0ba902b7-01")
            .getMechanismList(GetMechanismListRequest.getDefaultInstance());
    var notAKey = ByteString.copyFrom(new byte[64]);
    assertThatThrownBy(() -> encrypt(client, notAKey, PLAIN))
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
  void showsHowTheTokenIsUsedAndWhatItRefuses() throws Exception {
    var scraped = scrape("text/plain");

    // The worker's and the event loop's, and the one that holds the keys.
    assertThat(value(scraped, "grep11_token_sessions")).isGreaterThanOrEqualTo(3);
    assertThat(value(scraped, "grep11_token_sessions_in_use"))
        .isBetween(0.0, value(scraped, "grep11_token_sessions"));
    assertThat(value(scraped, "grep11_token_failures_total{ckr=\"vendor\"}")).isZero();
    // Loading a key never runs on an event loop.
    assertThat(value(scraped, "grep11_lane_wait_seconds_count{lane=\"load\"}")).isPositive();
    for (var lane : Lane.values()) {
      var series = "{lane=\"" + lane.name().toLowerCase(Locale.ROOT) + "\"}";
      assertThat(value(scraped, "grep11_lane_wait_seconds_sum" + series))
          .isNotNegative()
          .isLessThanOrEqualTo(60 * value(scraped, "grep11_lane_wait_seconds_count" + series));
    }
  }

  @Test
  void countsHandshakesByOutcomeAndReasonFromZeroOn() throws Exception {
    var reasons =
        scrape("text/plain")
            .lines()
            .filter(line -> line.startsWith("grep11_tls_handshakes_total{"))
            .toList();

    assertThat(reasons)
        .contains("grep11_tls_handshakes_total{outcome=\"failed\",reason=\"other\"} 0.0")
        .contains("grep11_tls_handshakes_total{outcome=\"refused\",reason=\"no-certificate\"} 0.0")
        .hasSize(Verdict.Reason.values().length + 4);
  }

  @Test
  void countsTokensThatWereKnown() throws Exception {
    var scraped = scrape("text/plain");

    // Of six calls by one token all but the first found it known.
    assertThat(value(scraped, "grep11_bearer_cache_total{outcome=\"hit\"}")).isEqualTo(5);
    assertThat(value(scraped, "grep11_bearer_cache_total{outcome=\"miss\"}")).isEqualTo(1);
  }

  @Test
  void showsHowFarBehindItIs() throws Exception {
    var scraped = scrape("text/plain");

    assertThat(value(scraped, "grep11_store_lag_seconds")).isBetween(0.0, 60.0);
    assertThat(value(scraped, "grep11_audit_lag_seconds")).isBetween(0.0, 60.0);
    assertThat(value(scraped, "grep11_audit_waiting_events")).isNotNegative();
    assertThat(value(scraped, "grep11_audit_stored_events")).isZero();
    assertThat(value(scraped, "grep11_audit_checkpoint_age_seconds")).isBetween(0.0, 120.0);
    assertThat(value(scraped, "grep11_issuer_keys_age_seconds")).isZero();
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
    assertThat(scrape(OPEN_METRICS)).endsWith("# EOF\n");
  }

  @Test
  void namesNoTraceWhereCallsAreNotFollowed() throws Exception {
    assertThat(scrape(OPEN_METRICS))
        .contains("rpc=\"GetMechanismList\"")
        .doesNotContain("trace_id", TRACE);
  }

  /** Which stops all threads: not for who asks without a token. */
  @Test
  void theMetricsOfTheJvmLookForNoDeadlocks() throws Exception {
    assertThat(scrape("text/plain"))
        .contains("jvm_threads_current ", "jvm_threads_state{", "process_open_fds ")
        .doesNotContain("deadlock");
  }

  @Test
  void thePageNamesEveryMetricAndNoOther() throws Exception {
    // These have no series before a CA was registered, a list configured, a backup made.
    var absent =
        Set.of(
            "grep11_client_ca_end_timestamp_seconds",
            "grep11_client_crl_left_seconds",
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
