package dev.grep11.gateway;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.grep11.gateway.audit.AdministrativeAction;
import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.audit.AuditLog;
import dev.grep11.gateway.audit.AuditSettings;
import dev.grep11.gateway.audit.AuditVerification;
import dev.grep11.gateway.audit.AuditVerification.Finding;
import dev.grep11.gateway.audit.AuditVerification.Report;
import dev.grep11.gateway.audit.CheckpointMac;
import dev.grep11.gateway.command.DemoData;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.AuditHeads;
import dev.grep11.gateway.host.StartSteps;
import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.store.EventRecord;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.token.HsmCalls;
import dev.grep11.gateway.token.HsmCheckpointMac;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Audit files with checkpoints by a real token, and the store that knows their last ones. */
class AuditFileTest {
  private static final UUID INSTANCE = UUID.fromString("6f6a3f0e-52d5-4d1e-9d1c-0a7b1f0c2d3e");
  private static final int SUFFIX = ",\"chain\":\"\"}".length() + 43;

  private Hsm hsm;
  private Store store;
  private HsmCheckpointMac mac;
  private Path file;

  @BeforeEach
  void open(@TempDir Path parent) {
    var demo = DemoData.open(parent.resolve("demo"));
    var config = GatewayConfig.read(demo.config());
    hsm = Hsm.open(config.hsm());
    var calls = new HsmCalls(hsm);
    store = StartSteps.openStore(config, calls);
    mac = new HsmCheckpointMac(StartSteps.envelope(config, calls));
    file = parent.resolve("audit.jsonl");
  }

  @AfterEach
  void close() {
    store.close();
    hsm.close();
  }

  private interface Work {
    void with(AuditLog audit, EventExporter exporter) throws Exception;
  }

  /** A gateway, as far as its audit goes. */
  private void run(String gateway, InstantSource clock, Work work) throws Exception {
    try (var audit = AuditLog.open(AuditSettings.toFile(file), gateway);
        var exporter = EventExporter.start(store, audit, mac, gateway, clock)) {
      work.with(audit, exporter);
    }
  }

  private void run(Work work) throws Exception {
    run("one", InstantSource.system(), work);
  }

  private void someEvents(AuditLog audit, EventExporter exporter) {
    audit.record(call("c-0"));
    assertThat(audit.checkpoint(false)).isPresent();
    for (int i = 1; i < 9; i++) {
      audit.record(call("c-" + i));
    }
  }

  private static AuditEvent.Initiator somebody() {
    return new AuditEvent.Initiator(
        "iam-1",
        Optional.empty(),
        AuditEvent.Initiator.SERVICE_ID,
        "token",
        Optional.empty(),
        Optional.empty());
  }

  private static AuditEvent call(String correlationId) {
    return new AuditEvent(
        AuditEvent.EP11_USE,
        Instant.now(),
        AuditEvent.Outcome.SUCCESS,
        AuditEvent.Reason.OK,
        somebody(),
        new AuditEvent.Target("crn:v1:x", Optional.empty(), "hs-crypto/key"),
        correlationId,
        new AuditEvent.RequestData("/grep11.Crypto/Sign", Optional.of(INSTANCE)));
  }

  private static AuditEvent change() {
    return new AuditEvent(
        AdministrativeAction.CERT_SET,
        Instant.now(),
        AuditEvent.Outcome.SUCCESS,
        AuditEvent.Reason.OK,
        somebody(),
        "crn:v1:x",
        UUID.randomUUID().toString(),
        new AuditEvent.RequestData("cert set", Optional.of(INSTANCE)).withCertificateId("blue"),
        new AuditEvent.ResponseData("set", Optional.of("the second lock closed")));
  }

  private Report verified() throws IOException {
    return AuditVerification.verify(
        file, Optional.of(mac), AuditHeads.known(store.snapshot()), _ -> {});
  }

  private Report chainOnly() throws IOException {
    return AuditVerification.verify(file, Optional.empty(), List.of(), _ -> {});
  }

  private List<String> lines() throws IOException {
    return new ArrayList<>(Files.readAllLines(file));
  }

  private static int indexOf(List<String> lines, String part) {
    for (int i = 0; i < lines.size(); i++) {
      if (lines.get(i).contains(part)) {
        return i;
      }
    }
    throw new AssertionError("no line has " + part);
  }

