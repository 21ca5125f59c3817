package dev.grep11.certmgr;

import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.InstantSource;
import java.util.Arrays;
import java.util.Map;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * What the program has around it: environment, standard input and output, terminal and clock.
 *
 * @param name under which it was called
 * @param terminal asks with a prompt and without echo; null where nobody sits there
 */
record Surroundings(
    String name,
    Map<String, String> variables,
    InputStream in,
    PrintWriter out,
    PrintWriter err,
    @Nullable Function<String, char @Nullable []> terminal,
    InstantSource clock) {
  private static final int MAX_SECRET_BYTES = 4096;

  /** An environment variable that is set to something. */
  @Nullable String variable(String variable) {
    var value = variables.get(variable);
    return value == null || value.isBlank() ? null : value.strip();
  }

  /** {@code ~}: a JVM's own idea of it ignores $HOME. */
  Path home() {
    var home = variable("HOME");
    return Path.of(home == null ? System.getProperty("user.home") : home);
  }

  /**
   * The first line of a file, or of standard input.
   *
   * @param file {@code -} for standard input
   * @param what for the messages
   */
  char[] secretLine(String file, String what) {
    byte[] content;
    try {
      if (file.equals("-")) {
        content = in.readNBytes(MAX_SECRET_BYTES);
      } else {
        try (var stream = Files.newInputStream(Path.of(file))) {
          content = stream.readNBytes(MAX_SECRET_BYTES);
        }
      }
    } catch (NoSuchFileException e) {
      throw new CommandFailure("%s file %s: no such file".formatted(what, file), e);
    } catch (IOException e) {
      throw new CommandFailure(
          "%s file %s: cannot be read: %s".formatted(what, file, e.getMessage()), e);
    }
    int end = 0;
    while (end < content.length && content[end] != '\n' && content[end] != '\r') {
      end++;
    }
    var decoded = StandardCharsets.UTF_8.decode(java.nio.ByteBuffer.wrap(content, 0, end));
    char[] line = new char[decoded.remaining()];
    decoded.get(line);
    Arrays.fill(decoded.array(), '\0');
    Arrays.fill(content, (byte) 0);
    if (line.length == 0) {
      throw new CommandFailure(
          "the first line of %s is empty, where the %s was expected"
              .formatted(file.equals("-") ? "standard input" : file, what));
    }
    return line;
  }

  @Override
  public String toString() {
    // The environment may hold an API key.
    return "Surroundings[" + name + "]";
  }
}
