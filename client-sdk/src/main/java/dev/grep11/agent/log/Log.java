package dev.grep11.agent.log;

import dev.grep11.agent.config.ClientConfig.LogLevel;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Locale;

/**
 * The agent's log, one line for each event. What an event says is written by the one who knows that
 * it holds no secret: no PIN, password, token, key value or payload is ever passed to it.
 */
public final class Log {
  private final PrintStream out;
  private final LogLevel level;

  public Log(PrintStream out, LogLevel level) {
    this.out = out;
    this.level = level;
  }

  /** Appends to a file, which is made for its owner alone. */
  public static Log to(Path file, LogLevel level) throws IOException {
    if (!Files.exists(file)) {
      Files.createFile(
          file, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
    }
    return new Log(
        new PrintStream(
            Files.newOutputStream(file, StandardOpenOption.APPEND), true, StandardCharsets.UTF_8),
        level);
  }

  public void error(String message) {
    write(LogLevel.ERROR, message);
  }

  public void warning(String message) {
    write(LogLevel.WARNING, message);
  }

  public void info(String message) {
    write(LogLevel.INFO, message);
  }

  public void debug(String message) {
    write(LogLevel.DEBUG, message);
  }

  public void trace(String message) {
    write(LogLevel.TRACE, message);
  }

  public boolean isOn(LogLevel wanted) {
    return wanted.compareTo(level) <= 0;
  }

  private void write(LogLevel of, String message) {
    if (isOn(of)) {
      // One event is one line, whatever a peer made part of it.
      out.println(
          "%s %s %s"
              .formatted(
                  Instant.now().truncatedTo(ChronoUnit.MILLIS),
                  of.name().toLowerCase(Locale.ROOT),
                  message.replaceAll("\\p{Cntrl}", " ")));
    }
  }
}
