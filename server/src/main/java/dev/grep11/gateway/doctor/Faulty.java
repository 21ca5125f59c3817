package dev.grep11.gateway.doctor;

import java.util.List;

/**
 * The settings that the configuration has wrong, so that what follows from them is not told twice.
 *
 * @param problems each begins with the name of its setting and a colon
 */
record Faulty(List<String> problems) {
  Faulty {
    problems = List.copyOf(problems);
  }

  /** Whether this setting is wrong, or one below or above it. */
  boolean concern(String setting) {
    return problems.stream()
        .map(problem -> problem.split("[:\\[]", 2)[0])
        .anyMatch(wrong ->
            wrong.equals(setting)
                || wrong.startsWith(setting + ".")
                || setting.startsWith(wrong + "."));
  }
}
