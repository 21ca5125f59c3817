package dev.grep11.gateway.tls;

import static io.netty.internal.tcnative.CertificateVerifier.X509_V_ERR_CERT_HAS_EXPIRED;
import static io.netty.internal.tcnative.CertificateVerifier.X509_V_ERR_CERT_REJECTED;
import static io.netty.internal.tcnative.CertificateVerifier.X509_V_ERR_CERT_REVOKED;
import static io.netty.internal.tcnative.CertificateVerifier.X509_V_ERR_INVALID_PURPOSE;
import static io.netty.internal.tcnative.CertificateVerifier.X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
import static io.netty.internal.tcnative.CertificateVerifier.X509_V_ERR_UNSPECIFIED;

import dev.grep11.gateway.trust.ClientChain;
import io.netty.handler.ssl.OpenSslCertificateException;
import java.net.Socket;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.util.List;
import java.util.Optional;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLSession;
import javax.net.ssl.X509ExtendedTrustManager;
import org.jspecify.annotations.Nullable;

/**
 * The only judge of client certificates in a handshake: an extended trust manager is asked as it
 * is, while a plain one would be wrapped by the JDK with checks of its own. Runs on event loops.
 */
final class ChainJudge extends X509ExtendedTrustManager {
  private static final String SHOWN = "grep11.shown";

  private final ClientTrust trust;

  /**
   * What the client of a handshake showed, whether or not it got any further, with the signatures
   * that were verified; empty when this judge was not asked.
   */
  static Optional<ClientChain> shownIn(SSLSession session) {
    return session.getValue(SHOWN) instanceof ClientChain chain
        ? Optional.of(chain)
        : Optional.empty();
  }

  ChainJudge(ClientTrust trust) {
    this.trust = trust;
  }

  /** A handshake that ended because of what the client showed. */
  static final class RefusedChainException extends CertificateException {
    private static final long serialVersionUID = 1;

    private final transient Refusal refusal;
    private final transient List<X509Certificate> chain;

    RefusedChainException(Refusal refusal, List<X509Certificate> chain) {
      super(refusal.text());
      this.refusal = refusal;
      this.chain = chain;
    }

    Refusal refusal() {
      return refusal;
    }

    List<X509Certificate> chain() {
      return chain;
    }
  }

  private void judge(ClientChain chain) throws CertificateException {
    var refusal = trust.judge().apply(chain);
    if (refusal.isPresent()) {
      throw new OpenSslCertificateException(
          refusal.get().text(),
          new RefusedChainException(refusal.get(), chain.shown()),
          openSslError(refusal.get()));
    }
  }

  /**
   * The library makes a TLS alert of it (RFC 8446, 6.2); anything else would reach the client as
   * internal_error.
   */
  private static int openSslError(Refusal refusal) {
    return switch (refusal.cause()) {
      case Refusal.Cause.Certificate(var reason) ->
          switch (reason) {
            case UNKNOWN_CA -> X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
            case EXPIRED, NOT_YET_VALID -> X509_V_ERR_CERT_HAS_EXPIRED;
            case REVOKED -> X509_V_ERR_CERT_REVOKED;
            case NOT_FOR_CLIENTS, KEY_USAGE, CA_AS_LEAF -> X509_V_ERR_INVALID_PURPOSE;
            case NO_CERTIFICATE,
                NOT_A_CA,
                PATH_TOO_LONG,
                NAME_CONSTRAINTS,
                WEAK,
                CRITICAL_EXTENSION,
                REVOCATION_UNKNOWN,
                MALFORMED ->
                X509_V_ERR_CERT_REJECTED;
          };
      case Refusal.Cause.NeverAsked() -> X509_V_ERR_CERT_REJECTED;
      case Refusal.Cause.Unconfirmed(), Refusal.Cause.NoInstance() -> X509_V_ERR_UNSPECIFIED;
    };
  }

  @Override
  public X509Certificate[] getAcceptedIssuers() {
    return trust.named().toArray(X509Certificate[]::new);
  }

  @Override
  public void checkClientTrusted(
      X509Certificate[] chain, String authType, @Nullable SSLEngine engine)
      throws CertificateException {
    var shown = ClientChain.of(List.of(chain));
    if (engine != null) {
      // Should the client not have its key, the session never tells whose certificate it was.
      engine.getSession().putValue(SHOWN, shown);
    }
    judge(shown);
  }

  @Override
  public void checkClientTrusted(X509Certificate[] chain, String authType, @Nullable Socket socket)
      throws CertificateException {
    judge(ClientChain.of(List.of(chain)));
  }

  @Override
  public void checkClientTrusted(X509Certificate[] chain, String authType)
      throws CertificateException {
    judge(ClientChain.of(List.of(chain)));
  }

  private static CertificateException noServer() {
    return new CertificateException("judges clients only");
  }

  @Override
  public void checkServerTrusted(
      X509Certificate[] chain, String authType, @Nullable SSLEngine engine)
      throws CertificateException {
    throw noServer();
  }

  @Override
  public void checkServerTrusted(X509Certificate[] chain, String authType, @Nullable Socket socket)
      throws CertificateException {
    throw noServer();
  }

  @Override
  public void checkServerTrusted(X509Certificate[] chain, String authType)
      throws CertificateException {
    throw noServer();
  }
}
