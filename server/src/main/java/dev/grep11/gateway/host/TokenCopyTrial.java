package dev.grep11.gateway.host;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.grep11.gateway.config.GatewayConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/**
 * Tries a backup in a process of its own, on the token that {@code SOFTHSM2_CONF} names, and leaves
 * the answer in a file. It is started by {@link TokenCopy}.
 */
public final class TokenCopyTrial {
  /** What the answer begins with; anything else is why not. */
  static final String GOOD = "good ";

  private TokenCopyTrial() {}

  /**
   * Tries it, and ends the process.
   *
   * @param arguments the gateway's settings, the backup, a scratch directory, and the file of the
   *     answer
   */
  public static void main(String[] arguments) throws IOException {
    String answer;
    try {
      // The settings may name the live token, and would come before the process's own variable.
      var settings = Optional.ofNullable(System.getenv(TokenCopy.SETTINGS)).orElseThrow();
      var config =
          GatewayConfig.read(
              Path.of(arguments[0]), Map.of("/hsm/environment/" + TokenCopy.SETTINGS, settings));
      try (var hsm = Host.openToken(config)) {
        answer =
            GOOD + Backups.rehearseOn(hsm, config, Path.of(arguments[1]), Path.of(arguments[2]));
      }
    } catch (RuntimeException e) {
      answer = String.valueOf(e.getMessage());
    }
    Files.writeString(Path.of(arguments[3]), answer, UTF_8);
    System.exit(0);
  }
}
