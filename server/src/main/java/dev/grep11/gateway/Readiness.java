package dev.grep11.gateway;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.BooleanSupplier;

/** What has to hold for calls to be served, each with what is the matter when it does not. */
final class Readiness {
  private record Condition(BooleanSupplier holds, String otherwise) {}

  private final Map<String, Condition> conditions = new LinkedHashMap<>();

  /**
   * Adds a condition.
   *
   * @param name one word, for machines
   * @param otherwise for the operator: what is the matter, without what only insiders may know
   */
  Readiness when(String name, BooleanSupplier holds, String otherwise) {
    conditions.put(name, new Condition(holds, otherwise));
    return this;
  }

  /** What does not hold, by name; empty when all does. */
  Map<String, String> missing() {
    var missing = new LinkedHashMap<String, String>();
    conditions.forEach((name, condition) -> {
      if (!condition.holds().getAsBoolean()) {
        missing.put(name, condition.otherwise());
      }
    });
    return missing;
  }
}
