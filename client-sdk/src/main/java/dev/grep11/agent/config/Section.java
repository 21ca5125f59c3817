package dev.grep11.agent.config;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/** A map of the file, read key by key; what nobody reads is unknown. */
final class Section {
  /** What is found on the way, for the whole file. */
  static final class Findings {
    final List<String> problems = new ArrayList<>();
    final List<String> warnings = new ArrayList<>();
  }

  private final String path;
  private final Map<?, ?> values;
  private final Findings findings;
  private final Set<String> known = new LinkedHashSet<>();

  private Section(String path, Map<?, ?> values, Findings findings) {
    this.path = path;
    this.values = values;
    this.findings = findings;
  }

  static Section root(Map<?, ?> values, Findings findings) {
    return new Section("", values, findings);
  }

  /** The full name of a key. */
  String name(String key) {
    return path.isEmpty() ? key : path + "." + key;
  }

  void problem(String key, String what) {
    findings.problems.add(name(key) + ": " + what);
  }

  void warning(String key, String what) {
    findings.warnings.add(name(key) + ": " + what);
  }

  boolean has(String key) {
    return value(key) != null;
  }

  /** The keys as text, in the order of the file. */
  List<String> keys() {
    return values.keySet().stream().map(String::valueOf).toList();
  }

  /** An absent one is empty. */
  Section section(String key) {
    Object value = value(key);
    if (value == null || value instanceof Map<?, ?>) {
      return new Section(name(key), value instanceof Map<?, ?> map ? map : Map.of(), findings);
    }
    problem(key, "should hold keys of its own, not one value");
    return new Section(name(key), Map.of(), findings);
  }

  Section required(String key) {
    if (!has(key)) {
      problem(key, "is missing");
    }
    return section(key);
  }

  Optional<String> text(String key) {
    Object value = value(key);
    if (value instanceof Map<?, ?> || value instanceof List<?>) {
      problem(key, "should be one value");
      return Optional.empty();
    }
    return value == null || value.toString().isBlank()
        ? Optional.empty()
        : Optional.of(value.toString());
  }

  boolean flag(String key, boolean absent) {
    var text = text(key);
    if (text.isEmpty()) {
      return absent;
    }
    return switch (text.get().toLowerCase(Locale.ROOT)) {
      case "true" -> true;
      case "false" -> false;
      default -> {
        problem(key, "\"" + text.get() + "\" is neither true nor false");
        yield absent;
      }
    };
  }

  Optional<Path> path(String key) {
    return text(key).map(Path::of);
  }

  Optional<UUID> uuid(String key) {
    return text(key)
        .flatMap(text -> {
          try {
            var uuid = UUID.fromString(text);
            // The JDK takes shortened groups.
            if (uuid.toString().equalsIgnoreCase(text)) {
              return Optional.of(uuid);
            }
          } catch (IllegalArgumentException e) {
            // Said below.
          }
          problem(
              key, "\"%s\" is no UUID; 8-4-4-4-12 hexadecimal digits are expected".formatted(text));
          return Optional.<UUID>empty();
        });
  }

  /** A key that means nothing here is a likely mistake in spelling, and nothing more. */
  void warnOfUnknown() {
    for (String key : keys()) {
      if (!known.contains(key)) {
        warning(key, "this key is unknown and has no effect");
      }
    }
  }

  private @Nullable Object value(String key) {
    known.add(key);
    for (var entry : values.entrySet()) {
      if (String.valueOf(entry.getKey()).equals(key)) {
        return entry.getValue();
      }
    }
    return null;
  }
}
