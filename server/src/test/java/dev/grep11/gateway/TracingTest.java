package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.aesKey;
import static dev.grep11.gateway.RunningGateway.encrypt;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.trace.Collector;
import dev.grep11.proto.CryptoGrpc.CryptoBlockingStub;
import dev.grep11.proto.DigestSingleRequest;
import dev.grep11.proto.GetMechanismListRequest;
import io.grpc.StatusRuntimeException;
import io.opentelemetry.proto.trace.v1.Span;
import io.opentelemetry.proto.trace.v1.Status;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The way of single calls, as a collector of OpenTelemetry hears of it. */
class TracingTest {
  private static final ByteString PLAIN = ByteString.copyFromUtf8("what-nobody-else-may-read");
  private static final String GENERATE = "grep11.Crypto/GenerateKey";
  private static final String ENCRYPT = "grep11.Crypto/EncryptSingle";
  private static final String PARENT = "00f067aa0ba902b7";
  private static final String CALLERS_STATE = "vendor=callers-own-text";

  @TempDir private static Path parent;
  private static Collector collector;
  private static RunningGateway running;
  private static String token;

  @BeforeAll
  static void start() throws Exception {
    collector = Collector.start();
    running =
        RunningGateway.start(
            parent.resolve("demo"), Map.of("/tracing/endpoint", collector.endpoint().toString()));
    token = "Bearer " + running.token(RunningGateway.MANAGER);
  }

  @AfterAll
  static void stop() throws Exception {
    running.close();
    collector.close();
  }

  private static String newTrace() {
    return UUID.randomUUID().toString().replace("-", "");
  }

  private static CryptoBlockingStub client(String authorization, String traceparent)
      throws Exception {
    return running.client(
        "authorization",
        authorization,
        "traceparent",
        traceparent,
        "tracestate",
        CALLERS_STATE,
        "x-correlation-id",
        "followed-" + traceparent);
  }

  private static String followed(String trace) {
    return "00-" + trace + "-" + PARENT + "-01";
  }

  /** What arrived of a trace, by name; the rpc's own span ends last. */
  private static Spans spans(String trace, String rpc) {
    await().atMost(Duration.ofSeconds(30)).until(() -> collector.spans(trace).containsKey(rpc));
    return new Spans(collector.spans(trace));
  }

  private record Spans(Map<String, Span> byName) {
    Span of(String name) {
      return Objects.requireNonNull(byName.get(name), name);
    }
  }

  @Test
  void tellsTheWayOfACallThatItsCallerFollows() throws Exception {
    var trace = newTrace();

    var key = aesKey(client(token, followed(trace)));

    var spans = spans(trace, GENERATE);
    assertThat(spans.byName()).containsOnlyKeys(GENERATE, "queue", "work");
    var call = spans.of(GENERATE);
    assertThat(Collector.hex(call.getParentSpanId())).isEqualTo(PARENT);
    assertThat(call.getKind()).isEqualTo(Span.SpanKind.SPAN_KIND_SERVER);
    assertThat(call.getStatus().getCode()).isEqualTo(Status.StatusCode.STATUS_CODE_UNSET);
    assertThat(Collector.attributes(call))
        .isEqualTo(
            Map.of(
                "rpc.system", "grpc",
                "rpc.service", "grep11.Crypto",
                "rpc.method", "GenerateKey",
                "rpc.grpc.status_code", "0",
                "pkcs11.return_value", "CKR_OK",
                "grep11.instance", running.instance.toString(),
                "grep11.correlation_id", "followed-" + followed(trace)));
    assertThat(Collector.attributes(spans.of("work")))
        .isEqualTo(Map.of("pkcs11.mechanism", "CKM_AES_KEY_GEN"));
    assertThat(Collector.attributes(spans.of("queue"))).isEmpty();
    for (var child : List.of(spans.of("queue"), spans.of("work"))) {
      assertThat(child.getParentSpanId()).isEqualTo(call.getSpanId());
      assertThat(child.getStartTimeUnixNano()).isGreaterThanOrEqualTo(call.getStartTimeUnixNano());
      assertThat(child.getEndTimeUnixNano()).isLessThanOrEqualTo(call.getEndTimeUnixNano());
    }
    assertThat(spans.of("queue").getEndTimeUnixNano())
        .isLessThanOrEqualTo(spans.of("work").getStartTimeUnixNano());
    assertThat(key.isEmpty()).isFalse();
  }

  @Test
  void followsNoCallWhoseCallerDoesNotAskForIt() throws Exception {
    var key = aesKey(running.client());
    var notSampled = newTrace();
    encrypt(client(token, "00-" + notSampled + "-" + PARENT + "-00"), key, PLAIN);
    var malformed = newTrace();
    encrypt(client(token, malformed), key, PLAIN);
    var trace = newTrace();
    encrypt(client(token, followed(trace)), key, PLAIN);

    // Spans are sent in the order in which they end: what was before these would have been sent.
    assertThat(spans(trace, ENCRYPT).byName()).containsKeys(ENCRYPT, "work");
    assertThat(collector.correlationIds()).allMatch(id -> id.startsWith("followed-00-"));
    assertThat(collector.correlationIds()).noneMatch(id -> id.endsWith("-00"));
  }

