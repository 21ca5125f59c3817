package dev.grep11.gateway.trust;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.Collections;
import java.util.HashSet;
import java.util.Set;
import javax.security.auth.x500.X500Principal;

/** The public roots that this machine trusts: the JDK's and the system's, read at first use. */
final class PublicRoots {
  private static final Path SYSTEM = Path.of("/etc/ssl/certs/ca-certificates.crt");
  private static final Path JDK =
      Path.of(System.getProperty("java.home", ""), "lib", "security", "cacerts");

  /** A root keeps name and key when its certificate is issued anew. */
  private record Root(X500Principal subject, String keyId) {
    static Root of(X509Certificate certificate) {
      return new Root(
          certificate.getSubjectX500Principal(),
          PathCertificate.sha256(certificate.getPublicKey().getEncoded()));
    }
  }

  private static final class Known {
    private static final Set<Root> ROOTS = read();
  }

  private PublicRoots() {}

  static boolean contain(X509Certificate certificate) {
    return Known.ROOTS.contains(Root.of(certificate));
  }

  private static Set<Root> read() {
    var roots = new HashSet<Root>(jdk());
    roots.addAll(system());
    return Set.copyOf(roots);
  }

  private static Set<Root> jdk() {
    var roots = new HashSet<Root>();
    try {
      // Roots are public; the password is the one that every JDK ships with.
      var store = KeyStore.getInstance(JDK.toFile(), "changeit".toCharArray());
      for (var alias : Collections.list(store.aliases())) {
        if (store.getCertificate(alias) instanceof X509Certificate certificate) {
          roots.add(Root.of(certificate));
        }
      }
      return roots;
    } catch (IOException | GeneralSecurityException e) {
      return roots;
    }
  }

  /** Slim images have only the JDK's. */
  private static Set<Root> system() {
    var roots = new HashSet<Root>();
    try (var file = Files.newInputStream(SYSTEM)) {
      for (var certificate : CertificateFactory.getInstance("X.509").generateCertificates(file)) {
        roots.add(Root.of((X509Certificate) certificate));
      }
      return roots;
    } catch (IOException | GeneralSecurityException e) {
      return roots;
    }
  }
}
