package dev.grep11.gateway.audit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

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
    List<String> written = Files.readAllLines(file);
    assertThat(written).hasSize(2);
    assertThat(written.getFirst())
        .startsWith("{\"action\":\"grep11.audit.start\",")
        .contains("\"gateway\":\"process " + ProcessHandle.current().pid() + "\"");
    String source = lines(file).getLast().get("source").asText();
    String chain = lines(file).getLast().get("chain").asText();
    assertThat(chain).hasSize(43);
    assertThat(written.getLast())
        .isEqualTo(
            """
            {"action":"hs-crypto.ep11.use","eventTime":"2026-11-21T10:00:00Z","outcome":"failure",\
            "reason":{"reasonCode":403,"reasonType":"Forbidden","reasonForFailure":"role Reader has no wrapkey"},\
            "severity":"critical",\
            "initiator":{"id":"IBMid-1","name":"Zo\\u00EB","typeURI":"service/security/account/user",\
            "credential":{"type":"token"},"host":{"address":"192.0.2.7","agent":"grpc-js\\nforged"}},\
            "target":{"id":"crn:v1:grep11:public:hs-crypto:local:a/acc:%s::","typeURI":"hs-crypto/key"},\
            "correlationId":"c-1",\
            "requestData":{"requestURI":"/grep11.Crypto/WrapKey","instanceID":"%s"},\
            "source":"%s","sequence":2,"chain":"%s"}\
            """
                .formatted(INSTANCE, INSTANCE, source, chain));
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

  /** The fields that the original service documents, of each of its events. */
  @ParameterizedTest
  @EnumSource
  void anEventOfAdministrationHasItsDocumentedFields(AdministrativeAction action)
      throws IOException {
    var event =
        new AuditEvent(
            action,
            Instant.parse("2026-11-21T10:00:00Z"),
            AuditEvent.Outcome.SUCCESS,
            AuditEvent.Reason.OK,
            refusal().initiator(),
            "crn:v1:x",
            "c-1",
            new AuditEvent.RequestData("/grep11.CertMgr/Change", Optional.of(INSTANCE))
                .withAccountId("IBMid-1")
                .withCertificateId("blue"),
            new AuditEvent.ResponseData("done", Optional.of("lock closed")));
    JsonNode line = new ObjectMapper().readTree(event.text());
    assertThat(line.get("id").asText()).isEqualTo(event.id().orElseThrow().toString());
    assertThat(line.get("action").asText()).isEqualTo(action.eventName());
    assertThat(line.get("severity").asText())
        .isEqualTo(action.eventName().matches(".*\\.(read|list)") ? "normal" : "critical");
    assertThat(line.get("target").get("typeURI").asText())
        .isEqualTo("hs-crypto/" + line.get("target").get("name").asText());
    assertThat(action.eventName())
        .startsWith("hs-crypto." + line.get("target").get("name").asText() + ".");
    assertThat(line.get("requestData").get("accountId").asText()).isEqualTo("IBMid-1");
    assertThat(line.get("requestData").get("certificateId").asText()).isEqualTo("blue");
    assertThat(line.get("responseData").get("action").asText()).isEqualTo("done");
    assertThat(line.get("responseData").get("consequence").asText()).isEqualTo("lock closed");
  }

  @Test
  void anEventThatMustNotBeLostIsOnTheDiskOrRefused() throws IOException {
    Path file = directory.resolve("audit.jsonl");
    try (AuditLog audit = AuditLog.open(AuditSettings.toFile(file))) {
      audit.append(refusal().text());
      assertThat(lines(file).getLast().get("correlationId").asText()).isEqualTo("c-1");
    }
    FailingSink sink = new FailingSink();
    sink.failing = true;
    try (AuditLog audit =
        new AuditLog(
            settings(AuditSettings.WhenFull.DROP_AND_COUNT), List.of(new AuditSink.Stream(sink)))) {
      audit.record(refusal());
      await().until(() -> !audit.working());
      assertThatThrownBy(() -> audit.append(refusal().text()))
          .isInstanceOf(AuditUnavailableException.class);
      assertThat(audit.waiting()).isEqualTo(1);
      var lag = audit.lag();
      assertThat(lag).isPositive();
      await().until(() -> audit.lag().compareTo(lag.plusMillis(10)) > 0);
      sink.failing = false;
      await().until(() -> audit.waiting() == 0);
      assertThat(audit.lag()).isZero();
    }
  }

  @Test
  void tellsHowLongNoCheckpointVouchesForALine() throws IOException {
    var away = new AtomicBoolean(true);
    var mac =
        new CheckpointMac() {
          @Override
          public byte[] mac(byte[] message) {
            if (away.get()) {
              throw new IllegalStateException("the token is away");
            }
            return new byte[32];
          }

          @Override
          public boolean verify(byte[] message, byte[] code) {
            return true;
          }
        };
    try (AuditLog audit = AuditLog.open(AuditSettings.toFile(directory.resolve("audit.jsonl")))) {
      audit.makeCheckpoints(mac);
      assertThat(audit.unvouched()).isZero();
      audit.record(refusal());
      await().until(() -> audit.unvouched().compareTo(Duration.ofSeconds(1)) > 0);
      audit.append(refusal().text());
      assertThat(audit.unvouched()).as("of the oldest").isGreaterThan(Duration.ofSeconds(1));
      assertThat(audit.head()).isEmpty();

      away.set(false);
      await().atMost(Duration.ofSeconds(30)).until(() -> audit.unvouched().isZero());
      assertThat(audit.head()).isPresent();
      audit.record(refusal());
      await().until(() -> audit.unvouched().isPositive());
    }
  }

  /** Copy and truncate: the copy and what follows are two files whose chain goes on. */
  @Test
  void beginsAnewInAFileThatWasTruncatedAndSaysWhatWentBefore() throws IOException {
    Path file = directory.resolve("audit.jsonl");
    Path copy = directory.resolve("audit.1.jsonl");
    try (AuditLog audit = AuditLog.open(AuditSettings.toFile(file))) {
      audit.append(refusal().text());
      Files.copy(file, copy);
      try (var channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
        channel.truncate(0);
      }
      audit.append(refusal().text());
    }
    var before = AuditVerification.verify(copy, Optional.empty(), List.of(), _ -> {});
    var after = AuditVerification.verify(file, Optional.empty(), List.of(), _ -> {});
    assertThat(before.findings()).isEmpty();
    assertThat(after.findings()).isEmpty();
    assertThat(after.previous()).contains(before.chain());
  }

  @ParameterizedTest
  @ValueSource(strings = {"{\"action\":\"torn", "", "{\"action\":\"x\"}\n"})
  void goesOnAfterWhatAnEarlierProcessLeft(String left) throws IOException {
    Path file = directory.resolve("audit.jsonl");
    for (int run = 0; run < 3; run++) {
      try (AuditLog audit = AuditLog.open(AuditSettings.toFile(file))) {
        audit.append(refusal().text());
      }
      if (run < 2) {
        Files.writeString(file, left, StandardOpenOption.APPEND);
      }
    }
    assertThat(AuditVerification.verify(file, Optional.empty(), List.of(), _ -> {}).findings())
        .isEmpty();
    Files.writeString(file, Files.readString(file).replaceFirst("\n", "\n\n"));
    assertThat(AuditVerification.verify(file, Optional.empty(), List.of(), _ -> {}).findings())
        .isNotEmpty();
  }

  @Test
  void aLogThatNobodyUsedLeavesNoTrace() throws IOException {
    Path file = directory.resolve("audit.jsonl");
    AuditLog.open(AuditSettings.toFile(file)).close();
    assertThat(file).isEmptyFile();
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
    assertThat(lines).hasSize(20_001);
    assertThat(lines.stream().skip(1).map(line -> line.get("correlationId").asText()).distinct())
        .hasSize(20_000);
    assertThat(AuditVerification.verify(file, Optional.empty(), List.of(), _ -> {}).findings())
        .isEmpty();
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
        .extracting(line -> line.path("correlationId").asText("start"))
        .containsExactly("start", "taken", "after");
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
      if (line.get("action").asText().equals("grep11.audit.start")) {
        continue;
      }
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
