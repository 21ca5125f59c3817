package dev.grep11.gateway.tls;

import dev.grep11.gateway.trust.ClientChain;
import io.grpc.Attributes;
import io.grpc.Grpc;
import io.grpc.ServerTransportFilter;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFactory;
import io.netty.channel.ChannelFuture;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.IoHandlerFactory;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.ServerChannel;
import io.netty.channel.epoll.Epoll;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.epoll.EpollServerSocketChannel;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.handler.ssl.SslHandler;
import io.netty.util.concurrent.FastThreadLocalThread;
import java.net.SocketAddress;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.Consumer;
import javax.net.ssl.ExtendedSSLSession;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SSLPeerUnverifiedException;
import javax.net.ssl.SSLSession;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The open connections of one server, which may listen on several addresses. grpc does not show the
 * channel of a connection, so the event loops tell it; both meet by the addresses of the two ends.
 */
public final class Connections extends ServerTransportFilter implements AutoCloseable {
  /** Attribute of every call. */
  public static final Attributes.Key<Connection> CONNECTION = Attributes.Key.create("connection");

  private static final Logger LOG = LoggerFactory.getLogger(Connections.class);
  private static final int QUIET_MILLIS = 200;
  private static final int LOOK_SECONDS = 1;

  private record Ends(@Nullable SocketAddress local, SocketAddress remote) {}

  private final Map<Ends, Channel> channels = new ConcurrentHashMap<>();
  private final Set<Connection> live = ConcurrentHashMap.newKeySet();
  private final Consumer<FailedHandshake> onFailure;
  private final Consumer<RefusedConnection> onRefusal;
  private final ConnectionLimits limits;
  private final LongAdder accepted = new LongAdder();
  private final EventLoopGroup acceptors;
  private final EventLoopGroup eventLoops;

  /** Why a connection was last not cut off, which is in the log; of one event loop. */
  private @Nullable String notCutOff;

  public Connections(int threads) {
    this(threads, ConnectionLimits.DEFAULT, _ -> {}, _ -> {});
  }

  /**
   * @param limits of each address that is listened on
   * @param onFailure told of handshakes that fail, on the event loop: it must not wait
   * @param onRefusal told of connections that are closed because there are too many, likewise
   */
  public Connections(
      int threads,
      ConnectionLimits limits,
      Consumer<FailedHandshake> onFailure,
      Consumer<RefusedConnection> onRefusal) {
    this.onFailure = onFailure;
    this.onRefusal = onRefusal;
    this.limits = limits;
    acceptors = new MultiThreadIoEventLoopGroup(1, threads("accept-"), handlers());
    eventLoops =
        new MultiThreadIoEventLoopGroup(threads, threads("loop-"), handlers()) {
          @Override
          public ChannelFuture register(Channel channel) {
            remember(channel);
            return super.register(channel).addListener(_ -> watchHandshake(channel));
          }
        };
    var _ =
        eventLoops
            .next()
            .scheduleWithFixedDelay(
                () -> cutOffStuck(limits.unread()), LOOK_SECONDS, LOOK_SECONDS, TimeUnit.SECONDS);
  }

  private void cutOffStuck(Duration longest) {
    for (var connection : live) {
      try {
        if (connection.unread().stuck(longest)) {
          cutOffUnread(connection);
        }
      } catch (RuntimeException | Error e) {
        // Thrown on, it would be the last look at all of them.
        if (!e.toString().equals(notCutOff)) {
          LOG.error("cutting off clients that leave their answers unread fails", e);
        }
        notCutOff = e.toString();
      }
    }
  }

  /** Ends the connection whose client has left the most unread. */
  public void cutOffTheSlowest() {
    live.stream()
        .max(Comparator.comparingLong(connection -> connection.unread().bytes()))
        .ifPresent(this::cutOffUnread);
  }

  private void cutOffUnread(Connection connection) {
    if (live.remove(connection)) {
      connection.cutOff();
      onRefusal.accept(new RefusedConnection(connection.remote(), RefusedConnection.Reason.UNREAD));
    }
  }

  /** Of the kind to which Netty gives its pools of buffers without a search for them. */
  private static ThreadFactory threads(String prefix) {
    var number = new AtomicInteger();
    return task -> {
      var thread = new FastThreadLocalThread(task, prefix + number.getAndIncrement());
      thread.setDaemon(true);
      return thread;
    };
  }

  private static IoHandlerFactory handlers() {
    return Epoll.isAvailable() ? EpollIoHandler.newFactory() : NioIoHandler.newFactory();
  }

  public EventLoopGroup acceptors() {
    return acceptors;
  }

  public EventLoopGroup eventLoops() {
    return eventLoops;
  }

