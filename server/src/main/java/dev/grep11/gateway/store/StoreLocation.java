package dev.grep11.gateway.store;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import org.postgresql.Driver;
import org.postgresql.PGProperty;

/** Where the records of a store are. */
public sealed interface StoreLocation {
  /**
   * SQLite, for processes on one host.
   *
   * @param path holds the database; 0700
   */
  record Directory(Path path) implements StoreLocation {
    @Override
    public String toString() {
      return path.toString();
    }
  }

  /**
   * A PostgreSQL server, for gateways on several hosts.
   *
   * @param url {@code jdbc:postgresql://HOST:PORT/DATABASE}; with {@code sslmode=verify-full}
   *     unless every host is this one, because the password and who may do what go over it
   * @param passwordFile 0600; read for every connection, so that a password can change
   */
  record Postgresql(String url, String user, Path passwordFile) implements StoreLocation {
    /** What weakens TLS or brings other credentials is not among them. */
    private static final Set<String> PARAMETERS =
        new TreeSet<>(
            List.of(
                "currentSchema",
                "sslcert",
                "sslkey",
                "sslmode",
                "sslrootcert",
                "targetServerType"));

    private static final String SCHEME = "jdbc:postgresql:";

    public Postgresql {
      Properties parsed = url.startsWith(SCHEME) ? Driver.parseURL(url, null) : null;
      if (parsed == null) {
        throw new IllegalArgumentException(
            "is not of the form jdbc:postgresql://HOST:PORT/DATABASE?sslmode=verify-full");
      }
      for (String parameter : parameters(url)) {
        if (!PARAMETERS.contains(parameter)) {
          throw new IllegalArgumentException(
              "has the parameter \"%s\"; those that may be there are %s"
                  .formatted(parameter, String.join(", ", PARAMETERS)));
        }
      }
      Optional<String> mode = Optional.ofNullable(PGProperty.SSL_MODE.getOrDefault(parsed));
      boolean verified = mode.filter("verify-full"::equals).isPresent();
      String hosts = Optional.ofNullable(PGProperty.PG_HOST.getOrDefault(parsed)).orElse("");
      // Before a host is quoted, and every message about the store names its URL.
      if (hosts.contains("@")) {
        throw new IllegalArgumentException(
            "names a user before the host; remedy: store.postgresql.user, and passwordFile for the"
                + " password");
      }
      for (String host : hosts.split(",", -1)) {
        if (!verified && !isThisHost(host)) {
          throw new IllegalArgumentException(
              "names the host %s without sslmode=verify-full: the connection would not be encrypted, or not to a known server; remedy: add ?sslmode=verify-full&sslrootcert=FILE"
                  .formatted(host));
        }
      }
      // Without it the driver may take a standby, which lags behind and cannot be written.
      if (hosts.contains(",")
          && !"primary".equals(PGProperty.TARGET_SERVER_TYPE.getOrDefault(parsed))) {
        throw new IllegalArgumentException(
            "names several hosts without targetServerType=primary: a connection could be to a"
                + " standby; remedy: add targetServerType=primary");
      }
    }

    /** The certificates that vouch for the server, where the URL names a file of them. */
    public Optional<Path> rootCertificates() {
      return Optional.ofNullable(Driver.parseURL(url, null))
          .flatMap(parsed -> Optional.ofNullable(PGProperty.SSL_ROOT_CERT.getOrDefault(parsed)))
          .map(Path::of);
    }

    private static List<String> parameters(String url) {
      int question = url.indexOf('?');
      return question < 0
          ? List.of()
          : Arrays.stream(url.substring(question + 1).split("&", -1))
              .map(parameter -> parameter.split("=", 2)[0])
              .filter(name -> !name.isEmpty())
              .toList();
    }

    /** By name or literal address; what a resolver says today it may not say tomorrow. */
    private static boolean isThisHost(String host) {
      return host.equals("localhost")
          || host.equals("::1")
          || host.equals("[::1]")
          || host.matches("127\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}");
    }

    @Override
    public String toString() {
      return url;
    }
  }
}
