package dev.grep11.gateway.audit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is left of an audit file when its writer is killed, or finds no room. */
class AuditCrashTest {
  private static final int LIMIT_BLOCKS = 512;

  @TempDir Path directory;

  private Process start(String limit, int events) throws IOException {
    var java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
    return new ProcessBuilder(
            "bash",
            "-c",
            limit + "exec \"$0\" \"$@\"",
            java,
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:-UsePerfData",
            "-cp",
            System.getProperty("java.class.path"),
            AuditWriterProcess.class.getName(),
            file().toString(),
            Integer.toString(events))
        .redirectOutput(output().toFile())
        .redirectErrorStream(true)
        .start();
  }

  private Path file() {
    return directory.resolve("audit.jsonl");
  }

  private Path output() {
    return directory.resolve("output");
  }

  private long refusals() throws IOException {
    try (var lines = Files.lines(output())) {
      return lines.filter(line -> line.equals("refused")).count();
    }
  }

  private AuditVerification.Report verified() throws IOException {
    return AuditVerification.verify(file(), Optional.empty(), List.of(), _ -> {});
  }

  @Test
  void whatAKilledWriterLeftIsIntactAndGoneOnWith() throws Exception {
    for (int run = 0; run < 2; run++) {
      long before = Files.exists(file()) ? Files.size(file()) : 0;
      var process = start("", Integer.MAX_VALUE);
      try {
        await()
            .atMost(Duration.ofSeconds(60))
            .pollInterval(Duration.ofMillis(20))
            .until(() -> Files.exists(file()) && Files.size(file()) > before + 1_000_000);
      } finally {
        process.destroyForcibly().onExit().join();
      }
      assertThat(verified().findings()).isEmpty();
      assertThat(verified().closed()).isFalse();
    }
    try (var audit = AuditLog.open(AuditSettings.toFile(file()))) {
      audit.append(AuditWriterProcess.event("after").text());
    }
    var report = verified();
    assertThat(report.findings()).isEmpty();
    assertThat(report.torn()).isFalse();
    assertThat(report.lines()).isGreaterThan(3_000);
  }

  /** A limit on the size of files stands for a full disk: a write stops in the middle of a line. */
  @Test
  void aWriterThatFindsNoRoomRefusesAndGoesOnInTheMiddleOfTheLine() throws Exception {
    int events = 5_000;
    var process = start("ulimit -S -f " + LIMIT_BLOCKS + "; ", events);
    try {
      await()
          .atMost(Duration.ofSeconds(60))
          .until(() -> Files.exists(file()) && Files.size(file()) == LIMIT_BLOCKS * 1024L);
      // A busy machine may have refused some before, because the queue was full.
      long before = refusals();
      await().atMost(Duration.ofSeconds(60)).until(() -> refusals() > before);
      assertThat(Files.size(file())).isEqualTo(LIMIT_BLOCKS * 1024L);
      assertThat(verified().torn()).as("stopped in the middle of a line").isTrue();
      var lifted =
          new ProcessBuilder("prlimit", "--pid", Long.toString(process.pid()), "--fsize=unlimited")
              .inheritIO()
              .start();
      assertThat(lifted.waitFor()).isZero();
      assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
    } finally {
      process.destroyForcibly();
    }
    assertThat(Files.readString(output())).endsWith("closed\n");
    assertThat(verified().findings()).isEmpty();
    assertThat(verified().lines()).isEqualTo(events + 1);
  }
}
