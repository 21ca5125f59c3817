package dev.grep11.bench;

import java.util.Locale;

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

  private static final int TOTAL;

  static {
    int sum = 0;
    for (var step : values()) {
      sum += step.weight;
    }
    TOTAL = sum;
  }

  private final int weight;

  Step(int weight) {
    this.weight = weight;
  }

  /**
   * @param draw from 0 to less than 1
   */
  static Step drawn(double draw) {
    double rest = draw * TOTAL;
    for (var step : values()) {
      rest -= step.weight;
      if (rest < 0) {
        return step;
      }
    }
    throw new IllegalArgumentException("draw " + draw);
  }

  String label() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }
}
