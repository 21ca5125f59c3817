package dev.grep11.gateway.command;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** How a command prints what is to be read. */
final class OutputOption {
  private static final ObjectMapper JSON = new ObjectMapper();

  @Option(
      names = "--output",
      paramLabel = "text|json",
      defaultValue = "text",
      description = "for people or for programs; default: ${DEFAULT-VALUE}")
  private Form form = Form.TEXT;

  enum Form {
    TEXT,
    JSON
  }

  /**
   * A value that people read otherwise than programs.
   *
   * @param json what Jackson knows: a number, a list, null
   */
  record Value(@Nullable Object json, String text) {
    @Override
    public String toString() {
      return text;
    }
  }

  /** Whether people read it, who can be told more on standard error. */
  boolean isText() {
    return form == Form.TEXT;
  }

  /** One thing: {@code name: value} lines, or an object. */
  void one(PrintWriter out, Map<String, ?> fields) {
    switch (form) {
      case TEXT -> fields.forEach((name, value) -> out.println(name + ": " + value));
      case JSON -> out.println(json(plain(fields)));
    }
    out.flush();
  }

  /**
   * Several of a kind: a table under a row of headings, or an array of objects.
   *
   * @param columns the names of the fields that the table has; a row may lack some, and an object
   *     has all of its own
   */
  void list(PrintWriter out, List<String> columns, List<? extends Map<String, ?>> rows) {
    switch (form) {
      case TEXT -> table(columns, rows).forEach(out::println);
      case JSON -> out.println(json(rows.stream().map(OutputOption::plain).toList()));
    }
    out.flush();
  }

  private static Map<String, @Nullable Object> plain(Map<String, ?> fields) {
    var plain = new LinkedHashMap<String, @Nullable Object>();
    fields.forEach(
        (name, value) -> plain.put(name, value instanceof Value both ? both.json() : value));
    return plain;
  }

  private static List<String> table(List<String> columns, List<? extends Map<String, ?>> rows) {
    var lines = new ArrayList<List<String>>();
    lines.add(columns.stream().map(column -> column.toUpperCase(Locale.ROOT)).toList());
    rows.forEach(row ->
        lines.add(
            columns.stream()
                .map(column -> row.containsKey(column) ? String.valueOf(row.get(column)) : "-")
                .toList()));
    return lines.stream()
        .map(cells ->
            IntStream.range(0, columns.size())
                .mapToObj(i -> padded(cells.get(i), width(lines, i)))
                .collect(Collectors.joining("  "))
                .stripTrailing())
        .toList();
  }

  private static int width(List<List<String>> lines, int column) {
    return lines.stream().mapToInt(cells -> cells.get(column).length()).max().orElse(0);
  }

  private static String padded(String cell, int width) {
    return cell + " ".repeat(width - cell.length());
  }

  private static String json(Object value) {
    try {
      return JSON.writeValueAsString(value);
    } catch (JsonProcessingException e) {
      throw new IllegalStateException("maps of texts and numbers are JSON", e);
    }
  }
}
