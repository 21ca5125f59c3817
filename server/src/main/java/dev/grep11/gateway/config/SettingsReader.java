package dev.grep11.gateway.config;

import com.fasterxml.jackson.databind.JsonNode;
import dev.grep11.gateway.hsm.FileOwner;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;
import java.util.function.Supplier;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * Reads one mapping of the configuration file and collects everything that is wrong with it, so
 * that an operator mends a file once and not problem by problem. What is missing or wrong reads as
 * some harmless value; nobody sees it, because a file with a problem gives no configuration.
 */
final class SettingsReader {
  /**
   * Names below .invalid belong to nobody (RFC 6761, 6.4): docker/config has them as host names.
   */
  private static final Pattern PLACEHOLDER =
      Pattern.compile(
          "(?i).*(CHANGE[-_]?ME|REPLACE[-_]?ME|<[^<>]+>|\\$\\{[^}]*\\}|\\.invalid\\b).*");

  private static final String NO_LIST = "is not a list; write it as [FIRST, SECOND]";

  private final String prefix;
  private final @Nullable JsonNode mapping;
  private final Path base;
  private final List<String> problems;
  private final Set<String> asked = new TreeSet<>();
  private final List<SettingsReader> children = new ArrayList<>();

  private SettingsReader(
      String prefix, @Nullable JsonNode mapping, Path base, List<String> problems) {
    this.prefix = prefix;
    this.mapping = mapping;
    this.base = base;
    this.problems = problems;
    if (isOther()) {
      problem(null, "is not a mapping of settings; write each below it as NAME: VALUE");
    }
  }

  /** Something that is no mapping, of which nothing more is to be said than that. */
  private boolean isOther() {
    return mapping != null && !mapping.isObject();
  }

  /**
   * @param base directory that relative paths start from
   */
  static SettingsReader root(JsonNode mapping, Path base) {
    return new SettingsReader("", mapping, base, new ArrayList<>());
  }

  /** A mapping below this one; an absent one reads as empty. */
  SettingsReader section(String key) {
    var node = node(key);
    var child = new SettingsReader(name(key), node, base, problems);
    children.add(child);
    return child;
  }

  /** Mappings in a list; an absent list is empty. */
  List<SettingsReader> sections(String key) {
    var node = node(key);
    var found = new ArrayList<SettingsReader>();
    if (node != null && !node.isArray()) {
      problem(key, NO_LIST);
    } else if (node != null) {
      for (int i = 0; i < node.size(); i++) {
        found.add(new SettingsReader(name(key) + "[" + i + "]", node.get(i), base, problems));
      }
    }
    children.addAll(found);
    return found;
  }

  boolean has(String key) {
    return node(key) != null;
  }

  Optional<String> text(String key) {
    var node = node(key);
    if (node == null) {
      return Optional.empty();
    }
    if (!node.isValueNode() || !node.isTextual()) {
      problem(key, "is not a text (numbers and words like yes need quotes)");
      return Optional.empty();
    }
    var text = node.textValue();
    if (PLACEHOLDER.matcher(text).matches()) {
      problem(key, placeholder(text));
      return Optional.empty();
    }
    if (text.isBlank()) {
      problem(key, "is empty; give it a value");
      return Optional.empty();
    }
    return Optional.of(text);
  }

  private static String placeholder(String text) {
    return "still holds the placeholder \"" + text + "\"; put your own value in its place";
  }

  String requiredText(String key) {
    return required(key, text(key), "");
  }

  List<String> texts(String key) {
    var node = node(key);
    if (node == null) {
      return List.of();
    }
    var found = new ArrayList<String>();
    if (node.isArray()) {
      node.forEach(element -> found.add(element.asText()));
      found.stream()
          .filter(text -> PLACEHOLDER.matcher(text).matches())
          .forEach(text -> problem(key, placeholder(text)));
    } else {
      problem(key, NO_LIST);
    }
    return found;
  }

  Map<String, String> textByName(String key) {
    var found = new LinkedHashMap<String, String>();
    var node = node(key);
    if (node != null && !node.isObject()) {
      problem(key, "is not a mapping; write each below it as NAME: VALUE");
    } else if (node != null) {
      var section = section(key);
      for (var name : node.properties()) {
        section.text(name.getKey()).ifPresent(value -> found.put(name.getKey(), value));
      }
    }
    return found;
  }

  boolean flag(String key, boolean otherwise) {
    var node = node(key);
    if (node == null) {
      return otherwise;
    }
    if (!node.isBoolean()) {
      problem(key, "is neither true nor false");
      return otherwise;
    }
    return node.booleanValue();
  }

  int number(String key, int least, int most, int otherwise) {
    var node = node(key);
    if (node == null) {
      return otherwise;
    }
    if (!node.isInt() || node.intValue() < least || node.intValue() > most) {
      problem(key, "is not a whole number from " + least + " to " + most);
      return otherwise;
    }
    return node.intValue();
  }

