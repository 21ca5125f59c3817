package dev.grep11.bench.jmh;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.reflect.Method;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.VerboseMode;

class BenchmarksTest {
  private static final Class<?>[] ALL = {
    CodecBenchmark.class, RouteBenchmark.class, TokenBenchmark.class
  };

  /** A figure of one run in this process would mean nothing; that it ends is all that is asked. */
  @Test
  void everyBenchmarkRuns() throws RunnerException {
    System.setProperty("jmh.ignoreLock", "true");
    var results =
        new Runner(
                InTheSmall.options(".")
                    .forks(0)
                    .mode(Mode.SingleShotTime)
                    .warmupIterations(0)
                    .measurementIterations(1)
                    .verbosity(VerboseMode.SILENT)
                    .build())
            .run();

    var written =
        Stream.of(ALL)
            .flatMap(type -> Arrays.stream(type.getDeclaredMethods()))
            .filter(method -> method.isAnnotationPresent(Benchmark.class))
            .map(Method::getName);
    assertThat(results)
        .extracting(result -> result.getPrimaryResult().getLabel())
        .containsExactlyInAnyOrderElementsOf(written.toList());
  }
}