  /** Makes what listens on an address, with a limit of its own to what it accepts. */
  public ChannelFactory<ServerChannel> channelFactory() {
    return () -> {
      ServerChannel channel =
          Epoll.isAvailable() ? new EpollServerSocketChannel() : new NioServerSocketChannel();
      // Before what grpc adds, so that a refused socket is nothing else's.
      channel.pipeline().addFirst(new ConnectionGate(limits, onRefusal, System::nanoTime));
      return channel;
    };
  }

  /**
   * Whether the peer of a connection may send one more request of HTTP/1.1. If not, it is being cut
   * off. On its event loop.
   */
  public static boolean mayAsk(Channel channel) {
    return ConnectionGate.mayAsk(channel);
  }

  /** Says of a connection to a port that admits nobody that its peer is one whom it is for. */
  public static void recognize(Channel channel) {
    ConnectionGate.recognize(channel);
  }

  /** Those whose handshake is done. A snapshot that later changes show through. */
  public Set<Connection> live() {
    return Collections.unmodifiableSet(live);
  }

  /** Connections so far whose handshake was done. */
  public long accepted() {
    return accepted.sum();
  }

  private void remember(Channel channel) {
    var remote = channel.remoteAddress();
    if (remote != null) {
      var ends = new Ends(channel.localAddress(), remote);
      channels.put(ends, channel);
      channel.closeFuture().addListener(_ -> channels.remove(ends, channel));
    }
  }

  /** grpc tells nobody of a handshake that failed, and adds its TLS handler when it is active. */
  @SuppressWarnings("FutureReturnValueIgnored") // A listener is all that is added.
  private void watchHandshake(Channel channel) {
    var remote = channel.remoteAddress();
    channel
        .eventLoop()
        .execute(() -> {
          var ssl = channel.pipeline().get(SslHandler.class);
          if (ssl != null && remote != null) {
            ssl.handshakeFuture()
                .addListener(done -> {
                  var cause = done.cause();
                  if (cause == null) {
                    ConnectionGate.shookHands(channel);
                    FrameLimit.watch(channel, onRefusal);
                  } else {
                    var shown = ChainJudge.shownIn(ssl.engine().getSession());
                    onFailure.accept(
                        new FailedHandshake(
                            remote, shown.map(ClientChain::shown).orElse(List.of()), cause));
                  }
                });
          }
        });
  }

  @Override
  public Attributes transportReady(Attributes attributes) {
    var remote = attributes.get(Grpc.TRANSPORT_ATTR_REMOTE_ADDR);
    var session = attributes.get(Grpc.TRANSPORT_ATTR_SSL_SESSION);
    if (remote == null || session == null) {
      throw new IllegalStateException("a listener here speaks TLS");
    }
    var local = attributes.get(Grpc.TRANSPORT_ATTR_LOCAL_ADDR);
    var channel = channels.get(new Ends(local, remote));
    var connection =
        new Connection(
            channel, local, remote, serverName(session), clientChain(session), wasAsked(channel));
    live.add(connection);
    accepted.increment();
    return attributes.toBuilder().set(CONNECTION, connection).build();
  }

  @Override
  public void transportTerminated(@Nullable Attributes attributes) {
    // Null after a handshake that failed.
    var connection = attributes == null ? null : attributes.get(CONNECTION);
    if (connection != null) {
      live.remove(connection);
    }
  }

  /** One that is gone by now is refused as any that was asked. */
  private static boolean wasAsked(@Nullable Channel channel) {
    var ssl = channel == null ? null : channel.pipeline().get(SslHandler.class);
    return ssl == null || ssl.engine().getNeedClientAuth() || ssl.engine().getWantClientAuth();
  }

  private static Optional<String> serverName(SSLSession session) {
    if (session instanceof ExtendedSSLSession extended) {
      for (var name : extended.getRequestedServerNames()) {
        if (name instanceof SNIHostName host) {
          return Optional.of(host.getAsciiName());
        }
      }
    }
    return Optional.empty();
  }

  /** The one that the handshake judged, so that no signature is verified twice. */
  private static ClientChain clientChain(SSLSession session) {
    var authenticated = authenticated(session);
    return ChainJudge.shownIn(session)
        .filter(judged -> judged.shown().equals(authenticated))
        .orElseGet(() -> ClientChain.of(authenticated));
  }

  /** What the client has the key of. */
  private static List<X509Certificate> authenticated(SSLSession session) {
    try {
      var chain = new ArrayList<X509Certificate>();
      for (var certificate : session.getPeerCertificates()) {
        chain.add((X509Certificate) certificate);
      }
      return chain;
    } catch (SSLPeerUnverifiedException e) {
      // None was asked for, or none was shown.
      return List.of();
    }
  }

  @Override
  @SuppressWarnings("FutureReturnValueIgnored") // Threads are daemons; no call runs on them by now.
  public void close() {
    acceptors.shutdownGracefully(0, 1, TimeUnit.SECONDS);
    // A worker may still be returning from the answer with which the last connection closed.
    eventLoops.shutdownGracefully(QUIET_MILLIS, 1000, TimeUnit.MILLISECONDS);
  }
}
