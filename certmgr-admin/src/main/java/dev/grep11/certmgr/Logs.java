package dev.grep11.certmgr;

import java.util.logging.Level;
import java.util.logging.Logger;

/** The libraries' own warnings, which would stand beside the one line that says why. */
final class Logs {
  /** The log manager itself forgets loggers that nobody holds. */
  private static final Logger GRPC = Logger.getLogger("io.grpc");

  static void silence() {
    GRPC.setLevel(Level.OFF);
  }

  private Logs() {}
}
