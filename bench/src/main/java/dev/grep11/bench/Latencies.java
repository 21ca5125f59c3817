package dev.grep11.bench;

import org.HdrHistogram.ConcurrentHistogram;
import org.HdrHistogram.Histogram;

/**
 * Durations in nanoseconds, up to a minute, to three significant digits. Any number of threads
 * record.
 */
final class Latencies {
  private static final long LONGEST = 60_000_000_000L;
  private static final int DIGITS = 3;

  private final Histogram histogram = new ConcurrentHistogram(LONGEST, DIGITS);

  /** Longer than a minute counts as a minute: an outlier is not to end the run. */
  void record(long nanos) {
    histogram.recordValue(Math.clamp(nanos, 0, LONGEST));
  }

  /** The same so many times. */
  void record(long nanos, long times) {
    histogram.recordValueWithCount(Math.clamp(nanos, 0, LONGEST), times);
  }

  /** Takes these in as well; nobody may be recording into them. */
  void add(Latencies others) {
    histogram.add(others.histogram);
  }

  long count() {
    return histogram.getTotalCount();
  }

  /** In microseconds; 0 where nothing was recorded. */
  double microseconds(double percentile) {
    return histogram.getTotalCount() == 0 ? 0 : histogram.getValueAtPercentile(percentile) / 1000.0;
  }

  /** p50_us and p99_us. */
  Line describe(Line line) {
    return line.with("p50_us", microseconds(50), 1).with("p99_us", microseconds(99), 1);
  }
}
