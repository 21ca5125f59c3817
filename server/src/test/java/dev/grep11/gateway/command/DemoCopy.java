package dev.grep11.gateway.command;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;

/**
 * A second demo gateway from a first one, which takes milliseconds where making one takes seconds.
 */
public final class DemoCopy {
  private DemoCopy() {}

  /** As it is, so that the copy still names the token of the original. */
  static void plain(Path from, Path to) throws IOException {
    try (var all = Files.walk(from)) {
      for (var each : all.toList()) {
        Files.copy(
            each, to.resolve(from.relativize(each).toString()), StandardCopyOption.COPY_ATTRIBUTES);
      }
    }
  }

  /** With a token of its own. */
  public static void withItsToken(Path from, Path to) throws IOException {
    plain(from, to);
    for (var named : List.of(to.resolve("token/softhsm2.conf"), DemoData.config(to))) {
      Files.writeString(
          named,
          Files.readString(named)
              .replace(from.resolve("token").toString(), to.resolve("token").toString()));
    }
  }
}
