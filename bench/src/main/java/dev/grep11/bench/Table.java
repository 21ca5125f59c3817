package dev.grep11.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** Rows under headings, as Markdown that also reads well as it is. */
final class Table {
  private Table() {}

  /**
   * @param headings those of figures, which stand to the right, begin with {@code >}
   * @param rows as many cells each as there are headings
   */
  static List<String> of(List<String> headings, List<List<String>> rows) {
    var right = headings.stream().map(heading -> heading.startsWith(">")).toList();
    var all = new ArrayList<List<String>>();
    all.add(headings.stream().map(heading -> heading.replaceFirst("^>", "")).toList());
    all.addAll(rows);
    int columns = headings.size();
    var widths =
        IntStream.range(0, columns)
            .map(i -> all.stream().mapToInt(row -> row.get(i).length()).max().orElse(0))
            .map(width -> Math.max(3, width))
            .toArray();
    var lines = new ArrayList<String>();
    for (var row : all) {
      lines.add(
          IntStream.range(0, columns)
              .mapToObj(i -> aligned(row.get(i), widths[i], right.get(i)))
              .collect(Collectors.joining(" | ", "| ", " |")));
    }
    lines.add(
        1,
        IntStream.range(0, columns)
            .mapToObj(i -> right.get(i) ? "-".repeat(widths[i] - 1) + ":" : "-".repeat(widths[i]))
            .collect(Collectors.joining(" | ", "| ", " |")));
    return lines;
  }

  private static String aligned(String text, int width, boolean right) {
    var space = " ".repeat(width - text.length());
    return right ? space + text : text + space;
  }
}
