package dev.grep11.agent.config;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The CAs that this machine's administrator trusts, as OpenSSL, GnuTLS and Go find them. A JDK has
 * a list of its own, which knows nothing of a CA that was added to the system.
 */
final class SystemCas {
  /** Read by OpenSSL and Go, too. */
  static final String VARIABLE = "SSL_CERT_FILE";

  /** A Java's own way to say what it trusts. */
  private static final String JAVA_PROPERTY = "javax.net.ssl.trustStore";

  private static final List<Path> USUAL =
      List.of(
          // Debian, Ubuntu, Alpine, Arch.
          Path.of("/etc/ssl/certs/ca-certificates.crt"),
          // Fedora, RHEL.
          Path.of("/etc/pki/tls/certs/ca-bundle.crt"),
          // SUSE.
          Path.of("/etc/ssl/ca-bundle.pem"));

  private SystemCas() {}

  /** A bundle in PEM; empty where the JDK's list is all there is, or is what was asked for. */
  static Optional<Path> file() {
    return file(System.getenv(), System.getProperty(JAVA_PROPERTY), USUAL);
  }

  /** A file that was named is given even if it is not there: that is then the error. */
  static Optional<Path> file(
      Map<String, String> environment, @Nullable String trustStore, List<Path> usual) {
    if (trustStore != null) {
      return Optional.empty();
    }
    var named = environment.getOrDefault(VARIABLE, "");
    return named.isEmpty()
        ? usual.stream().filter(Files::isReadable).findFirst()
        : Optional.of(Path.of(named));
  }
}
