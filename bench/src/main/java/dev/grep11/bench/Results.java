package dev.grep11.bench;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.BiConsumer;
import java.util.function.Function;
import picocli.CommandLine.Option;

/** Where what is found goes: as lines when it is found, and in the end as tables and pages. */
final class Results {
  @Option(
      names = "--output",
      defaultValue = "text",
      description = "text or json (an object per line)")
  private Line.Format output = Line.Format.TEXT;

  @Option(
      names = "--write-docs",
      description = "writes the results into performance.md in this directory")
  private Optional<Path> docs = Optional.empty();

  private final List<Line> lines = new ArrayList<>();

  void add(Line line) {
    lines.add(line);
    System.out.println(line.as(output));
  }

  /** Whether they become figures that others read. */
  boolean arePublished() {
    return docs.isPresent();
  }

  /**
   * Prints the tables for people, and writes the page where that was asked for.
   *
   * @param tables of the report, each after an empty line
   * @param page writes the report's part of it
   */
  void finish(List<Function<Report, List<String>>> tables, BiConsumer<Report, Path> page) {
    var report = new Report(lines);
    switch (output) {
      case TEXT ->
          tables.forEach(table -> {
            System.out.println();
            table.apply(report).forEach(System.out::println);
          });
      case JSON -> {
        // Programs read the lines.
      }
    }
    docs.ifPresent(directory -> page.accept(report, directory));
  }

  static void progress(String text) {
    System.err.println("bench: " + text);
  }
}
