package dev.grep11.bench.jmh;

import dev.grep11.bench.Commands;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.profile.GCProfiler;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.ChainedOptionsBuilder;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import picocli.CommandLine.Command;
import picocli.CommandLine.ExitCode;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Runs the benchmarks of this package by JMH, each in a process of its own. */
@Command(
    name = "bench --jmh",
    mixinStandardHelpOptions = true,
    description = "Time and heap of parts of a call, by JMH.")
public final class InTheSmall implements Callable<Integer> {
  private static final TimeValue ITERATION = TimeValue.seconds(1);

  @Parameters(arity = "0..1", paramLabel = "REGEX", description = "only those whose name matches")
  private Optional<String> chosen = Optional.empty();

  @Spec private CommandSpec spec = CommandSpec.create();

  public static void main(String... arguments) {
    // Its lock file would stay in the directory for temporary files.
    System.setProperty("jmh.ignoreLock", "true");
    Commands.run(new InTheSmall(), arguments);
  }

  /**
   * Benchmarks whose name matches, with heap allocation beside time.
   *
   * @param regex of a part of the name of class and method
   */
  static ChainedOptionsBuilder options(String regex) {
    return new OptionsBuilder()
        .include("dev\\.grep11\\.bench\\.jmh\\..*(" + regex + ")")
        .timeUnit(TimeUnit.MICROSECONDS)
        .addProfiler(GCProfiler.class)
        .shouldFailOnError(true);
  }

  @Override
  public Integer call() throws RunnerException {
    var found =
        new Runner(
                options(chosen.orElse("."))
                    .mode(Mode.AverageTime)
                    .forks(2)
                    .warmupIterations(3)
                    .warmupTime(ITERATION)
                    .measurementIterations(4)
                    .measurementTime(ITERATION)
                    .build())
            .run();
    if (found.isEmpty()) {
      throw new ParameterException(
          spec.commandLine(), "no benchmark has a name that matches " + chosen.orElse("."));
    }
    return ExitCode.OK;
  }
}
