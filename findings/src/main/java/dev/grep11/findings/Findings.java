package dev.grep11.findings;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import dev.grep11.findings.Finding.Level;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** What an examination found, in the order in which it looked, and how that is shown. */
public final class Findings {
  /** How findings are printed. */
  public enum Format {
    TEXT,
    JSON
  }

  private static final Gson JSON =
      new GsonBuilder().disableHtmlEscaping().setPrettyPrinting().create();

  private final List<Finding> all = new ArrayList<>();

  public void good(String check, String detail) {
    good(check, detail, List.of());
  }

  /**
   * What is well.
   *
   * @param items all of what {@code detail} only counts
   */
  public void good(String check, String detail, List<String> items) {
    add(check, Level.GOOD, detail, "", items);
  }

  public void warning(String check, String detail, String remedy) {
    warning(check, detail, remedy, List.of());
  }

  /**
   * What works and will not always.
   *
   * @param items all of what {@code detail} only counts
   */
  public void warning(String check, String detail, String remedy, List<String> items) {
    add(check, Level.WARNING, detail, remedy, items);
  }

  public void bad(String check, String detail, String remedy) {
    add(check, Level.BAD, detail, remedy, List.of());
  }

  /** One that was made elsewhere. */
  public void add(Finding finding) {
    all.add(finding);
  }

  private void add(String check, Level level, String detail, String remedy, List<String> items) {
    all.add(
        new Finding(
            check,
            level,
            oneLine(detail),
            oneLine(remedy),
            items.stream().map(Findings::oneLine).toList()));
  }

  /** Reasons come from servers and libraries, whatever those put into them. */
  private static String oneLine(String text) {
    return text.replaceAll("\\p{Cntrl}+", " ").strip();
  }

  public List<Finding> all() {
    return List.copyOf(all);
  }

  /** 0 where nothing is bad, otherwise 1. */
  public int exitCode() {
    return all.stream().anyMatch(finding -> finding.level() == Level.BAD) ? 1 : 0;
  }

  /**
   * A line for each finding; or a JSON array of objects with {@code check}, {@code level}, {@code
   * detail}, and where they are not empty {@code remedy} and {@code items}.
   */
  public String as(Format format) {
    return switch (format) {
      case TEXT -> text();
      case JSON -> json();
    };
  }

  private String text() {
    int width = all.stream().mapToInt(finding -> finding.check().length()).max().orElse(0);
    var lines = new ArrayList<String>();
    for (var finding : all) {
      var remedy = finding.remedy().isEmpty() ? "" : "; " + finding.remedy();
      lines.add(
          String.format(
              Locale.ROOT,
              "%-7s  %-" + Math.max(1, width) + "s  %s%s",
              name(finding.level()),
              finding.check(),
              finding.detail(),
              remedy));
    }
    return String.join(System.lineSeparator(), lines);
  }

  private String json() {
    var array = new JsonArray();
    for (var finding : all) {
      var object = new JsonObject();
      object.addProperty("check", finding.check());
      object.addProperty("level", name(finding.level()));
      object.addProperty("detail", finding.detail());
      if (!finding.remedy().isEmpty()) {
        object.addProperty("remedy", finding.remedy());
      }
      if (!finding.items().isEmpty()) {
        object.add("items", JSON.toJsonTree(finding.items()));
      }
      array.add(object);
    }
    return JSON.toJson(array);
  }

  private static String name(Level level) {
    return level.name().toLowerCase(Locale.ROOT);
  }
}