  @Test
  void aFileOverSeveralRunsIsIntactAndTheStoreKnowsItsEnd() throws Exception {
    run(this::someEvents);
    run(this::someEvents);
    var report = verified();
    assertThat(report.findings()).isEmpty();
    assertThat(report.closed()).isTrue();
    assertThat(report.checkpointsVerified()).isTrue();
    assertThat(report.checkpoints()).isGreaterThanOrEqualTo(4);
    assertThat(report.linesAfterCheckpoint()).isZero();
    assertThat(store.snapshot().auditHeads()).hasSize(1);
    assertThat(chainOnly().findings()).isEmpty();
    assertThat(chainOnly().checkpointsVerified()).isFalse();
  }

  /** What somebody does to a file. */
  record Tampering(String name, String finding, Edit edit) {
    @Override
    public String toString() {
      return name;
    }
  }

  interface Edit {
    /** Edits the lines, and gives the number of the line that is to be named. */
    int of(List<String> lines);
  }

  static Stream<Tampering> tamperings() {
    return Stream.of(
        new Tampering(
            "a line is changed",
            "it was changed",
            lines -> {
              int i = indexOf(lines, "\"c-3\"");
              lines.set(i, lines.get(i).replace("\"iam-1\"", "\"iam-2\""));
              return i + 1;
            }),
        new Tampering(
            "a chain value is changed",
            "it was changed",
            lines -> {
              int i = indexOf(lines, "\"c-3\"");
              int other = indexOf(lines, "\"c-5\"");
              lines.set(i, body(lines.get(i)) + suffix(lines.get(other)));
              return i + 1;
            }),
        new Tampering(
            "a chain value is taken off",
            "not what was written there",
            lines -> {
              int i = indexOf(lines, "\"c-3\"");
              lines.set(i, body(lines.get(i)));
              return i + 2;
            }),
        new Tampering(
            "a line is removed",
            "1 line(s) before it were removed",
            lines -> {
              int i = indexOf(lines, "\"c-3\"");
              lines.remove(i);
              return i + 1;
            }),
        new Tampering(
            "three lines are removed",
            "3 line(s) before it were removed",
            lines -> {
              int i = indexOf(lines, "\"c-3\"");
              lines.subList(i, i + 3).clear();
              return i + 1;
            }),
        new Tampering(
            "two lines change places",
            "1 line(s) before it were removed or moved",
            lines -> {
              int i = indexOf(lines, "\"c-3\"");
              lines.add(i, lines.remove(i + 1));
              return i + 1;
            }),
        new Tampering(
            "a line is there twice",
            "it was inserted or moved",
            lines -> {
              int i = indexOf(lines, "\"c-3\"");
              lines.add(i + 1, lines.get(i));
              return i + 2;
            }),
        new Tampering(
            "a line is inserted",
            "not what was written there",
            lines -> {
              int i = indexOf(lines, "\"c-3\"");
              lines.add(i, "{\"action\":\"hs-crypto.ep11.use\"}");
              return i + 2;
            }),
        new Tampering(
            "an empty line is inserted",
            "not what was written there",
            lines -> {
              int i = indexOf(lines, "\"c-3\"");
              lines.add(i, "");
              return i + 2;
            }),
        new Tampering(
            "a line is added at the end",
            "nothing vouches for the last 1 line(s)",
            lines -> {
              lines.add("{\"action\":\"hs-crypto.ep11.use\"}");
              return lines.size();
            }),
        new Tampering(
            "the first line is removed",
            "its beginning is gone",
            lines -> {
              lines.removeFirst();
              return 1;
            }),
        new Tampering(
            "the last line is removed",
            "the tail is missing",
            lines -> {
              lines.removeLast();
              return 0;
            }),
        new Tampering(
            "the second half is removed",
            "the tail is missing",
            lines -> {
              lines.subList(indexOf(lines, "\"c-3\""), lines.size()).clear();
              return 0;
            }),
        new Tampering(
            "everything is removed",
            "nothing is in it",
            lines -> {
              lines.clear();
              return 0;
            }),
        new Tampering(
            "a line is changed and the chain made anew",
            "the checkpoint is forged",
            lines -> {
              int i = indexOf(lines, "\"c-3\"");
              lines.set(i, lines.get(i).replace("\"iam-1\"", "\"iam-2\""));
              rechain(lines, i);
              return lines.size();
            }),
        new Tampering(
            "a line is changed, the checkpoints after it removed, and the chain made anew",
            "the tail is missing",
            lines -> {
              int i = indexOf(lines, "\"c-3\"");
              lines.set(i, lines.get(i).replace("\"iam-1\"", "\"iam-2\""));
              lines.removeLast();
              rechain(lines, i);
              return 0;
            }),
        new Tampering(
            "a checkpoint takes the MAC of another",
            "the checkpoint is forged",
            lines -> {
              int first = indexOf(lines, "grep11.audit.checkpoint");
              int last = lines.size() - 1;
              lines.set(last, lines.get(last).replaceFirst(MAC, macOf(lines.get(first))));
              rechain(lines, last);
              return last + 1;
            }),
        new Tampering(
            "a checkpoint is said to be the closing one",
            "the checkpoint is forged",
            lines -> {
              int i = indexOf(lines, "grep11.audit.checkpoint");
              lines.set(i, lines.get(i).replace("\"closing\":false", "\"closing\":true"));
              rechain(lines, i);
              return i + 1;
            }));
  }

