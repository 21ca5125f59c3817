package dev.grep11.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.xml.sax.InputSource;

class ReportTest {
  private static Line line(String peer, int inFlight, double rate, double p50) {
    return new Line()
        .with("op", "ec-sign")
        .with("bytes", 32)
        .with("inflight", inFlight)
        .with("peer", peer)
        .with("rate", rate, 1)
        .with("inprocess", 40_000, 1)
        .with("ratio", rate / 40_000, 3)
        .with("p50_us", p50, 1)
        .with("p99_us", 10 * p50, 1)
        .with("runs", 5)
        .with("rate_min", rate * 0.9, 1)
        .with("rate_max", rate * 1.1, 1)
        .with("visibility", "public")
        .with("others", 0, 2)
        .with("cpu_us", 50, 1)
        .with("cpu_ratio", 1.5, 2)
        .with("client_cpu_us", 12, 1);
  }

  private static final List<Line> RUN =
      List.of(
          line("gateway", 64, 30_000, 2000),
          line("gateway", 1, 8_000, 100),
          line("inprocess", 2, 40_000, 45),
          line("p11kit", 4, 15_000, 250),
          line("p11kit", 1, 5_000, 200));

  @Test
  void setsTheBarsBesideWhatWasFound() {
    assertThat(new Report(RUN).bars())
        .contains(
            "| ec-sign, 64 in flight, beside in process                | at least 0.70 |  0.75 | 0.68 - 0.83 | yes |",
            "| the same beside p11-kit at its best, 4 in flight        | at least 1.50 |  2.00 | 1.64 - 2.44 | yes |",
            "| processor time for a P-256 signature, beside in process |  at most 1.45 |  1.50 |  all rounds | no  |",
            "| p50 of P-256, 1 in flight, beside p11-kit's             |  at most 0.70 |  0.50 |  all rounds | yes |");
  }

  @Test
  void setsTheExtremesBesideTheirBars() {
    var run =
        List.of(
            new Line()
                .with("row", "start")
                .with("median_ms", 1400)
                .with("min_ms", 1300)
                .with("max_ms", 1600),
            new Line()
                .with("row", "heap")
                .with("op", "gcm-1m")
                .with("kib_per_call", 65, 1)
                .with("uncertain_kib", 2, 1));

    assertThat(new Report(run).extremes())
        .contains(
            "| start to ready, existing directory | under 1500 ms |  1400 ms | 1300 - 1600 | yes |",
            "| heap for a 1 MiB call              |  under 64 KiB | 65.0 KiB |      +- 2.0 | no  |");
  }

  @Test
  void addsUpWhatWasAllocatedBetweenCollections() {
    var log =
        Stream.of(
                "10M->4M(64M) 1.2ms",
                "36M->5M(64M)",
                "37M->5M(64M)",
                "38M->6M(64M)",
                "40M->6M(64M)")
            .map("[1.0s][info][gc] GC(1) Pause Young (Normal) (G1 Evacuation Pause) "::concat)
            .toList();

    assertThat(GcLog.allocated(log, 1)).isEqualTo((32 + 32 + 33 + 34) * (1L << 20));
    assertThatThrownBy(() -> GcLog.allocated(log, 2)).isInstanceOf(BenchException.class);
  }

  @Test
  void writesBetweenItsMarksAndNowhereElse(@TempDir Path docs) throws Exception {
    var page = docs.resolve("performance.md");
    Files.writeString(
        page,
        "# Before\n<!-- bench: from here on written by ./grep11 bench -->\nold\n<!-- bench: to here -->\nAfter\n");

    new Report(RUN).write(docs);

    assertThat(Files.readString(page))
        .startsWith("# Before\n")
        .endsWith("<!-- bench: to here -->\nAfter\n")
        .contains("op=ec-sign bytes=32 inflight=64 peer=gateway rate=30000.0")
        .doesNotContain("old");
    var svg =
        DocumentBuilderFactory.newInstance()
            .newDocumentBuilder()
            .parse(
                new InputSource(
                    new StringReader(Files.readString(docs.resolve("performance.svg")))));
    assertThat(svg.getElementsByTagName("circle").getLength()).isEqualTo(2 * RUN.size());
  }

  @Test
  void refusesAPageWithoutItsMarks(@TempDir Path docs) throws IOException {
    Files.writeString(docs.resolve("performance.md"), "# Mine\n");

    assertThatThrownBy(() -> new Report(RUN).write(docs))
        .isInstanceOf(BenchException.class)
        .hasMessageContaining("performance.md");
    assertThat(Files.readString(docs.resolve("performance.md"))).isEqualTo("# Mine\n");
  }

  @ParameterizedTest
  @CsvSource({"xabxab, 2", "aab, 1", "aaab, 1", "ab, 1", "a, 0", "'', 0", "aabaab, 2"})
  void countsTheLinesOfCalls(String text, long count) throws IOException {
    var bytes = new ByteArrayInputStream(text.getBytes(StandardCharsets.US_ASCII));
    assertThat(Guards.count(bytes, "ab".getBytes(StandardCharsets.US_ASCII))).isEqualTo(count);
  }

  @Test
  void readsTheTimesOfAProcessWhateverItsName() {
    assertThat(Meter.processTime("42 (a (b) c) S 1 1 1 0 -1 4194560 1 0 0 0 150 50 0 0 20 0"))
        .isEqualTo(2_000_000_000L);
    assertThat(Meter.ofProcess(ProcessHandle.current().pid())).isPositive();
  }
}
