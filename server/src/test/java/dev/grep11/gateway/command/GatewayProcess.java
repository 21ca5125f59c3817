package dev.grep11.gateway.command;

import static java.util.stream.Collectors.joining;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.File;
import java.io.IOException;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/** The program as a process of its own, as the launcher starts it. */
public final class GatewayProcess implements AutoCloseable {
  private static final Duration PATIENCE = Duration.ofSeconds(60);

  private final Process process;
  private final Path stdout;
  private final Path stderr;

  private GatewayProcess(Process process, Path stdout, Path stderr) {
    this.process = process;
    this.stdout = stdout;
    this.stderr = stderr;
  }

  /**
   * Starts the program.
   *
   * @param output directory for what it prints
   */
  public static GatewayProcess start(Path output, String... arguments) throws IOException {
    return start(output, List.of(), arguments);
  }

  /** As {@link #start(Path, String...)}, with more options of the JVM. */
  static GatewayProcess start(Path output, List<String> options, String... arguments)
      throws IOException {
    // Tests have a logging configuration of their own.
    var classPath =
        Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
            .filter(entry -> !entry.contains("test-classes"))
            .collect(joining(File.pathSeparator));
    var command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "--sun-misc-unsafe-memory-access=allow",
                "-Dio.netty.noUnsafe=false",
                "-Djdk.tls.server.enableSessionTicketExtension=false",
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-cp",
                classPath));
    command.addAll(options);
    command.add(Main.class.getName());
    command.addAll(List.of(arguments));
    var stdout = Files.createTempFile(output, "stdout", "");
    var stderr = Files.createTempFile(output, "stderr", "");
    var process =
        new ProcessBuilder(command)
            .redirectOutput(stdout.toFile())
            .redirectError(stderr.toFile())
            .start();
    return new GatewayProcess(process, stdout, stderr);
  }

  /**
   * A base with three more free ports after it. They are below those that Linux hands out by
   * itself, from 32768 on, to clients and to listeners on port 0: one of those could take them
   * before the gateway does, or while it is restarted.
   */
  public static int freePorts() throws IOException {
    for (int attempt = 0; attempt < 50; attempt++) {
      // Either the same four as another process's choice or none of them.
      int base = 4 * ThreadLocalRandom.current().nextInt(12_000 / 4, 32_000 / 4);
      try (var _ = new ServerSocket(base);
          var _ = new ServerSocket(base + 1);
          var _ = new ServerSocket(base + 2);
          var _ = new ServerSocket(base + 3)) {
        return base;
      } catch (IOException e) {
        // One of them is taken.
      }
    }
    throw new IOException("no four ports are free");
  }

  /** What the ready line says, once it is there. */
  Map<String, String> awaitReady() {
    await().atMost(PATIENCE).until(() -> !process.isAlive() || stdout().contains("\n"));
    assertThat(stdout()).as("standard error: %s", stderr()).startsWith("ready ");
    var said = new TreeMap<String, String>();
    for (var word : stdout().lines().findFirst().orElseThrow().split(" ", -1)) {
      int equals = word.indexOf('=');
      if (equals > 0) {
        said.put(word.substring(0, equals), word.substring(equals + 1));
      }
    }
    return said;
  }

  long pid() {
    return process.pid();
  }

  boolean alive() {
    return process.isAlive();
  }

  void terminate() {
    process.destroy();
  }

  public void kill() {
    process.destroyForcibly().onExit().join();
  }

  /** Whether it ends by itself within the time. */
  public boolean endsWithin(Duration time) throws InterruptedException {
    return process.waitFor(time.toMillis(), TimeUnit.MILLISECONDS);
  }

  public int awaitExit() throws InterruptedException {
    assertThat(process.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS)).isTrue();
    return process.exitValue();
  }

  public String stdout() {
    return read(stdout);
  }

  public String stderr() {
    return read(stderr);
  }

  private static String read(Path file) {
    try {
      return Files.readString(file);
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  @Override
  public void close() {
    kill();
  }
}
