package dev.grep11.demo;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** The openssl program, which knows nothing of us. */
final class Openssl {

  /** The command as a person would type it, and what openssl said. */
  record Outcome(String command, int exitCode, String output) {}

  /** Runs a command in a directory, where it leaves a file {@code output}. */
  static Outcome run(Path directory, String... arguments) throws IOException, InterruptedException {
    List<String> command = new ArrayList<>(List.of("openssl"));
    command.addAll(List.of(arguments));
    Path output = directory.resolve("output");
    Process process =
        new ProcessBuilder(command)
            .directory(directory.toFile())
            .redirectErrorStream(true)
            .redirectOutput(output.toFile())
            .start();
    if (!process.waitFor(10, TimeUnit.SECONDS)) {
      process.destroyForcibly();
      throw new IOException("openssl did not answer within 10 s");
    }
    String said = Files.readString(output, StandardCharsets.UTF_8).strip();
    return new Outcome(String.join(" ", command), process.exitValue(), said);
  }

  private Openssl() {}
}
