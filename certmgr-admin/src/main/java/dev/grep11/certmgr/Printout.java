package dev.grep11.certmgr;

import com.google.gson.GsonBuilder;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * What a command prints. Text is the documented output to the letter: tables and lines on standard
 * output, and whatever is ours (warnings, notes) on standard error. JSON is one object and nothing
 * else.
 */
final class Printout {
  enum Form {
    TEXT,
    JSON
  }

  private final PrintWriter out;
  private final PrintWriter err;
  private final Form form;
  private boolean body;

  Printout(PrintWriter out, PrintWriter err, Form form) {
    this.out = out;
    this.err = err;
    this.form = form;
  }

  void connecting(String address) {
    text("connecting to server [" + address + "]...");
  }

  /** A table with a rule under its headings. */
  void table(List<String> headings, List<List<String>> rows) {
    int[] widths = widths(headings, rows);
    var rule = rule(widths);
    text(rule);
    text(row(headings, widths));
    text(rule);
    rows.forEach(cells -> text(row(cells, widths)));
    text(rule);
    body = true;
  }

  /**
   * A table whose last column has several lines a cell, without a rule under its headings and with
   * an empty row after each cell.
   */
  void tableOfTexts(String heading, String textHeading, Map<String, String> texts) {
    var rows = new ArrayList<List<String>>();
    texts.forEach((name, text) -> {
      var first = name;
      for (var line : text.lines().toList()) {
        rows.add(List.of(first, line));
        first = "";
      }
      rows.add(List.of("", ""));
    });
    var headings = List.of(heading, textHeading);
    int[] widths = widths(headings, rows);
    text(rule(widths));
    text(row(headings, widths));
    rows.forEach(cells -> text(row(cells, widths)));
    text(rule(widths));
    body = true;
  }

  /** Lines that are what the command was asked for. */
  void body(String text) {
    text.lines().forEach(this::text);
    body = true;
  }

  /** A line of the text form alone. */
  void text(String line) {
    if (form == Form.TEXT) {
      out.println(Shown.line(line));
    }
  }

  /** Something that is not what the command was asked for but should be known. */
  void aside(String line) {
    err.println(Shown.line(line));
  }

  /**
   * Ends the output.
   *
   * @param fields all that the command has to tell, for programs
   */
  void completed(Map<String, ?> fields) {
    switch (form) {
      case TEXT -> {
        if (body) {
          out.println();
        }
        out.println("command completed successfully.");
      }
      case JSON ->
          out.println(
              new GsonBuilder().disableHtmlEscaping().setPrettyPrinting().create().toJson(fields));
    }
    out.flush();
    err.flush();
  }

  /** Ends the output of a command that did not come out as asked. */
  void told(Map<String, ?> fields) {
    if (form == Form.JSON) {
      completed(fields);
    }
    out.flush();
  }

  private static int[] widths(List<String> headings, List<List<String>> rows) {
    int[] widths = headings.stream().mapToInt(String::length).toArray();
    for (var cells : rows) {
      for (int i = 0; i < widths.length; i++) {
        widths[i] = Math.max(widths[i], cells.get(i).length());
      }
    }
    return widths;
  }

  private static String rule(int[] widths) {
    var rule = new StringBuilder("+");
    for (int width : widths) {
      rule.append("-".repeat(width + 2)).append('+');
    }
    return rule.toString();
  }

  private static String row(List<String> cells, int[] widths) {
    var row = new StringBuilder("|");
    for (int i = 0; i < widths.length; i++) {
      row.append(' ').append(cells.get(i)).append(" ".repeat(widths[i] - cells.get(i).length()));
      row.append(" |");
    }
    return row.toString();
  }
}