  @Test
  void aFileOfAnotherGatewayIsToldOnceAndIsNotIntact() throws Exception {
    run("their\u001b[2J gateway", InstantSource.system(), this::someEvents);
    run("their gateway", InstantSource.system(), this::someEvents);
    var own = mac;
    // Another token's key, and a store that never heard of the file.
    CheckpointMac another =
        new CheckpointMac() {
          @Override
          public byte[] mac(byte[] message) {
            throw new UnsupportedOperationException("only verifies");
          }

          @Override
          public boolean verify(byte[] message, byte[] code) {
            byte[] other = message.clone();
            other[0] ^= 1;
            return own.verify(other, code);
          }
        };

    var report = AuditVerification.verify(file, Optional.of(another), List.of(), _ -> {});

    assertThat(report.checkpointsVerified()).isFalse();
    assertThat(report.findings()).hasSize(1);
    assertThat(report.findings().getFirst().line()).isZero();
    assertThat(report.findings().getFirst().what())
        .startsWith("none of its " + report.checkpoints() + " checkpoint(s)")
        .contains("their?[2J gateway", "--config or --data of the gateway that wrote it")
        .contains("If that is this one, the file was forged")
        .doesNotContain("\u001b");
    // What is wrong with the file itself is said all the same.
    var lines = lines();
    int changed = indexOf(lines, "\"c-3\"");
    lines.set(changed, lines.get(changed).replace("\"iam-1\"", "\"iam-2\""));
    Files.write(file, lines);
    assertThat(AuditVerification.verify(file, Optional.of(another), List.of(), _ -> {}).findings())
        .extracting(Finding::line)
        .containsExactly(0L, changed + 1L);
    // A store that knows the file is that of its gateway: there every MAC is named.
    var known = AuditHeads.known(store.snapshot());
    assertThat(AuditVerification.verify(file, Optional.of(another), known, _ -> {}).findings())
        .filteredOn(finding -> finding.what().startsWith("the checkpoint is forged"))
        .hasSize((int) report.checkpoints());
  }

  private static final String MAC = "\"mac\":\"[^\"]*\"";

  private static String macOf(String line) {
    var matcher = Pattern.compile(MAC).matcher(line);
    assertThat(matcher.find()).isTrue();
    return matcher.group();
  }

  private static String body(String line) {
    return line.substring(0, line.length() - SUFFIX);
  }

  private static String suffix(String line) {
    return line.substring(line.length() - SUFFIX);
  }

