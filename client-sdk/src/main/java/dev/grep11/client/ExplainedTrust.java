package dev.grep11.client;

import java.net.Socket;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.cert.CertPathBuilderException;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.stream.Collectors;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509ExtendedTrustManager;
import org.jspecify.annotations.Nullable;

/**
 * The JDK's judgement of a server, whose refusal says what the server presented, what was trusted
 * and what to do. The judgement itself, host names included (RFC 9110, 4.3.4), is the JDK's alone.
 */
final class ExplainedTrust extends X509ExtendedTrustManager {
  private static final int FINGERPRINT_BYTES = 8;

  private final String source;
  private final X509ExtendedTrustManager judge;

  private ExplainedTrust(String source, X509ExtendedTrustManager judge) {
    this.source = source;
    this.judge = judge;
  }

  /**
   * Trust in the certificates of a store.
   *
   * @param source where they come from, for people
   */
  static TrustManager[] in(String source, KeyStore anchors) throws GeneralSecurityException {
    return explained(source, anchors);
  }

  /** Trust in the CAs that come with the JDK or the system. */
  static TrustManager[] inTheSystem() {
    try {
      return explained("the CAs of this system", null);
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("every JDK has a trust store", e);
    }
  }

  private static TrustManager[] explained(String source, @Nullable KeyStore anchors)
      throws GeneralSecurityException {
    var factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    factory.init(anchors);
    var managers = factory.getTrustManagers();
    for (int i = 0; i < managers.length; i++) {
      if (managers[i] instanceof X509ExtendedTrustManager judge) {
        managers[i] = new ExplainedTrust(source, judge);
      }
    }
    return managers;
  }

  @Override
  public void checkServerTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
      throws CertificateException {
    try {
      judge.checkServerTrusted(chain, authType, engine);
    } catch (CertificateException e) {
      throw explained(chain, e);
    }
  }

  @Override
  public void checkServerTrusted(X509Certificate[] chain, String authType, Socket socket)
      throws CertificateException {
    try {
      judge.checkServerTrusted(chain, authType, socket);
    } catch (CertificateException e) {
      throw explained(chain, e);
    }
  }

  @Override
  public void checkServerTrusted(X509Certificate[] chain, String authType)
      throws CertificateException {
    try {
      judge.checkServerTrusted(chain, authType);
    } catch (CertificateException e) {
      throw explained(chain, e);
    }
  }

  /**
   * The refusal is told in the text and not as a cause, which readers of root causes would show.
   */
  private CertificateException explained(X509Certificate[] chain, CertificateException refusal) {
    var explained =
        new CertificateException(
            "the server presented %s; trusted are %s; %s%s"
                .formatted(presented(chain), trusted(), why(refusal), remedy(refusal)));
    explained.addSuppressed(refusal);
    return explained;
  }

  private static String presented(X509Certificate[] chain) {
    if (chain.length == 0) {
      return "no certificate";
    }
    var leaf = chain[0];
    return "\"%s\", issued by \"%s\" (SHA-256 %s...)"
        .formatted(
            leaf.getSubjectX500Principal().getName(),
            chain[chain.length - 1].getIssuerX500Principal().getName(),
            fingerprint(leaf));
  }

  private static String fingerprint(X509Certificate certificate) {
    try {
      var digest = MessageDigest.getInstance("SHA-256").digest(certificate.getEncoded());
      return HexFormat.of().formatHex(digest, 0, FINGERPRINT_BYTES);
    } catch (NoSuchAlgorithmException | CertificateException e) {
      return "unknown";
    }
  }

  private String trusted() {
    var anchors = judge.getAcceptedIssuers();
    if (anchors.length == 0 || anchors.length > 4) {
      return source;
    }
    return Arrays.stream(anchors)
        .map(anchor -> "\"" + anchor.getSubjectX500Principal().getName() + "\"")
        .collect(Collectors.joining(", ", source + ", that is ", ""));
  }

  private static String why(Throwable refusal) {
    Throwable root = refusal;
    while (root.getCause() != null) {
      root = root.getCause();
    }
    return String.valueOf(root.getMessage());
  }

  private static String remedy(Throwable refusal) {
    for (Throwable cause = refusal; cause != null; cause = cause.getCause()) {
      if (cause instanceof CertPathBuilderException) {
        return "; name the PEM of the CA that issued the server's certificate (trustedCa,"
            + " GREP11_CA)";
      }
    }
    return "";
  }

  @Override
  public X509Certificate[] getAcceptedIssuers() {
    return judge.getAcceptedIssuers();
  }

  @Override
  public void checkClientTrusted(X509Certificate[] chain, String authType)
      throws CertificateException {
    judge.checkClientTrusted(chain, authType);
  }

  @Override
  public void checkClientTrusted(X509Certificate[] chain, String authType, Socket socket)
      throws CertificateException {
    judge.checkClientTrusted(chain, authType, socket);
  }

  @Override
  public void checkClientTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
      throws CertificateException {
    judge.checkClientTrusted(chain, authType, engine);
  }
}
