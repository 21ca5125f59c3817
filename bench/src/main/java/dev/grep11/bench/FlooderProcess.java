package dev.grep11.bench;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintWriter;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * A {@link Flooder} in a process of its own, as in life: in ours it would slow the honest client
 * down before a call has reached the gateway. It runs with low priority, since the machine it
 * stands for would not take the gateway's processors.
 */
final class FlooderProcess implements AutoCloseable {
  private static final String NICE = "10";

  private final Process process;
  private final BufferedReader answers;
  private final PrintWriter orders;
  private long served;
  private long refused;

  /** Starts it and waits until its calls are prepared. */
  FlooderProcess(Flooder.Kind kind, int pool, int inFlight) {
    var command = new ArrayList<>(List.of("nice", "-n", NICE));
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(ManagementFactory.getRuntimeMXBean().getInputArguments());
    command.addAll(List.of("-cp", System.getProperty("java.class.path")));
    command.addAll(
        List.of(
            Flooder.class.getName(),
            kind.name(),
            String.format(Locale.ROOT, "%d", pool),
            String.format(Locale.ROOT, "%d", inFlight)));
    try {
      process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    } catch (IOException e) {
      throw new BenchException("the flooder does not start", e);
    }
    answers = process.inputReader(UTF_8);
    orders = new PrintWriter(process.outputWriter(UTF_8), true);
    answer();
  }

  /** Floods while the work runs. */
  <T> T during(Supplier<T> work) {
    orders.println("start");
    T result;
    try {
      result = work.get();
    } finally {
      orders.println("stop");
    }
    var counts = answer().split(" ", -1);
    served = Long.parseLong(counts[0]);
    refused = Long.parseLong(counts[1]);
    return result;
  }

  private String answer() {
    try {
      var line = answers.readLine();
      if (line == null) {
        throw new BenchException("the flooder has ended");
      }
      return line;
    } catch (IOException e) {
      throw new BenchException("the flooder does not answer", e);
    }
  }

  /** Calls answered with what they asked for. */
  long served() {
    return served;
  }

  /** Calls answered with a refusal, which costs the gateway too. */
  long refused() {
    return refused;
  }

  @Override
  public void close() {
    orders.close();
    try {
      if (!process.waitFor(10, TimeUnit.SECONDS)) {
        process.destroyForcibly();
      }
    } catch (InterruptedException e) {
      process.destroyForcibly();
      Thread.currentThread().interrupt();
    }
  }
}
