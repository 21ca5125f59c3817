package dev.grep11.bench;

import java.util.Locale;
import java.util.Set;

/** The calls of a mixed load, and how often each is drawn out of a hundred. */
enum Step {
  GENERATE_AES(6),
  GENERATE_EC(2),
  SIGN(20),
  VERIFY(14),
  ENCRYPT(14),
  DECRYPT(14),
  WRAP(5),
  UNWRAP(5),
  DERIVE(4),
  DIGEST(6),
  RANDOM(6),
  ATTRIBUTES(4);

  private final int weight;

  Step(int weight) {
    this.weight = weight;
  }

  static Step named(String label) {
    for (var step : values()) {
      if (step.label().equals(label)) {
        return step;
      }
    }
    throw new IllegalArgumentException("no step " + label);
  }

  /**
   * @param draw from 0 to less than 1
   */
  static Step drawn(Set<Step> steps, double draw) {
    double rest = draw * steps.stream().mapToInt(step -> step.weight).sum();
    for (var step : steps) {
      rest -= step.weight;
      if (rest < 0) {
        return step;
      }
    }
    throw new IllegalArgumentException("draw " + draw + " of " + steps);
  }

  String label() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }
}
