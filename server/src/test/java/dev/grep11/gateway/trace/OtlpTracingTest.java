package dev.grep11.gateway.trace;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;
import static org.awaitility.Awaitility.await;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import dev.grep11.gateway.iam.TestIdentity;
import io.grpc.Metadata;
import io.grpc.Status;
import io.opentelemetry.proto.trace.v1.Span;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.Callable;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.slf4j.LoggerFactory;

/** Spans without a gateway around them. */
class OtlpTracingTest {
  private static final String RPC = "grep11.Crypto/SignSingle";
  private static final Duration PATIENCE = Duration.ofMinutes(2);

  private Collector collector;

  @BeforeEach
  void start() throws IOException {
    collector = Collector.start();
  }

  @AfterEach
  void stop() {
    collector.close();
  }

  private OtlpTracing tracing(int samplePercent) throws IOException {
    return OtlpTracing.start(
        new TracingSettings(collector.endpoint(), Optional.empty(), samplePercent),
        "1.2",
        "host a");
  }

  private static CallTrace begun(OtlpTracing tracing) {
    var call = tracing.begin(RPC, new Metadata(), "c-1", System.nanoTime());
    if (call == null) {
      throw new AssertionError("not followed");
    }
    return call;
  }

  private static void end(CallTrace call) {
    call.end(Status.Code.OK, 0, Optional.empty());
  }

  private List<String> names() {
    return collector.spans().stream().map(Span::getName).toList();
  }

  @Test
  void sendsAtItsEndWhatHasGathered() throws Exception {
    try (var tracing = tracing(100)) {
      end(begun(tracing));
    }

    assertThat(names()).containsExactly(RPC);
    assertThat(collector.spans().getFirst().getParentSpanId().isEmpty()).isTrue();
    assertThat(collector.resource())
        .containsAllEntriesOf(
            Map.of(
                "service.name", "grep11-gateway",
                "service.version", "1.2",
                "service.instance.id", "host a"));
  }

  @Test
  void followsNobodyWhoDoesNotAskWhenNoneAreSampled() throws Exception {
    try (var tracing = tracing(0)) {
      assertThat(tracing.begin(RPC, new Metadata(), "c-1", System.nanoTime())).isNull();
    }

    assertThat(collector.sent()).isZero();
  }

  @Test
  void workThatRunsWhereItCameFromWaitedInNoQueue() throws Exception {
    try (var tracing = tracing(100)) {
      var here = begun(tracing);
      assertThat(here.around(OptionalLong.empty(), () -> "done").call()).isEqualTo("done");
      end(here);
    }

    assertThat(names()).containsExactly("work", RPC);
  }

  @Test
  void aWaitThatCameToNothingEndsWithItsCall() throws Exception {
    try (var tracing = tracing(100)) {
      var call = begun(tracing);
      Callable<String> never = call.around(OptionalLong.of(1), () -> "never");
      call.end(Status.Code.RESOURCE_EXHAUSTED, 0x80000000L, Optional.empty());
      assertThat(never).isNotNull();
    }

    assertThat(names()).containsExactly("queue", RPC);
  }

  @Test
  void workThatThrowsIsASpanToo() throws Exception {
    try (var tracing = tracing(100)) {
      var call = begun(tracing);
      var failing =
          call.around(
              OptionalLong.empty(),
              () -> {
                throw new StackOverflowError();
              });
      assertThat(catchThrowable(failing::call)).isInstanceOf(StackOverflowError.class);
      end(call);
    }

    assertThat(names()).containsExactly("work", RPC);
  }

  @Test
  void beginsWhenItsHeadersCame() throws Exception {
    var before = TimeUnit.MILLISECONDS.toNanos(System.currentTimeMillis());
    var hour = Duration.ofHours(1).toNanos();
    try (var tracing = tracing(100)) {
      var call = tracing.begin(RPC, new Metadata(), "c-1", System.nanoTime() - hour);
      end(Objects.requireNonNull(call));
    }

    var span = collector.spans().getFirst();
    assertThat(span.getEndTimeUnixNano()).isGreaterThanOrEqualTo(before);
    assertThat(span.getEndTimeUnixNano() - span.getStartTimeUnixNano())
        .isGreaterThanOrEqualTo(hour);
  }

