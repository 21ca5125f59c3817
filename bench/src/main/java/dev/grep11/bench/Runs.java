package dev.grep11.bench;

import java.util.ArrayList;
import java.util.List;

/** Repeated windows of one configuration, and what they have in the middle. */
final class Runs {
  private final List<Sample> samples = new ArrayList<>();

  void add(Sample sample) {
    samples.add(sample);
  }

  int size() {
    return samples.size();
  }

  /** The median of the rates; of an even number of runs the mean of the two in the middle. */
  double rate() {
    var rates = samples.stream().mapToDouble(Sample::rate).sorted().toArray();
    if (rates.length == 0) {
      throw new IllegalStateException("nothing was measured");
    }
    return (rates[(rates.length - 1) / 2] + rates[rates.length / 2]) / 2;
  }

  double slowest() {
    return samples.stream().mapToDouble(Sample::rate).min().orElseThrow();
  }

  double fastest() {
    return samples.stream().mapToDouble(Sample::rate).max().orElseThrow();
  }

  private long count() {
    return samples.stream().mapToLong(Sample::count).sum();
  }

  private Meter.Usage usage() {
    return samples.stream().map(Sample::usage).reduce(Meter.Usage.NONE, Meter.Usage::plus);
  }

  /** Microseconds of the measured process's processor time for one operation. */
  double peerMicroseconds() {
    return count() == 0 ? 0 : usage().peer() / 1e3 / count();
  }

  /** The same of this process: of the load generator, or of the token in process. */
  double ownMicroseconds() {
    return count() == 0 ? 0 : usage().own() / 1e3 / count();
  }

  /** Processors that everybody else used meanwhile, on average. */
  double others() {
    long nanos = samples.stream().mapToLong(Sample::nanos).sum();
    return nanos == 0 ? 0 : (double) usage().others() / nanos;
  }

  /** Those of all runs together. */
  Latencies latencies() {
    var all = new Latencies();
    samples.forEach(sample -> all.add(sample.latencies()));
    return all;
  }
}
