package dev.grep11.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;

/** The lines of a run for people: a table, the bars of the project beside them, and a picture. */
final class Report {
  private static final String PAGE = "performance.md";
  private static final String PICTURE = "performance.svg";

  private final List<Line> lines;

  Report(List<Line> lines) {
    this.lines = List.copyOf(lines);
  }

  /** A row for each line of the interface. */
  List<String> table() {
    var rows =
        results()
            .map(line ->
                List.of(
                    line.text("op"),
                    line.text("peer")
                        + (line.text("peer").equals("inprocess")
                            ? ", " + line.text("visibility")
                            : ""),
                    line.text("inflight"),
                    whole(line, "rate"),
                    whole(line, "rate_min") + " - " + whole(line, "rate_max"),
                    line.text("ratio"),
                    line.text("p50_us"),
                    line.text("p99_us"),
                    line.text("cpu_us"),
                    line.text("cpu_ratio"),
                    line.text("client_cpu_us"),
                    line.text("others")))
            .toList();
    return Table.of(
        List.of(
            "op",
            "peer",
            ">in flight",
            ">rate/s",
            ">slowest - fastest",
            ">ratio",
            ">p50 us",
            ">p99 us",
            ">cpu us",
            ">cpu ratio",
            ">client cpu us",
            ">others"),
        rows);
  }

  private static String whole(Line line, String key) {
    return String.format(Locale.ROOT, "%.0f", line.number(key));
  }

  private Stream<Line> results() {
    return lines.stream().filter(line -> !line.text("op").isEmpty());
  }

  private Optional<Line> gateway(Workload workload, int inFlight) {
    return of(workload, "gateway")
        .filter(line -> line.text("inflight").equals(Integer.toString(inFlight)))
        .findFirst();
  }

  private Stream<Line> of(Workload workload, String peer) {
    return results()
        .filter(line -> line.text("op").equals(workload.label()) && line.text("peer").equals(peer));
  }

  private Optional<Line> best(Workload workload, String peer) {
    return of(workload, peer).max(Comparator.comparingDouble(line -> line.number("rate")));
  }

  /** What is asked of the gateway, and what this run found. */
  List<String> bars() {
    var rows = new ArrayList<List<String>>();
    share(rows, Workload.EC_SIGN, 0.70);
    var sign = gateway(Workload.EC_SIGN, Workload.EC_SIGN.headline());
    best(Workload.EC_SIGN, "p11kit")
        .ifPresent(peer ->
            sign.ifPresent(own ->
                rows.add(
                    beside(
                        "the same beside p11-kit at its best, %s in flight"
                            .formatted(peer.text("inflight")),
                        own,
                        peer,
                        1.5))));
    sign.ifPresent(own ->
        rows.add(
            row(
                "processor time for a P-256 signature, beside in process",
                own.number("cpu_ratio"),
                1.45,
                false,
                Double.NaN,
                Double.NaN)));
    gateway(Workload.EC_SIGN, 1)
        .ifPresent(own ->
            of(Workload.EC_SIGN, "p11kit")
                .filter(line -> line.text("inflight").equals("1"))
                .findFirst()
                .ifPresent(peer ->
                    rows.add(
                        row(
                            "p50 of P-256, 1 in flight, beside p11-kit's",
                            own.number("p50_us") / peer.number("p50_us"),
                            0.7,
                            false,
                            Double.NaN,
                            Double.NaN))));
    share(rows, Workload.RSA_SIGN, 0.90);
    share(rows, Workload.GCM_16K, 0.25);
    share(rows, Workload.GCM_1M, 0.18);
    best(Workload.GCM_1M, "p11kit")
        .or(() -> best(Workload.CBC_1M, "p11kit"))
        .ifPresent(peer ->
            gateway(Workload.GCM_1M, Workload.GCM_1M.headline())
                .ifPresent(own ->
                    rows.add(
                        beside(
                            "the same beside p11-kit's %s at its best, %s in flight"
                                .formatted(peer.text("op"), peer.text("inflight")),
                            own,
                            peer,
                            1.0))));
    return Table.of(List.of("what", ">bar", ">found", ">spread", "met"), rows);
  }

  private static List<String> beside(String what, Line own, Line peer, double bar) {
    return row(
        what,
        own.number("rate") / peer.number("rate"),
        bar,
        true,
        own.number("rate_min") / peer.number("rate_max"),
        own.number("rate_max") / peer.number("rate_min"));
  }