  @Test
  void saysOnceThatSpansAreLostAndOnceThatTheyAreNot() throws Exception {
    try (var log = new Log(collector);
        var tracing = tracing(100)) {
      collector.answer(400);
      end(begun(tracing));
      await().atMost(PATIENCE).until(() -> log.lines().size() == 1);
      end(begun(tracing));
      await().atMost(PATIENCE).until(() -> collector.sent() == 2);
      // The second refusal has been answered before the third is sent: one exports after another.
      collector.answer(200);
      end(begun(tracing));
      await().atMost(PATIENCE).until(() -> log.lines().size() == 2);

      assertThat(log.lines())
          .satisfiesExactly(
              lost -> assertThat(lost).contains("error of HTTP").contains("calls go on"),
              back -> assertThat(back).endsWith("takes spans again"));
    }
    assertThat(names()).containsExactly(RPC);
  }

  @Test
  void dropsWhatACollectorTakesTooSlowlyAndWaitsForNoAnswer() throws Exception {
    int calls = 20_000;
    collector.hold();
    try (var tracing = tracing(100)) {
      for (int i = 0; i < calls; i++) {
        end(begun(tracing));
      }
      await().atMost(PATIENCE).until(() -> collector.sent() > 0);
    }
    // Closed, and the collector has not answered once.
    collector.release();

    assertThat(collector.spans()).isNotEmpty().hasSizeLessThan(calls / 2);
  }

  /** Whom the gateway trusts, and where the collector is whose certificate is for 127.0.0.1. */
  @ParameterizedTest
  @CsvSource({
    "its own CA, 127.0.0.1, ''",
    "another CA, 127.0.0.1, PKIX path",
    "its own CA, 127.0.0.2, No subject alternative",
    "the JDK, 127.0.0.1, PKIX path"
  })
  void sendsOverTlsToWhomItTrustsOnly(
      String trusted, String address, String refusal, @TempDir Path directory) throws Exception {
    var identity = TestIdentity.create();
    var caFile = directory.resolve("ca.pem");
    (trusted.equals("another CA") ? TestIdentity.create() : identity).writePem(caFile);
    try (var secure = Collector.start(identity.server(), address);
        var log = new Log(secure);
        var tracing =
            OtlpTracing.start(
                new TracingSettings(
                    secure.endpoint(),
                    Optional.of(caFile).filter(_ -> !trusted.equals("the JDK")),
                    100),
                "1.2",
                "host a")) {
      end(begun(tracing));
      await().atMost(PATIENCE).until(() -> secure.sent() > 0 || !log.lines().isEmpty());

      assertThat(secure.sent()).isEqualTo(refusal.isEmpty() ? 1 : 0);
      assertThat(String.join("", log.lines())).contains(refusal);
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"})
  void doesNotStartWithAFileThatHasNoCa(String content, @TempDir Path directory) throws Exception {
    var caFile = Files.writeString(directory.resolve("ca.pem"), content);
    var settings =
        new TracingSettings(URI.create("https://collector.example"), Optional.of(caFile), 0);

    assertThatThrownBy(() -> OtlpTracing.start(settings, "1.2", "host a"))
        .isInstanceOf(IOException.class)
        .hasMessageStartingWith("tracing.caFile: " + caFile)
        .hasMessageEndingWith("put the CA of the collector's certificate there, in PEM");
  }

  /** What is said of one collector's spans: those of other tests may still be on their way. */
  private static final class Log implements AutoCloseable {
    private final ListAppender<ILoggingEvent> said = new ListAppender<>();
    private final Logger logger = (Logger) LoggerFactory.getLogger(OtlpTracing.class);

    private final Collector of;

    Log(Collector of) {
      this.of = of;
      said.list = new CopyOnWriteArrayList<>();
      said.start();
      // Tests show warnings only; that spans arrive again is none.
      logger.setLevel(Level.INFO);
      logger.addAppender(said);
    }

    List<String> lines() {
      return said.list.stream()
          .map(ILoggingEvent::getFormattedMessage)
          .filter(line -> line.contains(of.endpoint().toString()))
          .toList();
    }

    @Override
    public void close() {
      logger.detachAppender(said);
      logger.setLevel(null);
    }
  }
}
