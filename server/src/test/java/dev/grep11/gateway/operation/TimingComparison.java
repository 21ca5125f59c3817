package dev.grep11.gateway.operation;

import static java.util.Arrays.stream;

import java.util.Arrays;
import java.util.Random;
import java.util.stream.DoubleStream;

/**
 * Whether one of two calls takes longer than the other, on a machine that does other things as
 * well.
 *
 * <p>Statistic: both calls run once in every pair, in an order drawn for the pair, so that whatever
 * disturbs the machine for longer than a pair disturbs both. Of the differences of the pairs the
 * mean without the lowest and the highest 20 % is taken, and Yuen's one-sample t of it (standard
 * error from the winsorized variance), which a few interrupted calls do not move. The calls differ
 * when |t| exceeds {@value #CRITICAL_T} (dudect's threshold; by chance once in 150,000 comparisons)
 * and the mean difference exceeds the effect bound.
 */
final class TimingComparison {
  static final double CRITICAL_T = 4.5;
  private static final double TRIMMED = 0.2;

  private TimingComparison() {}

  /**
   * @param micros trimmed mean of second minus first
   * @param error its standard error in microseconds
   */
  record Result(int pairs, double micros, double error) {
    double t() {
      return micros / error;
    }

    boolean differs(double boundMicros) {
      return Math.abs(t()) > CRITICAL_T && Math.abs(micros) > boundMicros;
    }

    @Override
    public String toString() {
      return "%+.2f us, standard error %.2f us, %d pairs".formatted(micros, error, pairs);
    }
  }

  /**
   * Compares until the standard error is small enough, which a noisy machine needs more pairs for.
   * When to stop depends on the noise and not on the difference, so it favours neither verdict.
   *
   * @param pairs how many there are in each round
   * @param most pairs, after which the error is what it is
   */
  static Result compare(
      int pairs, int most, double errorMicros, long seed, Runnable first, Runnable second) {
    var random = new Random(seed);
    // The just-in-time compiler's turn.
    round(pairs, random, first, second);
    var differences = round(pairs, random, first, second);
    while (differences.length < most && yuen(differences).error() > errorMicros) {
      var more = round(pairs, random, first, second);
      differences = DoubleStream.concat(stream(differences), stream(more)).toArray();
    }
    return yuen(differences);
  }

  private static double[] round(int pairs, Random random, Runnable first, Runnable second) {
    var differences = new double[pairs];
    for (int i = 0; i < pairs; i++) {
      boolean swapped = random.nextBoolean();
      long one = nanos(swapped ? second : first);
      long other = nanos(swapped ? first : second);
      differences[i] = (swapped ? one - other : other - one) / 1e3;
    }
    return differences;
  }

  private static long nanos(Runnable call) {
    long begin = System.nanoTime();
    call.run();
    return System.nanoTime() - begin;
  }

  /** Yuen 1974: the t of a trimmed mean. */
  static Result yuen(double[] differences) {
    var sorted = differences.clone();
    Arrays.sort(sorted);
    int n = sorted.length;
    int cut = (int) (TRIMMED * n);
    double mean = stream(sorted, cut, n - cut).average().orElseThrow();
    Arrays.fill(sorted, 0, cut, sorted[cut]);
    Arrays.fill(sorted, n - cut, n, sorted[n - cut - 1]);
    double winsorized = stream(sorted).average().orElseThrow();
    double squares = stream(sorted).map(x -> (x - winsorized) * (x - winsorized)).sum();
    double error = Math.sqrt(squares / (n - 1)) / ((1 - 2 * TRIMMED) * Math.sqrt(n));
    return new Result(n, mean, error);
  }
}
