package dev.grep11.gateway.trust;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

/** Whom the gateway trusts where it is the client: the CAs of a file and nobody else. */
public final class TrustedCas {
  private final X509TrustManager manager;

  private TrustedCas(X509TrustManager manager) {
    this.manager = manager;
  }

  /**
   * Reads them.
   *
   * @param file of certificates in PEM (RFC 7468)
   * @throws CertificateException when there is none, or what is there is none; the message does not
   *     name the file
   */
  public static TrustedCas of(Path file) throws IOException, GeneralSecurityException {
    var cas = certificates(file);
    // Without one every chain is refused, with a message that helps nobody.
    if (cas.isEmpty()) {
      throw new CertificateException("no certificate");
    }
    var anchors = KeyStore.getInstance("PKCS12");
    anchors.load(null, null);
    for (var ca : cas) {
      anchors.setCertificateEntry("ca-" + anchors.size(), ca);
    }
    var trust = TrustManagerFactory.getInstance("PKIX");
    trust.init(anchors);
    return new TrustedCas((X509TrustManager) trust.getTrustManagers()[0]);
  }

  static List<X509Certificate> certificates(Path file)
      throws IOException, GeneralSecurityException {
    try (var pem = Files.newInputStream(file)) {
      var found = new ArrayList<X509Certificate>();
      for (var certificate : CertificateFactory.getInstance("X.509").generateCertificates(pem)) {
        found.add((X509Certificate) certificate);
      }
      return List.copyOf(found);
    }
  }

  public X509TrustManager manager() {
    return manager;
  }

  /** For a client that shows no certificate itself. */
  public SSLContext context() throws GeneralSecurityException {
    var context = SSLContext.getInstance("TLS");
    context.init(null, new TrustManager[] {manager}, null);
    return context;
  }
}
