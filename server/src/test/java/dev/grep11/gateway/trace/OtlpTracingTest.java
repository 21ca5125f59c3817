package dev.grep11.gateway.trace;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;
import static org.awaitility.Awaitility.await;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import io.grpc.Metadata;
import io.grpc.Status;
import io.opentelemetry.proto.trace.v1.Span;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.Callable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

/** Spans without a gateway around them. */
class OtlpTracingTest {
  private static final String RPC = "grep11.Crypto/SignSingle";

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
    var call = tracing.begin(RPC, new Metadata(), "c-1");
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
      assertThat(tracing.begin(RPC, new Metadata(), "c-1")).isNull();
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
  void saysOnceThatSpansAreLostAndOnceThatTheyAreNot() throws Exception {
    var said = new ListAppender<ILoggingEvent>();
    var logger = (Logger) LoggerFactory.getLogger(OtlpTracing.class);
    said.start();
    logger.addAppender(said);
    try (var tracing = tracing(100)) {
      collector.answer(400);
      for (int refused = 1; refused <= 2; refused++) {
        int before = refused;
        end(begun(tracing));
        await().atMost(Duration.ofSeconds(30)).until(() -> collector.sent() == before);
      }
      collector.answer(200);
      end(begun(tracing));
      await().atMost(Duration.ofSeconds(30)).until(() -> said.list.size() == 2);
    } finally {
      logger.detachAppender(said);
    }

    assertThat(said.list)
        .extracting(ILoggingEvent::getFormattedMessage)
        .satisfiesExactly(
            lost ->
                assertThat(lost)
                    .contains(collector.endpoint().toString())
                    .contains("error of HTTP")
                    .contains("calls go on"),
            back -> assertThat(back).endsWith("takes spans again"));
    assertThat(names()).containsExactly(RPC);
  }
}
