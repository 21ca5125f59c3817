package dev.grep11.gateway.tls;

import io.grpc.netty.GrpcSslContexts;
import io.netty.handler.ssl.ApplicationProtocolConfig;
import io.netty.handler.ssl.ApplicationProtocolConfig.SelectedListenerFailureBehavior;
import io.netty.handler.ssl.ApplicationProtocolConfig.SelectorFailureBehavior;
import io.netty.handler.ssl.ApplicationProtocolNames;
import io.netty.handler.ssl.OpenSsl;
import io.netty.handler.ssl.OpenSslSessionContext;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import javax.net.ssl.SSLException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The server's side of TLS, with an identity that follows its files. One thread of its own looks at
 * the files; contexts may be used by any thread.
 */
public final class ServerTls implements AutoCloseable {
  /** JSSE and tcnative read it once, so it must be set before either is loaded. */
  public static final String TICKETS_PROPERTY = "jdk.tls.server.enableSessionTicketExtension";

  private static final Logger LOG = LoggerFactory.getLogger(ServerTls.class);

  private final Path chainFile;
  private final Path keyFile;
  private final Consumer<String> onProblem;
  private final SwitchableSslContext grpcContext;
  private final SwitchableSslContext cryptoContext;
  private final SwitchableSslContext healthContext;
  private final SwitchableSslContext httpContext;
  private final ScheduledExecutorService watcher;

  // Both guarded by this.
  private ServerIdentity identity;
  private ClientTrust clientTrust = ClientTrust.NOT_ASKED;

  private Files loaded;
  private @Nullable Files failed;
  private boolean reported;

  /** The bytes of both files, as they were read together. */
  private record Files(byte[] chain, byte[] key) {
    boolean same(@Nullable Files other) {
      return other != null && Arrays.equals(chain, other.chain) && Arrays.equals(key, other.key);
    }

    @Override
    public String toString() {
      return "Files[]";
    }
  }

  private ServerTls(Path chainFile, Path keyFile, Duration poll, Consumer<String> onProblem)
      throws IdentityException {
    this.chainFile = chainFile;
    this.keyFile = keyFile;
    this.onProblem = onProblem;
    this.loaded = read();
    this.identity = ServerIdentity.of(chainFile, loaded.chain(), keyFile, loaded.key());
    this.grpcContext = new SwitchableSslContext(context(identity, ClientTrust.NOT_ASKED));
    this.cryptoContext = new SwitchableSslContext(context(identity, clientTrust));
    this.healthContext = new SwitchableSslContext(context(identity, Protocols.HTTP_OR_GRPC));
    this.httpContext = new SwitchableSslContext(context(identity, Protocols.HTTP));
    this.watcher =
        Executors.newSingleThreadScheduledExecutor(
            task -> Thread.ofPlatform().name("tls-identity").daemon().unstarted(task));
    var _ =
        watcher.scheduleWithFixedDelay(
            this::look, poll.toMillis(), poll.toMillis(), TimeUnit.MILLISECONDS);
  }

  /**
   * Loads the identity and follows its files. A pair that does not fit together leaves the identity
   * as it is.
   *
   * @param onProblem told once for each pair that cannot be used, on the watching thread
   * @throws IdentityException when there is no identity to begin with
   */
  public static ServerTls start(
      Path chainFile, Path keyFile, Duration poll, Consumer<String> onProblem)
      throws IdentityException {
    requireNoResumption();
    return new ServerTls(chainFile, keyFile, poll, onProblem);
  }

  /**
   * A resumed session skips the judgement of the client's certificate. tcnative issues tickets even
   * with its session cache off; this property is what stops it.
   */
  public static void requireNoResumption() {
    if (!"false".equals(System.getProperty(TICKETS_PROPERTY))) {
      throw new IllegalStateException("start the JVM with -D" + TICKETS_PROPERTY + "=false");
    }
    if (!OpenSsl.isAvailable()) {
      throw new IllegalStateException(
          "the TLS library for this platform is missing: " + OpenSsl.unavailabilityCause());
    }
  }

  /** For a port that speaks gRPC and never asks for a client certificate. */
  public SslContext grpcContext() {
    return grpcContext;
  }

  /** For the port that reaches keys: it asks for client certificates as the second lock says. */
  public SslContext cryptoContext() {
    return cryptoContext;
  }

  /** For the port that speaks HTTP/1.1 and gRPC, and never asks for a client certificate. */
  public SslContext healthContext() {
    return healthContext;
  }

