package dev.grep11.bench;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/**
 * A C program that uses a PKCS #11 module as applications do, and measures it: {@code drive.c}. It
 * stays between the windows, logged in and with its key.
 */
final class Driver implements AutoCloseable {
  private final Process process;
  private final BufferedReader answers;
  private final PrintWriter commands;
  private final Path log;
  private final List<Long> servers;

  private Driver(Process process, Path log, List<Long> servers) {
    this.process = process;
    this.log = log;
    this.servers = List.copyOf(servers);
    this.answers =
        new BufferedReader(
            new InputStreamReader(process.getInputStream(), StandardCharsets.US_ASCII));
    this.commands = new PrintWriter(process.getOutputStream(), false, StandardCharsets.UTF_8);
  }

  /**
   * A token by a module.
   *
   * @param label of the token; empty for the first one
   * @param pin of its user
   * @param environment that the module looks at
   * @param servers processes that do the module's work
   */
  record Door(
      Path module,
      Optional<String> label,
      String pin,
      Map<String, String> environment,
      List<Long> servers) {
    @Override
    public String toString() {
      return module.toString();
    }
  }

  /**
   * @param program what {@code drive.c} was compiled to
   * @throws BenchException when the token cannot be used, with what the program said
   */
  static Driver start(Path program, Door door) {
    var command = new ArrayList<>(List.of(program.toString(), door.module().toString()));
    door.label().ifPresent(command::add);
    try {
      var log = Files.createTempFile("grep11-drive-", ".log");
      var builder = new ProcessBuilder(command).redirectError(log.toFile());
      builder.environment().putAll(door.environment());
      var driver = new Driver(builder.start(), log, door.servers());
      try {
        // Not as an argument, where others could read it.
        driver.ask(door.pin(), "ready");
      } catch (BenchException e) {
        driver.close();
        throw e;
      }
      return driver;
    } catch (IOException e) {
      throw new BenchException(program + " does not start: " + e.getMessage(), e);
    }
  }

  /** One window of signatures; see {@code drive.c} for what counts. */
  Sample measure(int threads, Duration warmUp, Duration window) {
    long pid = process.pid();
    var before = Meter.of(pid, servers);
    var line =
        ask("%d %d %d".formatted(threads, warmUp.toMillis(), window.toMillis()), "").split(" ", -1);
    var whole = Meter.of(pid, servers).since(before);
    long count = Long.parseLong(line[0]);
    var latencies = new Latencies();
    for (int i = 3; i < line.length; i++) {
      var pair = line[i].split(":", -1);
      latencies.record(Long.parseLong(pair[0]), Long.parseLong(pair[1]));
    }
    // The processes' own times are read from outside, and so with those of the warm-up.
    double share = (double) window.toNanos() / warmUp.plus(window).toNanos();
    return new Sample(
        count,
        Long.parseLong(line[1]),
        latencies,
        new Meter.Usage(
            Long.parseLong(line[2]),
            Math.round(share * whole.peer()),
            Math.round(share * whole.others())));
  }

  private String ask(String command, String expected) {
    commands.println(command);
    commands.flush();
    try {
      var answer = answers.readLine();
      if (answer == null || !answer.startsWith(expected)) {
        throw new BenchException("drive: " + Files.readString(log).strip());
      }
      return answer;
    } catch (IOException e) {
      throw new BenchException("drive does not answer: " + e.getMessage(), e);
    }
  }

  @Override
  public void close() {
    commands.close();
    try {
      if (!process.waitFor(5, TimeUnit.SECONDS)) {
        process.destroyForcibly();
      }
      Files.deleteIfExists(log);
    } catch (IOException e) {
      System.err.println("bench: " + log + " is left behind: " + e.getMessage());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