  private void share(List<List<String>> rows, Workload workload, double bar) {
    gateway(workload, workload.headline())
        .ifPresent(own -> {
          double ceiling = own.number("inprocess");
          rows.add(
              row(
                  "%s, %d in flight, beside in process"
                      .formatted(workload.label(), workload.headline()),
                  own.number("ratio"),
                  bar,
                  true,
                  own.number("rate_min") / ceiling,
                  own.number("rate_max") / ceiling));
        });
  }

  /**
   * @param least whether the bar is a least value and not a most
   * @param low of the slowest round; NaN where a figure is taken over all rounds
   */
  private static List<String> row(
      String what, double found, double bar, boolean least, double low, double high) {
    return List.of(
        what,
        (least ? "at least " : "at most ") + figure(bar),
        figure(found),
        Double.isNaN(low) ? "all rounds" : figure(low) + " - " + figure(high),
        (least ? found >= bar : found <= bar) ? "yes" : "no");
  }

  private static String figure(double value) {
    return String.format(Locale.ROOT, "%.2f", value);
  }

  /**
   * Replaces what an earlier run wrote into the page, and its picture.
   *
   * @param docs directory of both
   * @throws BenchException when the page has no place for it
   */
  void write(Path docs) {
    replace(docs, "bench", written());
    try {
      Files.writeString(docs.resolve(PICTURE), new Picture(results().toList()).svg());
    } catch (IOException e) {
      throw new BenchException(PICTURE + " cannot be written: " + e.getMessage(), e);
    }
  }

  /** The same for a run of {@link Extremes}. */
  void writeExtremes(Path docs) {
    var text = new StringBuilder("\n\n").append(machine()).append('\n');
    extremes().forEach(row -> text.append(row).append('\n'));
    text.append("\n```\n");
    lines.forEach(line -> text.append(line).append('\n'));
    replace(docs, "extremes", text.append("```\n\n").toString());
  }

  private static void replace(Path docs, String part, String by) {
    var page = docs.resolve(PAGE);
    var first = "<!-- %s: from here on written by ./grep11 bench -->".formatted(part);
    var last = "<!-- %s: to here -->".formatted(part);
    try {
      var text = Files.readString(page);
      int begin = text.indexOf(first);
      int end = text.indexOf(last);
      if (begin < 0 || end < begin) {
        throw new BenchException(page + " has no lines \"" + first + "\" and \"" + last + "\"");
      }
      Files.writeString(page, text.substring(0, begin + first.length()) + by + text.substring(end));
    } catch (IOException e) {
      throw new BenchException(page + " cannot be written: " + e.getMessage(), e);
    }
  }

  /** A row for each peer and number of threads of a run of {@link Pkcs11Doors}. */
  List<String> doors() {
    var rows =
        results()
            .map(line ->
                List.of(
                    line.text("peer"),
                    line.text("inflight"),
                    whole(line, "rate"),
                    whole(line, "rate_min") + " - " + whole(line, "rate_max"),
                    line.text("ratio"),
                    line.text("p50_us"),
                    line.text("p99_us"),
                    withSpread(line, "p50_to_p11kit"),
                    line.text("cpu_us"),
                    line.text("client_cpu_us"),
                    line.text("others")))
            .toList();
    return Table.of(
        List.of(
            "peer",
            ">threads",
            ">rate/s",
            ">slowest - fastest",
            ">ratio",
            ">p50 us",
            ">p99 us",
            ">p50 beside p11kit",
            ">cpu us",
            ">client cpu us",
            ">others"),
        rows);
  }

  private static String withSpread(Line line, String key) {
    return line.text(key).isEmpty()
        ? ""
        : "%s (%s - %s)"
            .formatted(line.text(key), line.text(key + "_min"), line.text(key + "_max"));
  }

  /** What is asked of the two doors, and what this run found. */
  List<String> doorBars() {
    var rows = new ArrayList<List<String>>();
    results()
        .filter(line -> !line.text("best_to_p11kit").isEmpty())
        .forEach(line -> {
          rows.add(doorBar("p50 with one thread", line, "p50_to_p11kit", 1.3, false));
          rows.add(doorBar("best rate", line, "best_to_p11kit", 1.0, true));
        });
    return Table.of(List.of("what", ">bar", ">found", ">spread", "met"), rows);
  }

  private static List<String> doorBar(
      String what, Line line, String key, double bar, boolean least) {
    return row(
        "%s of %s, beside p11-kit's".formatted(what, line.text("peer")),
        line.number(key),
        bar,
        least,
        line.number(key + "_min"),
        line.number(key + "_max"));
  }