  /** As docs/operations-reference.md defines it, and as everybody can who may write the file. */
  private static void rechain(List<String> lines, int from) {
    try {
      var before = lines.get(from - 1);
      var value =
          Base64.getUrlDecoder()
              .decode(before.substring(before.length() - 45, before.length() - 2));
      for (int i = from; i < lines.size(); i++) {
        var sha256 = MessageDigest.getInstance("SHA-256");
        sha256.update(value);
        sha256.update(body(lines.get(i)).getBytes(UTF_8));
        sha256.update((byte) 'L');
        value = sha256.digest();
        lines.set(
            i,
            body(lines.get(i))
                + ",\"chain\":\""
                + Base64.getUrlEncoder().withoutPadding().encodeToString(value)
                + "\"}");
      }
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  @ParameterizedTest
  @MethodSource("tamperings")
  void namesTheLineOfEveryTampering(Tampering tampering) throws Exception {
    run(this::someEvents);
    assertThat(verified().findings()).isEmpty();
    var lines = lines();
    int line = tampering.edit().of(lines);
    Files.write(file, lines);
    assertThat(verified().findings())
        .anySatisfy(finding -> {
          assertThat(finding.line()).isEqualTo(line);
          assertThat(finding.what()).contains(tampering.finding());
        });
  }

  @Test
  void aChangedLineIsOneFinding() throws Exception {
    run(this::someEvents);
    var lines = lines();
    int i = indexOf(lines, "\"c-3\"");
    lines.set(i, lines.get(i).replace("\"iam-1\"", "\"iam-2\""));
    Files.write(file, lines);
    assertThat(chainOnly().findings()).extracting(Finding::line).containsExactly(i + 1L);
  }

  @Test
  void aTailThatWasCutBetweenTwoRunsIsRecordedAndStaysKnown() throws Exception {
    run(this::someEvents);
    var lines = lines();
    lines.removeLast();
    Files.write(file, lines);
    run(this::someEvents);
    assertThat(lines()).anyMatch(line -> line.startsWith("{\"action\":\"grep11.audit.missing\""));
    assertThat(verified().findings())
        .singleElement()
        .satisfies(finding -> assertThat(finding.what()).contains("the tail is missing"));
  }

  @Test
  void theEventOfAChangeReachesTheFileAndItsRowGoes() throws Exception {
    run((audit, exporter) -> {
      var row = exporter.row(change());
      assertThat(exporter.available()).isTrue();
      store.change(change -> change.add(row));
      exporter.committed(row);
      await().until(() -> store.snapshot().events().isEmpty());
      var lines = lines();
      int i = indexOf(lines, row.id().toString());
      assertThat(lines.get(i)).startsWith(row.event().substring(0, row.event().length() - 1));
      assertThat(lines.get(i + 1)).startsWith("{\"action\":\"grep11.audit.checkpoint\"");
      assertThat(store.snapshot().auditHeads())
          .singleElement()
          .satisfies(
              head -> assertThat(lines.get(i + 1)).contains("\"sequence\":" + head.sequence()));
      assertThat(verified().findings()).isEmpty();
    });
  }

  /** A row as a gateway leaves it that is killed after the commit. */
  private EventRecord leftBy(String gateway) {
    var event = change();
    var row =
        new EventRecord(
            event.id().orElseThrow(),
            event.text(),
            UUID.nameUUIDFromBytes(gateway.getBytes(UTF_8)),
            Instant.now());
    assertThat(store.<Boolean>change(change -> change.add(row))).isTrue();
    return row;
  }

  @Test
  void aRowThatAKilledGatewayLeftIsWrittenWhenItIsBack() throws Exception {
    var row = leftBy("one");
    run((_, _) -> await().until(() -> store.snapshot().events().isEmpty()));
    assertThat(lines().stream().filter(line -> line.contains(row.id().toString()))).hasSize(1);
    assertThat(verified().findings()).isEmpty();
  }

  @Test
  void aRowOfAnotherGatewayIsTakenOverAfterAMinute() throws Exception {
    var row = leftBy("one");
    run("two", InstantSource.system(), (audit, _) -> audit.record(call("c-1")));
    assertThat(store.snapshot().events()).containsExactly(row);
    var later = row.written().plus(EventExporter.TAKEN_OVER_AFTER).plus(Duration.ofSeconds(1));
    run(
        "two",
        InstantSource.fixed(later),
        (_, _) -> await().until(() -> store.snapshot().events().isEmpty()));
    assertThat(lines()).anyMatch(line -> line.contains(row.id().toString()));
  }

  @Test
  void aRowStaysAndChangesAreRefusedWhileTheAuditIsAway() throws Exception {
    var audit = AuditLog.open(AuditSettings.toFile(file), "one");
    EventRecord row;
    try (var exporter = EventExporter.start(store, audit, mac, "one", InstantSource.system())) {
      try (audit) {
        assertThat(exporter.available()).isTrue();
      }
      assertThat(exporter.available()).isFalse();
      row = exporter.row(change());
      store.change(change -> change.add(row));
      exporter.committed(row);
    }
    assertThat(store.snapshot().events()).containsExactly(row);
  }
}