  /**
   * What the crypto port asks of its clients from the next handshake on.
   *
   * @throws IdentityException when the TLS library does not take it; all stays as it was
   */
  synchronized void askClients(ClientTrust trust) throws IdentityException {
    cryptoContext.switchTo(context(identity, trust));
    clientTrust = trust;
  }

  /** For a port that speaks HTTP/1.1 and never asks for a client certificate. */
  public SslContext httpContext() {
    return httpContext;
  }

  /** What the server shows at the moment: its certificate first, then the intermediates. */
  public synchronized List<X509Certificate> chain() {
    return identity.chain();
  }

  private Files read() throws IdentityException {
    return new Files(ServerIdentity.bytes(chainFile), ServerIdentity.bytes(keyFile));
  }

  /** Compares content and not times: a symbolic link that is swapped may bring older files. */
  private void look() {
    try {
      var found = read();
      if (found.same(loaded)) {
        failed = null;
        return;
      }
      try {
        use(ServerIdentity.of(chainFile, found.chain(), keyFile, found.key()));
        loaded = found;
        failed = null;
        reported = false;
      } catch (IdentityException e) {
        // Two files are never replaced at once: a pair is wrong when it stays wrong for a round.
        if (found.same(failed)) {
          reportOnce(String.valueOf(e.getMessage()));
        } else {
          failed = found;
          reported = false;
        }
      }
    } catch (IdentityException e) {
      reportOnce(String.valueOf(e.getMessage()));
    } catch (RuntimeException e) {
      LOG.error("the server identity cannot be reloaded", e);
    }
  }

  private synchronized void use(ServerIdentity next) throws IdentityException {
    var unasked = context(next, ClientTrust.NOT_ASKED);
    var ofHealth = context(next, Protocols.HTTP_OR_GRPC);
    var ofHttp = context(next, Protocols.HTTP);
    cryptoContext.switchTo(context(next, clientTrust));
    grpcContext.switchTo(unasked);
    healthContext.switchTo(ofHealth);
    httpContext.switchTo(ofHttp);
    identity = next;
    LOG.info(
        "new server certificate {} until {}",
        next.chain().getFirst().getSubjectX500Principal().getName(),
        next.chain().getFirst().getNotAfter().toInstant());
  }

  private void reportOnce(String problem) {
    if (!reported) {
      reported = true;
      onProblem.accept(problem);
    }
  }

  /** What a context offers by ALPN (RFC 7301), in the order of our preference. */
  private enum Protocols {
    GRPC,
    HTTP,
    /** Who speaks both means the pages: a client of gRPC offers HTTP/2 alone. */
    HTTP_OR_GRPC
  }

  private static SslContext context(ServerIdentity identity, ClientTrust trust)
      throws IdentityException {
    return context(identity, trust, Protocols.GRPC);
  }

  private static SslContext context(ServerIdentity identity, Protocols protocols)
      throws IdentityException {
    return context(identity, ClientTrust.NOT_ASKED, protocols);
  }

  private static SslContext context(ServerIdentity identity, ClientTrust trust, Protocols protocols)
      throws IdentityException {
    try {
      var builder =
          SslContextBuilder.forServer(
                  identity.key(), identity.chain().toArray(X509Certificate[]::new))
              // Of a key store that lives in memory only, from one line of the library to the next.
              // PKCS12, the standard, would hash 10,000 times to lock the key and again to unlock
              // it.
              .keyStoreType("JKS");
      GrpcSslContexts.configure(builder, SslProvider.OPENSSL);
      switch (protocols) {
        case GRPC -> {}
        case HTTP -> offer(builder, ApplicationProtocolNames.HTTP_1_1);
        case HTTP_OR_GRPC ->
            offer(builder, ApplicationProtocolNames.HTTP_1_1, ApplicationProtocolNames.HTTP_2);
      }
      var context =
          builder
              .protocols("TLSv1.3", "TLSv1.2")
              .clientAuth(trust.ask())
              // Set in any case: without one the JDK's public roots would judge.
              .trustManager(new ChainJudge(trust))
              .build();
      ((OpenSslSessionContext) context.sessionContext()).setSessionCacheEnabled(false);
      return context;
    } catch (SSLException | RuntimeException e) {
      throw new IdentityException("TLS does not accept " + identity, e);
    }
  }

  private static void offer(SslContextBuilder builder, String... protocols) {
    builder.applicationProtocolConfig(
        new ApplicationProtocolConfig(
            ApplicationProtocolConfig.Protocol.ALPN,
            SelectorFailureBehavior.NO_ADVERTISE,
            SelectedListenerFailureBehavior.ACCEPT,
            protocols));
  }

  @Override
  public void close() {
    watcher.shutdownNow();
  }
}
