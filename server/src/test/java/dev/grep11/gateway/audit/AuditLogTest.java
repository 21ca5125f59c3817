package dev.grep11.gateway.audit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class AuditLogTest {
  private static final UUID INSTANCE = UUID.fromString("6f6a3f0e-52d5-4d1e-9d1c-0a7b1f0c2d3e");
  @TempDir Path directory;

  @Test
  void writesTheFieldsOfAnEventAsOneLine() throws IOException {
    Path file = directory.resolve("audit.jsonl");
    try (AuditLog audit = AuditLog.open(AuditSettings.toFile(file))) {
      audit.record(refusal());
    }
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file)))
        .isEqualTo("rw-------");
    String source = lines(file).getFirst().get("source").asText();
    assertThat(Files.readAllLines(file))
        .containsExactly(
            """
            {"action":"hs-crypto.ep11.use","eventTime":"2026-11-21T10:00:00Z","outcome":"failure",\
            "reason":{"reasonCode":403,"reasonType":"Forbidden","reasonForFailure":"role Reader has no wrapkey"},\
            "severity":"critical",\
            "initiator":{"id":"IBMid-1","name":"Zo\\u00EB","typeURI":"service/security/account/user",\
            "credential":{"type":"token"},"host":{"address":"192.0.2.7","agent":"grpc-js\\nforged"}},\
            "target":{"id":"crn:v1:grep11:public:hs-crypto:local:a/acc:%s::","typeURI":"hs-crypto/key"},\
            "correlationId":"c-1",\
            "requestData":{"requestURI":"/grep11.Crypto/WrapKey","instanceID":"%s"},\
            "source":"%s","sequence":1}\
            """
                .formatted(INSTANCE, INSTANCE, source));
  }

  @ParameterizedTest
  @CsvSource({
    "hs-crypto.ep11.use,                  200, SUCCESS, NORMAL",
    "hs-crypto.ep11.use,                  401, FAILURE, CRITICAL",
    "hs-crypto.ep11.use,                  400, FAILURE, WARNING",
    "hs-crypto.ep11.use,                  404, FAILURE, NORMAL",
    "hs-crypto.mtlscert-cert.set,         200, SUCCESS, CRITICAL",
    "hs-crypto.mtlscert-cert.delete,      409, FAILURE, CRITICAL",
    "hs-crypto.mtlscert-cert.list,        200, SUCCESS, NORMAL",
    "hs-crypto.keystore.updatekey,        200, SUCCESS, CRITICAL",
  })
  void isAsSevereAsTheHigherOfActionAndStatus(
      String action, int code, AuditEvent.Outcome outcome, Severity expected) {
    assertThat(event(action, outcome, code, "c").severity()).isEqualTo(expected);
  }

  @Test
  void refusesAFileThatAnotherLogWrites() throws IOException {
    Path file = directory.resolve("audit.jsonl");
    try (AuditLog audit = AuditLog.open(AuditSettings.toFile(file))) {
      assertThatThrownBy(() -> AuditLog.open(AuditSettings.toFile(file)))
          .isInstanceOf(IOException.class)
          .hasMessageContaining(file.toString())
          .hasMessageContaining("a file of its own");
      audit.record(refusal());
    }
    AuditLog.open(AuditSettings.toFile(file)).close();
  }

  @Test
  void cutsWhatACallerCouldMakeEndless() {
    AuditEvent event =
        event("x".repeat(100_000), AuditEvent.Outcome.SUCCESS, 200, "c".repeat(100_000));
    assertThat(event.action()).hasSizeLessThan(600);
    assertThat(event.correlationId()).hasSizeLessThan(600);
  }

  @Test
  void leavesTheQueryOfARequestOut() {
    var request = new AuditEvent.RequestData("/identity/token?apikey=canary", Optional.empty());
    assertThat(request.requestUri()).isEqualTo("/identity/token");
  }

  @Test
  void writesEveryEventOfManyThreadsOnceWithoutAGap() throws Exception {
    Path file = directory.resolve("audit.jsonl");
    try (AuditLog audit = AuditLog.open(AuditSettings.toFile(file))) {
      List<Thread> threads = new ArrayList<>();
      for (int t = 0; t < 4; t++) {
        String thread = "t" + t + "-";
        threads.add(
            Thread.ofPlatform()
                .start(() -> {
                  for (int i = 0; i < 5_000; i++) {
                    audit.record(event("a", AuditEvent.Outcome.SUCCESS, 200, thread + i));
                  }
                }));
      }
      for (Thread thread : threads) {
        thread.join();
      }
    }
    List<JsonNode> lines = lines(file);
    assertThat(lines).hasSize(20_000);
    assertThat(lines.stream().map(line -> line.get("correlationId").asText()).distinct())
        .hasSize(20_000);
    for (int i = 0; i < lines.size(); i++) {
      assertThat(lines.get(i).get("sequence").asInt()).isEqualTo(i + 1);
    }
  }

  @Test
  void refusesCallsWhileTheSinkFailsAndWritesWhatItHadTakenWhenItIsBack() throws IOException {
    FailingSink sink = new FailingSink();
    AuditSettings settings = settings(AuditSettings.WhenFull.BLOCK);
    AuditLog audit = new AuditLog(settings, List.of(new AuditSink.Stream(sink)));
    try (audit) {
      sink.failing = true;
      audit.record(event("a", AuditEvent.Outcome.SUCCESS, 200, "taken"));
      await().until(() -> !audit.available());
      assertThatThrownBy(() -> audit.record(event("a", AuditEvent.Outcome.SUCCESS, 200, "refused")))
          .isInstanceOf(AuditUnavailableException.class);
      sink.failing = false;
      await().until(audit::available);
      audit.record(event("a", AuditEvent.Outcome.SUCCESS, 200, "after"));
    }
    assertThat(sink.lines())
        .extracting(line -> line.get("correlationId").asText())
        .containsExactly("taken", "after");
    assertThatThrownBy(() -> audit.record(refusal())).isInstanceOf(AuditUnavailableException.class);
  }

  @Test
  void countsWhatItDropsAndSaysSoInTheLogWhenTheSinkIsBack() throws IOException {
    FailingSink sink = new FailingSink();
    AuditSettings settings = settings(AuditSettings.WhenFull.DROP_AND_COUNT);
    try (AuditLog audit = new AuditLog(settings, List.of(new AuditSink.Stream(sink)))) {
      sink.failing = true;
      for (int i = 0; i < 100; i++) {
        audit.record(event("a", AuditEvent.Outcome.SUCCESS, 200, "c"));
      }
      assertThat(audit.dropped()).isPositive();
      sink.failing = false;
      await().until(() -> audit.dropped() == 0);
    }
    int written = 0;
    int lost = 0;
    for (JsonNode line : sink.lines()) {
      if (line.has("lost")) {
        lost += line.get("lost").asInt();
      } else {
        written++;
      }
    }
    assertThat(lost).isPositive();
    assertThat(written + lost).isEqualTo(100);
  }

  @Test
  void waitsForRoomNoLongerThanItIsAllowedTo() {
    FailingSink sink = new FailingSink();
    sink.stuck = true;
    AuditLog audit =
        new AuditLog(settings(AuditSettings.WhenFull.BLOCK), List.of(new AuditSink.Stream(sink)));
    long begin = System.nanoTime();
    assertThatThrownBy(
            () -> {
              for (int i = 0; i < 100; i++) {
                audit.record(event("a", AuditEvent.Outcome.SUCCESS, 200, "c"));
              }
            })
        .isInstanceOf(AuditUnavailableException.class)
        .hasMessageContaining("full");
    assertThat(Duration.ofNanos(System.nanoTime() - begin))
        .isBetween(Duration.ofMillis(50), Duration.ofSeconds(2));
    sink.stuck = false;
    audit.close();
  }

  private static AuditSettings settings(AuditSettings.WhenFull whenFull) {
    return new AuditSettings(Optional.empty(), true, 4, whenFull, Duration.ofMillis(50));
  }

  private static AuditEvent refusal() {
    return new AuditEvent(
        AuditEvent.EP11_USE,
        Instant.parse("2026-11-21T10:00:00Z"),
        AuditEvent.Outcome.FAILURE,
        AuditEvent.Reason.failure(403, "Forbidden", "role Reader has no wrapkey"),
        new AuditEvent.Initiator(
            "IBMid-1",
            Optional.of("Zoë"),
            AuditEvent.Initiator.USER,
            "token",
            Optional.of("192.0.2.7"),
            Optional.of("grpc-js\nforged")),
        new AuditEvent.Target(
            "crn:v1:grep11:public:hs-crypto:local:a/acc:" + INSTANCE + "::",
            Optional.empty(),
            "hs-crypto/key"),
        "c-1",
        new AuditEvent.RequestData("/grep11.Crypto/WrapKey", Optional.of(INSTANCE)));
  }

  private static AuditEvent event(
      String action, AuditEvent.Outcome outcome, int code, String correlationId) {
    AuditEvent.Reason reason =
        outcome == AuditEvent.Outcome.SUCCESS
            ? AuditEvent.Reason.OK
            : AuditEvent.Reason.failure(code, "type", "text");
    AuditEvent sample = refusal();
    return new AuditEvent(
        action,
        sample.eventTime(),
        outcome,
        reason,
        sample.initiator(),
        sample.target(),
        correlationId,
        sample.requestData());
  }

  private static List<JsonNode> lines(Path file) throws IOException {
    List<JsonNode> lines = new ArrayList<>();
    for (String line : Files.readAllLines(file)) {
      lines.add(new ObjectMapper().readTree(line));
    }
    return lines;
  }

  private static final class FailingSink extends OutputStream {
    private final ByteArrayOutputStream written = new ByteArrayOutputStream();
    private volatile boolean failing;
    private volatile boolean stuck;

    @Override
    public void write(int b) throws IOException {
      write(new byte[] {(byte) b}, 0, 1);
    }

    @Override
    public void write(byte[] bytes, int offset, int length) throws IOException {
      while (stuck) {
        Thread.onSpinWait();
      }
      if (failing) {
        throw new IOException("No space left on device");
      }
      synchronized (written) {
        written.write(bytes, offset, length);
      }
    }

    private List<JsonNode> lines() throws IOException {
      List<JsonNode> lines = new ArrayList<>();
      for (String line :
          written.toString(java.nio.charset.StandardCharsets.UTF_8).lines().toList()) {
        if (!line.isEmpty()) {
          lines.add(new ObjectMapper().readTree(line));
        }
      }
      return lines;
    }
  }
}
