package dev.grep11.bench;

import com.google.gson.JsonObject;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * One result: keys in the order in which they were put, as {@code key=value} pairs with single
 * spaces between them, or as one JSON object. Values hold no white space, so a line is split
 * without quoting.
 */
public final class Line {
  /** How results go to stdout; JSON has one object per line. */
  public enum Format {
    TEXT,
    JSON
  }

  private final Map<String, Object> fields = new LinkedHashMap<>();

  public Line with(String key, String value) {
    if (!value.matches("\\S+")) {
      throw new IllegalArgumentException(key + " is empty or holds white space: " + value);
    }
    return put(key, value);
  }

  public Line with(String key, long value) {
    return put(key, value);
  }

  /** Rounded half up; never in exponent form. */
  public Line with(String key, double value, int decimals) {
    if (!Double.isFinite(value)) {
      throw new IllegalArgumentException(key + " is " + value);
    }
    return put(key, BigDecimal.valueOf(value).setScale(decimals, RoundingMode.HALF_UP));
  }

  private Line put(String key, Object value) {
    if (!key.matches("[a-z0-9_]+")) {
      throw new IllegalArgumentException("key " + key);
    }
    if (fields.putIfAbsent(key, value) != null) {
      throw new IllegalArgumentException(key + " is there already");
    }
    return this;
  }

  public String as(Format format) {
    return switch (format) {
      case TEXT -> toString();
      case JSON -> json();
    };
  }

  private String json() {
    var object = new JsonObject();
    fields.forEach((key, value) -> {
      if (value instanceof Number number) {
        object.addProperty(key, number);
      } else {
        object.addProperty(key, value.toString());
      }
    });
    return object.toString();
  }

  /** The value of a key as it is printed; empty where there is none. */
  String text(String key) {
    return fields.get(key) instanceof BigDecimal number
        ? number.toPlainString()
        : String.valueOf(fields.getOrDefault(key, ""));
  }

  /**
   * The value of a key that is a number.
   *
   * @throws NumberFormatException where there is none
   */
  double number(String key) {
    return Double.parseDouble(text(key));
  }

  @Override
  public String toString() {
    return fields.keySet().stream()
        .map(key -> key + "=" + text(key))
        .collect(Collectors.joining(" "));
  }
}
