package dev.grep11.bench;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;

/**
 * A demo gateway that this process starts and stops, where starting is a part of what is measured.
 */
final class OwnGateway implements AutoCloseable {
  private static final Pattern VARIABLE = Pattern.compile("export (\\w+)='(.*)'");
  private static final int LONGEST_STOP_SECONDS = 30;

  private final Process process;
  private final Map<String, String> environment;
  private final Duration start;

  private OwnGateway(Process process, Map<String, String> environment, Duration start) {
    this.process = process;
    this.environment = environment;
    this.start = start;
  }

  /**
   * Starts the gateway of a directory, which is made where there is none.
   *
   * @param launcher the program grep11
   * @param javaOptions separated by spaces, in addition to the launcher's
   */
  static OwnGateway start(Path launcher, Path data, String javaOptions) {
    try {
      var log = data.resolveSibling(data.getFileName() + ".log");
      var builder =
          new ProcessBuilder(
                  launcher.toString(), "up", "--data", data.toString(), "--port-base", "0")
              .redirectError(log.toFile());
      // Beside those that this program was given, which are to be measured perhaps.
      builder
          .environment()
          .merge("GREP11_JAVA_OPTS", javaOptions, (given, more) -> given + " " + more);
      long began = System.nanoTime();
      var process = builder.start();
      var lines =
          new BufferedReader(
              new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
      for (var line = lines.readLine(); line != null; line = lines.readLine()) {
        if (line.startsWith("ready ")) {
          var took = Duration.ofNanos(System.nanoTime() - began);
          return new OwnGateway(process, variables(line), took);
        }
      }
      throw new BenchException("the gateway did not start: " + Files.readString(log).strip());
    } catch (IOException e) {
      throw new BenchException("the gateway did not start: " + e.getMessage(), e);
    }
  }

  private static Map<String, String> variables(String ready) throws IOException {
    var file = ready.replaceFirst(".* env=(\\S+).*", "$1");
    var variables = new HashMap<String, String>();
    for (var line : Files.readAllLines(Path.of(file))) {
      var found = VARIABLE.matcher(line);
      if (found.matches()) {
        variables.put(found.group(1), found.group(2));
      }
    }
    return variables;
  }

  /** As the env file of the gateway says. */
  Map<String, String> environment() {
    return environment;
  }

  /** From the launcher's start to the line that says ready. */
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
