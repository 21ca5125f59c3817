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

  /** Those of all runs together. */
  Latencies latencies() {
    var all = new Latencies();
    samples.forEach(sample -> all.add(sample.latencies()));
    return all;
  }
}
