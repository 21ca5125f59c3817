package dev.grep11.bench;

import java.util.ArrayList;
import java.util.List;

/**
 * A straight line through the readings of a process' memory, by least squares.
 *
 * <p>Readings a second apart say nearly the same thing twice, which would make the error look
 * smaller than it is: the line goes through means of a quarter of a minute.
 *
 * @param slope MiB a minute
 * @param error its standard error, in the same unit
 */
record Trend(double slope, double error) {
  private static final double MIB = 1 << 20;
  private static final double MINUTE = 60e9;
  private static final int READINGS_A_MEAN = 15;
  private static final int FEWEST_MEANS = 4;

  /**
   * @throws BenchException with readings of less than a minute, which would pass any bound
   */
  static Trend of(List<ProcessWatch.Reading> readings) {
    var means = means(readings);
    int count = means.size();
    if (count < FEWEST_MEANS) {
      throw new BenchException("the process was watched for too short a time to see a slope");
    }
    double time = means.stream().mapToDouble(Mean::minutes).average().orElseThrow();
    double size = means.stream().mapToDouble(Mean::mebibytes).average().orElseThrow();
    double spread = 0;
    double product = 0;
    for (var mean : means) {
      spread += square(mean.minutes() - time);
      product += (mean.minutes() - time) * (mean.mebibytes() - size);
    }
    double slope = product / spread;
    double rest = 0;
    for (var mean : means) {
      rest += square(mean.mebibytes() - size - slope * (mean.minutes() - time));
    }
    return new Trend(slope, Math.sqrt(rest / (count - 2) / spread));
  }

  private record Mean(double minutes, double mebibytes) {}

  private static List<Mean> means(List<ProcessWatch.Reading> readings) {
    var means = new ArrayList<Mean>();
    for (int i = 0; i + READINGS_A_MEAN <= readings.size(); i += READINGS_A_MEAN) {
      var part = readings.subList(i, i + READINGS_A_MEAN);
      means.add(
          new Mean(
              part.stream().mapToDouble(r -> r.nanos() / MINUTE).average().orElseThrow(),
              part.stream().mapToDouble(r -> r.bytes() / MIB).average().orElseThrow()));
    }
    return means;
  }

  private static double square(double value) {
    return value * value;
  }

  /** Whether it rises by more than the bound, beyond what its error could make of less. */
  boolean exceeds(double bound) {
    return slope - 2 * error > bound;
  }
}