  @Test
  void tellsNothingThatACallCarries() throws Exception {
    var trace = newTrace();
    var key = aesKey(running.client());
    var ciphered = encrypt(client(token, followed(trace)), key, PLAIN);

    assertThat(spans(trace, ENCRYPT).byName()).containsKey("work");

    for (var secret :
        List.of(
            key.substring(0, 16),
            key.substring(key.size() - 16),
            PLAIN,
            ciphered,
            ByteString.copyFromUtf8(token.substring("Bearer ".length(), 40)),
            ByteString.copyFromUtf8(RunningGateway.MANAGER),
            ByteString.copyFromUtf8("callers-own-text"))) {
      assertThat(collector.received(secret)).as(secret.toStringUtf8()).isFalse();
    }
    // The search finds what is there.
    assertThat(collector.received(ByteString.copyFromUtf8("followed-" + followed(trace)))).isTrue();
  }

  @Test
  void tellsOfARefusalWithoutItsReason() throws Exception {
    var trace = newTrace();
    var caller = client(token, followed(trace));
    assertThatThrownBy(() -> encrypt(caller, ByteString.copyFromUtf8("no key"), PLAIN))
        .isInstanceOf(StatusRuntimeException.class);

    var call = spans(trace, ENCRYPT).of(ENCRYPT);
    assertThat(call.getStatus())
        .isEqualTo(Status.newBuilder().setCode(Status.StatusCode.STATUS_CODE_ERROR).build());
    assertThat(Collector.attributes(call)).doesNotContainEntry("rpc.grpc.status_code", "0");
    assertThat(call.getEventsList()).isEmpty();
  }

  /** Of rpcs that no other test here calls: an exemplar stays for some seconds before the next. */
  @Test
  void theMetricsOfACallThatIsFollowedNameItsTrace() throws Exception {
    var trace = newTrace();
    var _ =
        client(token, followed(trace))
            .getMechanismList(GetMechanismListRequest.getDefaultInstance());
    var notSampled = newTrace();
    var digest = DigestSingleRequest.newBuilder().setData(PLAIN);
    digest.getMechBuilder().setMechanism(Ckm.CKM_SHA256);
    var _ = client(token, "00-" + notSampled + "-" + PARENT + "-00").digestSingle(digest.build());
    var malformed = newTrace();
    var _ = client(token, malformed).digestSingle(digest.build());

    var page = page("application/openmetrics-text; version=1.0.0");
    assertThat(page)
        .containsPattern(
            "grep11_calls_total\\{ckr=\"CKR_OK\",code=\"OK\",rpc=\"GetMechanismList\"} 1.0"
                + " # \\{trace_id=\""
                + trace
                + "\"} 1.0 ")
        .containsPattern(
            "grep11_call_seconds_bucket\\{rpc=\"GetMechanismList\",le=\"[^\"]+\"} 1"
                + " # \\{trace_id=\""
                + trace
                + "\"} [0-9.E-]+ ");
    assertThat(page.lines().filter(line -> line.contains("rpc=\"DigestSingle\"")))
        .isNotEmpty()
        .noneMatch(line -> line.contains("#"));
    assertThat(page).doesNotContain(notSampled, malformed);
    // Nothing but the id: none of what the caller sent beside it.
    assertThat(page.lines().filter(line -> line.contains(" # ")))
        .allMatch(line -> line.startsWith("# ") || line.contains(" # {trace_id=\""))
        .noneMatch(line -> line.contains(PARENT) || line.contains("callers"));
    assertThat(page("text/plain")).contains("rpc=\"GetMechanismList\"").doesNotContain(trace);
  }

  private static String page(String accept) throws Exception {
    var answer =
        running
            .web()
            .send(
                HttpRequest.newBuilder(
                        URI.create(
                            "https://localhost:" + running.gateway.healthPort() + "/metrics"))
                    .header("Accept", accept)
                    .build(),
                HttpResponse.BodyHandlers.ofString());
    assertThat(answer.statusCode()).isEqualTo(200);
    return answer.body();
  }

  /** Whatever they ask for: neither the collector's time nor its queue is theirs. */
  @Test
  void followsNoCallOfAStranger() throws Exception {
    var refused = newTrace();
    var stranger = client("Bearer no.such.token", followed(refused));
    assertThatThrownBy(() -> aesKey(stranger)).isInstanceOf(StatusRuntimeException.class);
    var withoutRole = client("Bearer " + running.token("nobody"), followed(refused));
    assertThatThrownBy(() -> aesKey(withoutRole)).isInstanceOf(StatusRuntimeException.class);
    var trace = newTrace();
    aesKey(client(token, followed(trace)));

    // Spans are sent in the order in which they end: what was before these would have been sent.
    spans(trace, GENERATE);
    assertThat(collector.spans(refused)).isEmpty();
  }
}
