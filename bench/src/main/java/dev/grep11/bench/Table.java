package dev.grep11.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** Results under each other for people, after the lines that programs read. */
final class Table {
  private static final List<String> COLUMNS =
      List.of(
          "op",
          "peer",
          "visibility",
          "inflight",
          "rate",
          "inprocess",
          "ratio",
          "p50_us",
          "p99_us",
          "others");

  /** From here on figures, which stand to the right. */
  private static final int FIRST_FIGURE = COLUMNS.indexOf("inflight");

  private Table() {}

  /** A row of headings and a row for each result. */
  static List<String> of(List<Line> results) {
    var rows = new ArrayList<List<String>>();
    rows.add(COLUMNS);
    for (var result : results) {
      rows.add(COLUMNS.stream().map(result::text).toList());
    }
    var widths =
        IntStream.range(0, COLUMNS.size())
            .map(i -> rows.stream().mapToInt(row -> row.get(i).length()).max().orElse(0))
            .toArray();
    return rows.stream()
        .map(row ->
            IntStream.range(0, COLUMNS.size())
                .mapToObj(i -> aligned(row.get(i), widths[i], i >= FIRST_FIGURE))
                .collect(Collectors.joining("  "))
                .stripTrailing())
        .toList();
  }

  private static String aligned(String text, int width, boolean right) {
    var space = " ".repeat(width - text.length());
    return right ? space + text : text + space;
  }
}
