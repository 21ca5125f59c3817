package dev.grep11.agent.config;

import java.net.URI;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;

/**
 * A {@code grep11client.yaml} that was read and checked.
 *
 * @param file where it was
 * @param tokens by slot number, in that order
 * @param logLevel from {@code logging.loglevel}
 * @param logFile from {@code logging.logpath}; without it the log goes to standard error
 * @param warnings what works and should not stay so, each naming its key
 */
public record ClientConfig(
    Path file,
    Map<Long, Token> tokens,
    LogLevel logLevel,
    Optional<Path> logFile,
    List<String> warnings) {

  /** {@code logging.loglevel}, from few lines to many. */
  public enum LogLevel {
    PANIC,
    FATAL,
    ERROR,
    WARNING,
    INFO,
    DEBUG,
    TRACE
  }

  /** {@code tokens.SLOT}. */
  public record Token(
      long slot,
      Connection connection,
      Storage storage,
      User officer,
      User normal,
      User anonymous) {

    /** {@code host:port}. */
    public String address() {
      return connection.host() + ":" + connection.port();
    }
  }

  /**
   * {@code grep11connection}. TLS is always on.
   *
   * @param ca as configured
   */
  public record Connection(
      String host,
      int port,
      Optional<Path> ca,
      Optional<Path> certificate,
      Optional<Path> privateKey) {

    public boolean mutual() {
      return certificate.isPresent();
    }

    /**
     * What authenticates the server: {@link #ca}, else the bundle of this system; empty where the
     * JDK's list is all there is.
     */
    public Optional<Path> trusted() {
      return ca.or(SystemCas::file);
    }
  }

  /** {@code storage}: where token objects are. */
  public sealed interface Storage {
    /** Nowhere: there are session objects only. */
    record None() implements Storage {}

    /** {@code remotestore}: in a keystore of the gateway. */
    record Remote() implements Storage {}

    /** {@code filestore}: in a directory of this machine. */
    record Files(Path directory) implements Storage {}

    /** {@code localpostgres}: in a database of this machine. */
    record LocalPostgres(Secret connection) implements Storage {}
  }

  /**
   * {@code users.N}.
   *
   * @param keystore {@code tokenspaceID}; the security officer has none
   * @param iam empty where {@code iamauth} is off
   * @param keystorePassword empty where {@code sessionauth} is off
   */
  public record User(
      String name, Optional<UUID> keystore, Optional<Iam> iam, Optional<Secret> keystorePassword) {}

  /**
   * {@code iamauth}, switched on.
   *
   * @param endpoint the token service; {@code /identity/token} is appended
   * @param apiKey of the anonymous user
   * @param instance for the instance header
   */
  public record Iam(URI endpoint, Optional<Secret> apiKey, Optional<UUID> instance) {}
}
