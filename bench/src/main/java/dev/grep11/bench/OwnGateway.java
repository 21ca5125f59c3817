package dev.grep11.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * A demo gateway that this process starts and stops, where starting is a part of what is measured.
 */
final class OwnGateway implements AutoCloseable {
  private static final Pattern VARIABLE = Pattern.compile("export (\\w+)='(.*)'");

  private final LauncherProcess process;
  private final Map<String, String> environment;

  private OwnGateway(LauncherProcess process, Map<String, String> environment) {
    this.process = process;
    this.environment = environment;
  }

  /**
   * Starts the gateway of a directory, which is made where there is none.
   *
   * @param launcher the program grep11
   * @param javaOptions separated by spaces, in addition to the launcher's
   */
  static OwnGateway start(Path launcher, Path data, String javaOptions) {
    var command =
        new ProcessBuilder(
            launcher.toString(), "up", "--data", data.toString(), "--port-base", "0");
    // Beside those that this program was given, which are to be measured perhaps.
    command
        .environment()
        .merge("GREP11_JAVA_OPTS", javaOptions, (given, more) -> given + " " + more);
    var process =
        LauncherProcess.start(
            "the gateway", command, data.resolveSibling(data.getFileName() + ".log"));
    try {
      return new OwnGateway(process, variables(Path.of(process.said("env"))));
    } catch (IOException e) {
      process.close();
      throw new BenchException("the gateway's env file: " + e.getMessage(), e);
    }
  }

  private static Map<String, String> variables(Path file) throws IOException {
    var variables = new HashMap<String, String>();
    for (var line : Files.readAllLines(file)) {
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
    return process.start();
  }

  long pid() {
    return process.pid();
  }

  @Override
  public void close() {
    process.close();
  }
}
