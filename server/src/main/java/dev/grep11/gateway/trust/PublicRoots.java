package dev.grep11.gateway.trust;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.PublicKey;
import java.security.cert.X509Certificate;
import java.util.Arrays;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;
import org.jspecify.annotations.Nullable;

/**
 * The CAs that everybody trusts for the public Internet: those of the Java runtime and of the
 * system, read at first use.
 */
final class PublicRoots {
  private static final Path SYSTEM = Path.of("/etc/ssl/certs/ca-certificates.crt");

  private static final class Known {
    private static final Set<PublicKey> KEYS =
        Stream.concat(runtime(), system())
            .map(X509Certificate::getPublicKey)
            .collect(Collectors.toUnmodifiableSet());
  }

  private PublicRoots() {}

  /** By its key, so that a cross-certificate of such a CA is one too. */
  static boolean contain(X509Certificate certificate) {
    return Known.KEYS.contains(certificate.getPublicKey());
  }

  private static Stream<X509Certificate> runtime() {
    try {
      var factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
      @Nullable KeyStore standard = null;
      factory.init(standard);
      return Arrays.stream(factory.getTrustManagers())
          .filter(X509TrustManager.class::isInstance)
          .flatMap(manager -> Stream.of(((X509TrustManager) manager).getAcceptedIssuers()));
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("the trust store of the Java runtime cannot be read", e);
    }
  }

  /** Slim images have only the runtime's. */
  private static Stream<X509Certificate> system() {
    if (Files.notExists(SYSTEM)) {
      return Stream.of();
    }
    try {
      return TrustedCas.certificates(SYSTEM).stream();
    } catch (IOException | GeneralSecurityException e) {
      throw new IllegalStateException(SYSTEM + " cannot be read", e);
    }
  }
}
