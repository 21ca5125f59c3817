package dev.grep11.gateway.command;

import java.io.PrintWriter;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;

/** What picocli gives a command before it runs. */
final class Commands {
  /** A supervisor must not repeat what ends with it. Named in the unit for systemd, too. */
  static final int PIN_REFUSED = 3;

  /** The end of the list of exit codes of a command that logs in to the token. */
  static final String OR_PIN_REFUSED = ", 2 wrong use, " + PIN_REFUSED + " the PIN is refused.";

  static final String EXIT_CODES = "Exit codes: 0 done, 1 refused or failed" + OR_PIN_REFUSED;

  private Commands() {}

  static PrintWriter err(@Nullable CommandSpec spec) {
    if (spec == null) {
      throw new IllegalStateException("picocli sets it");
    }
    return spec.commandLine().getErr();
  }

  static PrintWriter out(@Nullable CommandSpec spec) {
    if (spec == null) {
      throw new IllegalStateException("picocli sets it");
    }
    return spec.commandLine().getOut();
  }
}
