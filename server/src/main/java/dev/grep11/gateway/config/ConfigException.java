package dev.grep11.gateway.config;

import java.util.List;

/** A configuration that cannot be used; the message lists everything that is wrong with it. */
public final class ConfigException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final String[] problems;

  ConfigException(String file, List<String> problems) {
    super(
        problems.size() == 1
            ? file + ": " + problems.getFirst()
            : "%s has %d problems:%n  %s"
                .formatted(
                    file, problems.size(), String.join(System.lineSeparator() + "  ", problems)));
    this.problems = problems.toArray(String[]::new);
  }

  /** Everything that is wrong, without the file's name. */
  public List<String> problems() {
    return List.of(problems);
  }
}
