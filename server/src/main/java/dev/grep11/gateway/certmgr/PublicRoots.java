package dev.grep11.gateway.certmgr;

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
 * The CAs that everybody trusts for the public Internet. Registered as a client CA, each would let
 * in whoever buys a certificate (security rules 5.5).
 */
public final class PublicRoots {
  private final Set<PublicKey> keys;

  private PublicRoots(Set<PublicKey> keys) {
    this.keys = keys;
  }

  /** Those that come with the Java runtime. */
  public static PublicRoots ofRuntime() {
    try {
      var factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
      @Nullable KeyStore standard = null;
      factory.init(standard);
      return of(
          Arrays.stream(factory.getTrustManagers())
              .filter(X509TrustManager.class::isInstance)
              .flatMap(manager -> Stream.of(((X509TrustManager) manager).getAcceptedIssuers())));
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("the trust store of the Java runtime cannot be read", e);
    }
  }

  public static PublicRoots of(Stream<X509Certificate> certificates) {
    return new PublicRoots(
        certificates.map(X509Certificate::getPublicKey).collect(Collectors.toUnmodifiableSet()));
  }

  /** By its key, so that a cross-certificate of such a CA is one too. */
  boolean include(X509Certificate certificate) {
    return keys.contains(certificate.getPublicKey());
  }
}
