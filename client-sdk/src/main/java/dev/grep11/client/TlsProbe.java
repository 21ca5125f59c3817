package dev.grep11.client;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import javax.net.ssl.KeyManager;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509ExtendedKeyManager;
import javax.net.ssl.X509ExtendedTrustManager;
import javax.net.ssl.X509KeyManager;
import org.jspecify.annotations.Nullable;

/**
 * What one TLS connection to a server showed, told apart as the exception of a handshake does not:
 * whether the server is there, whether its chain is trusted, whether it has the host's name, and
 * what it thinks of the client's certificate.
 *
 * @param unreachable why there is no connection
 * @param chain what the server presented, its own certificate first
 * @param untrusted why the chain is not trusted, whatever its name
 * @param misnamed why the name is not the host's, of a chain that is trusted
 * @param protocol what both agreed on by ALPN; empty where the server knows none of it
 * @param asked whether the server asked for a client certificate
 * @param refused what the server ended the connection with
 */
public record TlsProbe(
    Optional<String> unreachable,
    List<X509Certificate> chain,
    Optional<String> untrusted,
    Optional<String> misnamed,
    Optional<String> protocol,
    boolean asked,
    Optional<String> refused) {
  private static final int CONNECT_MILLIS = 5_000;
  private static final int HANDSHAKE_MILLIS = 5_000;

  /** In TLS 1.3 a server refuses a client after the handshake, with the first thing it sends. */
  private static final int REFUSAL_MILLIS = 1_000;

  public TlsProbe {
    chain = List.copyOf(chain);
  }

  /**
   * Connects once, sends nothing beyond the handshake, and leaves.
   *
   * @param ca PEM of the CAs to trust; empty for those of the system
   * @param certificate with {@code privateKey}: what to show where the server asks
   * @param protocol of ALPN, such as {@code h2}
   * @throws IllegalArgumentException when a file cannot be used
   */
  public static TlsProbe of(
      String host,
      int port,
      Optional<Path> ca,
      Optional<Path> certificate,
      Optional<Path> privateKey,
      String protocol) {
    var trust =
        new Watching(judge(ca.isPresent() ? Pem.trust(ca.get()) : ExplainedTrust.inTheSystem()));
    var identity =
        new Identity(
            certificate.isPresent() && privateKey.isPresent()
                ? holder(Pem.identity(certificate.get(), privateKey.get()))
                : null);
    Optional<String> refused = Optional.empty();
    Optional<String> agreed = Optional.empty();
    try (var plain = new Socket()) {
      plain.connect(new InetSocketAddress(host, port), CONNECT_MILLIS);
      plain.setSoTimeout(HANDSHAKE_MILLIS);
      var context = SSLContext.getInstance("TLS");
      context.init(new KeyManager[] {identity}, new TrustManager[] {trust}, null);
      try (var socket =
          (SSLSocket) context.getSocketFactory().createSocket(plain, host, port, true)) {
        var parameters = socket.getSSLParameters();
        parameters.setEndpointIdentificationAlgorithm("HTTPS");
        parameters.setApplicationProtocols(new String[] {protocol});
        socket.setSSLParameters(parameters);
        try {
          socket.startHandshake();
          agreed = Optional.ofNullable(socket.getApplicationProtocol()).filter(p -> !p.isEmpty());
          // Who asked for nothing refuses nothing.
          socket.setSoTimeout(REFUSAL_MILLIS);
          if (identity.asked && socket.getInputStream().read() < 0) {
            refused = Optional.of("the server ended the connection");
          }
        } catch (SocketTimeoutException silent) {
          // A server that waits for the client to begin.
          if (!socket.getSession().isValid()) {
            refused = Optional.of("no TLS handshake within %d ms".formatted(HANDSHAKE_MILLIS));
          }
        } catch (SSLException e) {
          refused = Optional.of(String.valueOf(e.getMessage()));
        }
      }
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    } catch (IOException e) {
      if (trust.chain.length == 0) {
        var reason = Unreachable.reason(e).orElse(String.valueOf(e.getMessage()));
        return new TlsProbe(
            Optional.of(reason),
            List.of(),
            Optional.empty(),
            Optional.empty(),
            Optional.empty(),
            false,
            refused);
      }
      refused = Optional.of(String.valueOf(e.getMessage()));
    }
    boolean isJudged = trust.untrusted != null || trust.misnamed != null;
    return new TlsProbe(
        Optional.empty(),
        Arrays.asList(trust.chain),
        Optional.ofNullable(trust.untrusted),
        Optional.ofNullable(trust.misnamed),
        agreed,
        identity.asked,
        // What this side refused, the other one only heard of.
        isJudged ? Optional.empty() : refused);
  }

  private static X509ExtendedTrustManager judge(TrustManager[] managers) {
    return Arrays.stream(managers)
        .filter(X509ExtendedTrustManager.class::isInstance)
        .map(X509ExtendedTrustManager.class::cast)
        .findFirst()
        .orElseThrow();
  }

  private static X509KeyManager holder(KeyManager[] managers) {
    return Arrays.stream(managers)
        .filter(X509KeyManager.class::isInstance)
        .map(X509KeyManager.class::cast)
        .findFirst()
        .orElseThrow();
  }

  /** The same judgement, in two steps. */
  private static final class Watching extends X509ExtendedTrustManager {
    private final X509ExtendedTrustManager judge;
    private X509Certificate[] chain = {};
    private @Nullable String untrusted;
    private @Nullable String misnamed;

    Watching(X509ExtendedTrustManager judge) {
      this.judge = judge;
    }

    @Override
    public void checkServerTrusted(X509Certificate[] presented, String authType, Socket socket)
        throws CertificateException {
      chain = presented;
      try {
        judge.checkServerTrusted(presented, authType);
      } catch (CertificateException e) {
        untrusted = String.valueOf(e.getMessage());
        throw e;
      }
      try {
        judge.checkServerTrusted(presented, authType, socket);
      } catch (CertificateException e) {
        misnamed = String.valueOf(e.getMessage());
        throw e;
      }
    }

    @Override
    public void checkServerTrusted(X509Certificate[] presented, String authType, SSLEngine engine)
        throws CertificateException {
      throw new CertificateException("a socket is used");
    }

    @Override
    public void checkServerTrusted(X509Certificate[] presented, String authType)
        throws CertificateException {
      throw new CertificateException("a socket is used");
    }

    @Override
    public void checkClientTrusted(X509Certificate[] presented, String authType)
        throws CertificateException {
      throw new CertificateException("this is a client");
    }

    @Override
    public void checkClientTrusted(X509Certificate[] presented, String authType, Socket socket)
        throws CertificateException {
      throw new CertificateException("this is a client");
    }

    @Override
    public void checkClientTrusted(X509Certificate[] presented, String authType, SSLEngine engine)
        throws CertificateException {
      throw new CertificateException("this is a client");
    }

    @Override
    public X509Certificate[] getAcceptedIssuers() {
      return judge.getAcceptedIssuers();
    }
  }

  /** A client's identity, or none, that notices whether it is asked for. */
  private static final class Identity extends X509ExtendedKeyManager {
    private final @Nullable X509KeyManager held;
    private boolean asked;

    Identity(@Nullable X509KeyManager held) {
      this.held = held;
    }

    @Override
    public @Nullable String chooseClientAlias(
        String[] keyTypes, Principal @Nullable [] issuers, @Nullable Socket socket) {
      asked = true;
      return held == null ? null : "client";
    }

    @Override
    public X509Certificate @Nullable [] getCertificateChain(String alias) {
      return held == null ? null : held.getCertificateChain(alias);
    }

    @Override
    public @Nullable PrivateKey getPrivateKey(String alias) {
      return held == null ? null : held.getPrivateKey(alias);
    }

    @Override
    public String @Nullable [] getClientAliases(String keyType, Principal @Nullable [] issuers) {
      return null;
    }

    @Override
    public String @Nullable [] getServerAliases(String keyType, Principal @Nullable [] issuers) {
      return null;
    }

    @Override
    public @Nullable String chooseServerAlias(
        String keyType, Principal @Nullable [] issuers, @Nullable Socket socket) {
      return null;
    }
  }
}