  /** The same for a run of {@link Pkcs11Doors}. */
  void writeDoors(Path docs) {
    var text = new StringBuilder("\n\n").append(machine()).append('\n');
    doorBars().forEach(row -> text.append(row).append('\n'));
    text.append('\n');
    doors().forEach(row -> text.append(row).append('\n'));
    text.append("\n```\n");
    lines.forEach(line -> text.append(line).append('\n'));
    replace(docs, "pkcs11", text.append("```\n\n").toString());
  }

  /** What is asked of the gateway in the extreme, and what this run found. */
  List<String> extremes() {
    var rows = new ArrayList<List<String>>();
    for (var line : lines) {
      switch (line.text("row")) {
        case "start" ->
            rows.add(
                under(
                    "start to ready, existing directory",
                    line,
                    "median_ms",
                    1500,
                    "ms",
                    spread(line, "min_ms", "max_ms")));
        case "heap" -> {
          if (line.text("op").equals(Workload.GCM_1M.label())) {
            rows.add(
                under(
                    "heap for a 1 MiB call",
                    line,
                    "kib_per_call",
                    64,
                    "KiB",
                    "+- " + line.text("uncertain_kib")));
          } else {
            rows.add(
                List.of(
                    "heap for a call, " + line.text("op"),
                    "",
                    line.text("kib_per_call") + " KiB",
                    "+- " + line.text("uncertain_kib"),
                    ""));
          }
        }
        case "memory" -> {
          rows.add(under("resident memory, idle", line, "idle_mib", 250, "MiB", "one reading"));
          rows.add(
              under(
                  "resident memory, %s cached keys".formatted(line.text("keys")),
                  line,
                  "cached_mib",
                  450,
                  "MiB",
                  "one reading"));
        }
        case "keys", "connections" ->
            rows.add(
                List.of(
                    "P-256, %s %s, %s in flight"
                        .formatted(line.text("count"), line.text("row"), line.text("inflight")),
                    "",
                    whole(line, "rate") + "/s, p99 " + line.text("p99_us") + " us",
                    spread(line, "rate_min", "rate_max"),
                    ""));
        case "overload" -> {
          rows.add(
              row(
                  "goodput at 10 times the capacity, beside the peak",
                  line.number("ratio"),
                  0.9,
                  true,
                  line.number("goodput") / line.number("peak_max"),
                  line.number("goodput") / line.number("peak_min")));
          rows.add(
              List.of(
                  "p99 of accepted calls meanwhile",
                  "",
                  line.text("p99_us") + " us",
                  "one flood",
                  ""));
          rows.add(under("recovery after it", line, "recovery_ms", 1000, "ms", "one flood"));
        }
        default -> {
          // The machine.
        }
      }
    }
    return Table.of(List.of("what", ">bar", ">found", ">spread", "met"), rows);
  }

  private static String spread(Line line, String low, String high) {
    return whole(line, low) + " - " + whole(line, high);
  }

  private static List<String> under(
      String what, Line line, String key, double bar, String unit, String spread) {
    return List.of(
        what,
        "under %.0f %s".formatted(bar, unit),
        line.text(key) + " " + unit,
        spread,
        line.number(key) < bar ? "yes" : "no");
  }

  private String machine() {
    var text = new StringBuilder();
    for (var line : lines) {
      if (!line.text("machine").isEmpty()) {
        text.append(
            "Machine: %s, %s processors, %s MiB, Linux %s; Java %s, SoftHSM %s, OpenSSL %s, p11-kit %s. Commit %s, %s.\n"
                .formatted(
                    line.text("machine").replace('_', ' '),
                    line.text("processors"),
                    line.text("memory_mib"),
                    line.text("kernel"),
                    line.text("java"),
                    line.text("softhsm"),
                    line.text("openssl"),
                    line.text("p11_kit"),
                    line.text("commit"),
                    line.text("date")));
      }
    }
    return text.toString();
  }

  private String written() {
    var text = new StringBuilder("\n\n").append(machine()).append('\n');
    bars().forEach(row -> text.append(row).append('\n'));
    text.append('\n');
    table().forEach(row -> text.append(row).append('\n'));
    text.append("\n![Latency over load](").append(PICTURE).append(")\n\n```\n");
    lines.forEach(line -> text.append(line).append('\n'));
    return text.append("```\n\n").toString();
  }
}
