package dev.grep11.gateway.command;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.PrintWriter;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import picocli.CommandLine.Option;

/** How a command prints what is to be read. */
final class OutputOption {
  private static final ObjectMapper JSON = new ObjectMapper();

  @Option(
      names = "--output",
      paramLabel = "text|json",
      defaultValue = "text",
      description = "default: ${DEFAULT-VALUE}")
  private Form form = Form.TEXT;

  enum Form {
    TEXT,
    JSON
  }

  /** One thing: {@code name: value} lines, or an object. */
  void one(PrintWriter out, Map<String, String> fields) {
    switch (form) {
      case TEXT -> fields.forEach((name, value) -> out.println(name + ": " + value));
      case JSON -> out.println(json(fields));
    }
    out.flush();
  }

  /** Several of a kind: a line each, or an array of objects. */
  void list(PrintWriter out, List<Map<String, String>> rows) {
    switch (form) {
      case TEXT ->
          rows.forEach(row -> out.println(row.values().stream().collect(Collectors.joining("  "))));
      case JSON -> out.println(json(rows));
    }
    out.flush();
  }

  private static String json(Object value) {
    try {
      return JSON.writeValueAsString(value);
    } catch (JsonProcessingException e) {
      throw new IllegalStateException("maps of texts are JSON", e);
    }
  }
}