  /** One of a closed set, written in lower case. */
  <E extends Enum<E>> E oneOf(String key, Class<E> set, E otherwise) {
    var text = text(key);
    if (text.isEmpty()) {
      return otherwise;
    }
    for (var constant : set.getEnumConstants()) {
      if (word(constant).equals(text.get())) {
        return constant;
      }
    }
    problem(
        key,
        "is \"%s\", not one of %s"
            .formatted(
                text.get(),
                Arrays.stream(set.getEnumConstants())
                    .map(SettingsReader::word)
                    .collect(Collectors.joining(", "))));
    return otherwise;
  }

  private static String word(Enum<?> constant) {
    return constant.name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  /** A file that must be there and readable. */
  Optional<Path> file(String key) {
    return path(key)
        .filter(file -> {
          var closed = FileOwner.closedDirectory(file);
          if (closed.isPresent()) {
            problem(key, closed.get());
            return false;
          }
          if (!Files.isRegularFile(file)) {
            problem(
                key,
                "%s is %s; put it there, or name another"
                    .formatted(file, Files.exists(file) ? "no regular file" : "not there"));
            return false;
          }
          if (!Files.isReadable(file)) {
            problem(key, FileOwner.unreadable(file));
            return false;
          }
          return true;
        });
  }

  Path requiredFile(String key) {
    return required(key, file(key), Path.of("absent"));
  }

  /** A file that only its owner, this process' user, may read. */
  Optional<Path> secretFile(String key) {
    return file(key)
        .filter(file -> {
          var problem = FileOwner.opennessOf(file);
          problem.ifPresent(what -> problem(key, what));
          return problem.isEmpty();
        });
  }

  Path requiredSecretFile(String key) {
    return required(key, secretFile(key), Path.of("absent"));
  }

  /** A path, which need not exist yet. */
  Optional<Path> path(String key) {
    return text(key).map(text -> base.resolve(text).normalize());
  }

  /** A directory to keep files in, or the place of one. */
  Path requiredDirectory(String key) {
    var directory = requiredPath(key);
    if (Files.exists(directory) && !Files.isDirectory(directory)) {
      problem(key, directory + " is no directory; name a directory, which need not exist yet");
      return directory;
    }
    told(key, FileOwner.closedDirectory(directory).or(() -> FileOwner.closedForWriting(directory)));
    return directory;
  }

  /** A file to write to, which need not exist yet. */
  Optional<Path> writtenFile(String key) {
    var file = path(key);
    told(key, file.flatMap(FileOwner::unwritable));
    return file;
  }

  private void told(String key, Optional<String> problem) {
    problem.ifPresent(what -> problem(key, what));
  }

  Path requiredPath(String key) {
    return required(key, path(key), Path.of("absent"));
  }

  Optional<UUID> uuid(String key) {
    return text(key)
        .flatMap(text -> {
          try {
            return Optional.of(UUID.fromString(text));
          } catch (IllegalArgumentException e) {
            problem(
                key,
                "\"%s\" is no UUID such as 0b5f1a6e-43c1-4f0e-9d6c-2f1b7a90c3de".formatted(text));
            return Optional.empty();
          }
        });
  }

  Optional<URI> uri(String key) {
    return text(key)
        .flatMap(text -> {
          try {
            return Optional.of(new URI(text));
          } catch (URISyntaxException e) {
            // Not quoted: a URL may have a password in it.
            problem(key, "is no URL such as https://HOST:PORT/PATH");
            return Optional.empty();
          }
        });
  }

  /** A value that checks itself. */
  <T> Optional<T> checked(String key, Supplier<T> value) {
    try {
      return Optional.of(value.get());
    } catch (IllegalArgumentException e) {
      problem(key.isEmpty() ? null : key, String.valueOf(e.getMessage()));
      return Optional.empty();
    }
  }

  void problem(@Nullable String key, String what) {
    problems.add(
        (key == null ? (prefix.isEmpty() ? "the file" : prefix) : name(key)) + ": " + what);
  }

  /** Everything wrong in this mapping and those below, unknown settings included. */
  List<String> problems() {
    reportUnknown();
    return List.copyOf(problems);
  }

  private void reportUnknown() {
    if (mapping != null && mapping.isObject()) {
      for (var property : mapping.properties()) {
        if (!asked.contains(property.getKey())) {
          problem(property.getKey(), "is not a setting; there are: " + String.join(", ", asked));
        }
      }
    }
    children.forEach(SettingsReader::reportUnknown);
  }

  /** Something must be there. */
  void require(String key) {
    if (node(key) == null && !isOther()) {
      problem(key, "is missing; docs/gateway.yaml says what it is");
    }
  }

  private <T> T required(String key, Optional<T> value, T otherwise) {
    if (value.isEmpty()) {
      require(key);
    }
    return value.orElse(otherwise);
  }

  private @Nullable JsonNode node(String key) {
    asked.add(key);
    var node = mapping == null ? null : mapping.get(key);
    return node == null || node.isNull() ? null : node;
  }

  private String name(String key) {
    return prefix.isEmpty() ? key : prefix + "." + key;
  }
}
