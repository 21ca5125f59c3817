package dev.grep11.bench;

/**
 * What one window of measuring gave.
 *
 * @param count operations that finished within it
 * @param nanos its length
 * @param usage processor time within it
 */
record Sample(long count, long nanos, Latencies latencies, Meter.Usage usage) {
  Sample {
    if (count < 0 || nanos <= 0) {
      throw new IllegalArgumentException(count + " operations in " + nanos + " ns");
    }
  }

  /** Operations per second. */
  double rate() {
    return count * 1e9 / nanos;
  }
}
