package dev.grep11.bench;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** What the launcher runs until it is stopped: it prints a line when it is ready. */
final class LauncherProcess implements AutoCloseable {
  private static final String READY = "ready ";
  private static final int LONGEST_STOP_SECONDS = 30;

  private final Process process;
  private final String ready;
  private final Duration start;

  private LauncherProcess(Process process, String ready, Duration start) {
    this.process = process;
    this.ready = ready;
    this.start = start;
  }

  /**
   * Starts it and waits for the line.
   *
   * @param name of what is started, for people
   * @param log where its standard error goes
   * @throws BenchException when it ends without the line, with what it said
   */
  static LauncherProcess start(String name, ProcessBuilder command, Path log) {
    try {
      long began = System.nanoTime();
      var process = command.redirectError(log.toFile()).start();
      var lines =
          new BufferedReader(
              new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
      for (var line = lines.readLine(); line != null; line = lines.readLine()) {
        if (line.startsWith(READY)) {
          return new LauncherProcess(process, line, Duration.ofNanos(System.nanoTime() - began));
        }
      }
      throw new BenchException(name + " did not start: " + Files.readString(log).strip());
    } catch (IOException e) {
      throw new BenchException(name + " did not start: " + e.getMessage(), e);
    }
  }

  /** The value of {@code name=value} in the line, without spaces. */
  String said(String name) {
    return ready.replaceFirst(".* " + name + "=(\\S+).*", "$1");
  }

  /** From the launcher's start to the line. */
  Duration start() {
    return start;
  }

  long pid() {
    return process.pid();
  }

  @Override
  public void close() {
    process.destroy();
    try {
      if (!process.waitFor(LONGEST_STOP_SECONDS, TimeUnit.SECONDS)) {
        process.destroyForcibly();
      }
    } catch (InterruptedException e) {
      process.destroyForcibly();
      Thread.currentThread().interrupt();
    }
  }
}
