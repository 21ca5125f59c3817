package dev.grep11.gateway.http;

import dev.grep11.gateway.tls.Connections;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.handler.ssl.ApplicationProtocolNames;
import io.netty.handler.ssl.ApplicationProtocolNegotiationHandler;
import io.netty.handler.ssl.SslContext;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/**
 * A port that speaks HTTP/1.1 over TLS and asks for no client certificate. Event loops only read
 * and write; each request is answered on a thread of its own.
 */
public final class HttpListener implements AutoCloseable {
  private static final Duration HANDSHAKE = Duration.ofSeconds(10);
  private static final Duration LAST_ANSWERS = Duration.ofSeconds(3);

  private final Channel server;
  private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();

  /** What a port does besides with a connection whose handshake is done. */
  @FunctionalInterface
  public interface Handshaken {
    /**
     * On the event loop.
     *
     * @param protocol that the client chose (RFC 7301); HTTP/1.1 where it named none
     * @return whether the connection is taken over; otherwise it speaks HTTP/1.1
     */
    boolean takes(Channel channel, String protocol);
  }

  private HttpListener(
      InetSocketAddress address,
      SslContext tls,
      Connections connections,
      HttpLimits limits,
      Pages pages,
      Handshaken handshaken)
      throws IOException {
    var bound =
        new ServerBootstrap()
            .group(connections.acceptors(), connections.eventLoops())
            .channelFactory(connections.channelFactory())
            .option(ChannelOption.SO_REUSEADDR, true)
            .childHandler(
                new ChannelInitializer<>() {
                  @Override
                  protected void initChannel(Channel channel) {
                    var handshake = tls.newHandler(channel.alloc());
                    handshake.setHandshakeTimeoutMillis(HANDSHAKE.toMillis());
                    channel
                        .pipeline()
                        .addLast(handshake, new ProtocolChoice(limits, pages, handshaken));
                  }
                })
            .bind(address)
            .awaitUninterruptibly();
    if (!bound.isSuccess()) {
      throw new IOException(
          bound.cause().getMessage() == null ? "cannot listen" : bound.cause().getMessage(),
          bound.cause());
    }
    server = bound.channel();
  }

  /**
   * Listens from now on.
   *
   * @param connections which admit and refuse for this port
   */
  public static HttpListener start(
      InetSocketAddress address,
      SslContext tls,
      Connections connections,
      HttpLimits limits,
      Pages pages)
      throws IOException {
    return start(address, tls, connections, limits, pages, (_, _) -> false);
  }

  /** The same, of a port that does more. */
  public static HttpListener start(
      InetSocketAddress address,
      SslContext tls,
      Connections connections,
      HttpLimits limits,
      Pages pages,
      Handshaken handshaken)
      throws IOException {
    return new HttpListener(address, tls, connections, limits, pages, handshaken);
  }

  /** Where it listens, with the port it really has. */
  public InetSocketAddress address() {
    return (InetSocketAddress) server.localAddress();
  }

  /** What remains of a connection once TLS is there. */
  private final class ProtocolChoice extends ApplicationProtocolNegotiationHandler {
    private final HttpLimits limits;
    private final Pages pages;
    private final Handshaken handshaken;

    /** Who names no protocol speaks HTTP/1.1. */
    private ProtocolChoice(HttpLimits limits, Pages pages, Handshaken handshaken) {
      super(ApplicationProtocolNames.HTTP_1_1);
      this.limits = limits;
      this.pages = pages;
      this.handshaken = handshaken;
    }

    @Override
    protected void configurePipeline(ChannelHandlerContext context, String protocol) {
      if (!handshaken.takes(context.channel(), protocol)) {
        HttpConnection.add(context.pipeline(), pages, limits, threads);
      }
    }

    @Override
    protected void handshakeFailure(ChannelHandlerContext context, Throwable cause) {
      HttpConnection.close(context.channel());
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
      HttpConnection.close(context.channel());
    }
  }

  /** Takes nothing new, sends what is being answered, for three seconds at most, and stops. */
  @Override
  public void close() {
    server.close().syncUninterruptibly();
    threads.shutdown();
    try {
      if (!threads.awaitTermination(LAST_ANSWERS.toMillis(), TimeUnit.MILLISECONDS)) {
        threads.shutdownNow();
      }
    } catch (InterruptedException e) {
      threads.shutdownNow();
      Thread.currentThread().interrupt();
    }
  }
}
