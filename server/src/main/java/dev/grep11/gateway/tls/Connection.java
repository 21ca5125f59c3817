package dev.grep11.gateway.tls;

import dev.grep11.gateway.trust.ClientChain;
import io.netty.channel.Channel;
import io.netty.handler.ssl.SslHandler;
import java.net.SocketAddress;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/** An open connection, and what its handshake said. */
public final class Connection {
  private final @Nullable Channel channel;
  private final @Nullable SocketAddress local;
  private final SocketAddress remote;
  private final Optional<String> serverName;
  private final Optional<String> thumbprint;
  private final boolean wasAsked;
  private final ClientChain judged;
  private static final long WELCOME_AGAIN = TimeUnit.SECONDS.toNanos(1);

  private final Unread unread = new Unread();
  private final AtomicBoolean closing = new AtomicBoolean();
  private final AtomicBoolean welcome = new AtomicBoolean();
  private volatile long welcomedAt = System.nanoTime() - WELCOME_AGAIN;

  /** Replaced and never changed; one entry for each locked instance that it was used for. */
  private volatile Map<UUID, Judgement> judgements = Map.of();

  Connection(
      @Nullable Channel channel,
      @Nullable SocketAddress local,
      SocketAddress remote,
      Optional<String> serverName,
      ClientChain clientChain,
      boolean wasAsked) {
    this.channel = channel;
    this.local = local;
    this.remote = remote;
    this.serverName = serverName;
    this.judged = clientChain;
    this.wasAsked = wasAsked;
    this.thumbprint = clientChain.shown().stream().findFirst().map(Connection::thumbprintOf);
  }

  /** Our end; null when the client was gone before it could be asked for. */
  public @Nullable SocketAddress local() {
    return local;
  }

  public SocketAddress remote() {
    return remote;
  }

  /** The host name that the client asked for (RFC 6066, 3), where it did. */
  public Optional<String> serverName() {
    return serverName;
  }

  /** Leaf first; empty when the client showed none. */
  public List<X509Certificate> clientChain() {
    return judged.shown();
  }

  /** {@code x5t#S256} of the client's certificate (RFC 7515, 4.1.8). */
  public Optional<String> thumbprint() {
    return thumbprint;
  }

  /** Whether the handshake asked for a certificate, which the client showed or did not show. */
  boolean wasAsked() {
    return wasAsked;
  }

  /** The same for whoever judges it, with the signatures that were verified before. */
  ClientChain judged() {
    return judged;
  }

  /** What the second lock last thought of it, for an instance. */
  Optional<Judgement> judgement(UUID instance) {
    return Optional.ofNullable(judgements.get(instance));
  }

  void remember(UUID instance, Judgement judgement) {
    // Of two threads at once one may be forgotten, and is judged again.
    var next = new HashMap<>(judgements);
    next.put(instance, judgement);
    judgements = Map.copyOf(next);
  }

  /** Answers that its client has not taken. */
  public Unread unread() {
    return unread;
  }

  /** Closes it at once; its client is told nothing. */
  void cutOff() {
    var open = channel;
    if (open != null) {
      ConnectionGate.cutOff(open);
    }
  }

  /**
   * Says that a call was admitted: the connection makes room for no other from now on, unless its
   * caller has very many; then the question is put again with later calls, for others of his may
   * have gone.
   *
   * @param caller of the call
   */
  public void welcome(Object caller) {
    var open = channel;
    if (open == null || welcome.get()) {
      return;
    }
    long now = System.nanoTime();
    if (now - welcomedAt >= WELCOME_AGAIN) {
      welcomedAt = now;
      welcome.set(ConnectionGate.welcome(open, caller));
    }
  }

  /** Tells the client to go away and lets running calls end; cuts it off after the grace. */
  @SuppressWarnings("FutureReturnValueIgnored") // Nobody waits for a connection to be gone.
  public void close(Duration grace) {
    var open = channel;
    if (open == null || !closing.compareAndSet(false, true)) {
      return;
    }
    // grpc's handler makes a GOAWAY of it.
    open.close();
    open.eventLoop()
        .schedule(
            () -> {
              var ssl = open.pipeline().get(SslHandler.class);
              if (ssl != null) {
                ssl.closeOutbound();
              }
              var first = open.pipeline().firstContext();
              if (first != null) {
                first.close();
              }
            },
            grace.toMillis(),
            TimeUnit.MILLISECONDS);
  }

  /** Whether {@link #close} was begun. */
  boolean isClosing() {
    return closing.get();
  }

  private static String thumbprintOf(X509Certificate certificate) {
    try {
      return Base64.getUrlEncoder()
          .withoutPadding()
          .encodeToString(MessageDigest.getInstance("SHA-256").digest(certificate.getEncoded()));
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("a parsed certificate has an encoding", e);
    }
  }
}
