package dev.grep11.agent.config;

import java.nio.file.Path;
import java.util.List;

/** A configuration that cannot be used, with everything that is wrong with it. */
public final class ConfigException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final List<String> problems;

  ConfigException(Path file, List<String> problems) {
    super(file + ": " + String.join("; ", problems));
    this.problems = List.copyOf(problems);
  }

  /** Without a file: there is none. */
  ConfigException(String problem) {
    super(problem);
    this.problems = List.of(problem);
  }

  /** One for each key that is wrong. */
  public List<String> problems() {
    return problems;
  }
}
