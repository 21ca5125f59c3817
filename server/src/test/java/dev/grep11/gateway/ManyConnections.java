package dev.grep11.gateway;

import io.grpc.netty.GrpcSslContexts;
import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslHandler;
import io.netty.handler.ssl.util.InsecureTrustManagerFactory;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A program that holds many silent connections and says once a second, as {@code OPEN name number},
 * how many are open. It has a process of its own for its file descriptors.
 *
 * <p>Arguments: port, number of connections for each client, and files NAME.pem and NAME.key of the
 * clients.
 */
final class ManyConnections {
  /** Handshakes at once: the gateway cuts those off that take too long. */
  private static final Semaphore HANDSHAKES = new Semaphore(64);

  /** RFC 9113, 3.4: preface and an empty SETTINGS frame. */
  private static final byte[] PREFACE =
      ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\0\0\0\4\0\0\0\0\0")
          .getBytes(StandardCharsets.ISO_8859_1);

  private ManyConnections() {}

  public static void main(String[] arguments) throws Exception {
    int port = Integer.parseInt(arguments[0]);
    int each = Integer.parseInt(arguments[1]);
    var loops = new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory());
    var clients = List.of(arguments).subList(2, arguments.length);
    var open = clients.stream().map(_ -> new AtomicInteger()).toList();
    for (int i = 0; i < clients.size(); i++) {
      var name = clients.get(i);
      var ssl =
          GrpcSslContexts.forClient()
              .trustManager(InsecureTrustManagerFactory.INSTANCE)
              .keyManager(new File(name + ".pem"), new File(name + ".key"))
              .build();
      for (int n = 0; n < each; n++) {
        HANDSHAKES.acquire();
        connect(loops, ssl, port, open.get(i));
      }
    }
    while (true) {
      for (int i = 0; i < clients.size(); i++) {
        System.out.println("OPEN " + new File(clients.get(i)).getName() + " " + open.get(i));
      }
      Thread.sleep(200);
    }
  }

  private static void connect(
      MultiThreadIoEventLoopGroup loops, SslContext ssl, int port, AtomicInteger open) {
    var _ =
        new Bootstrap()
            .group(loops)
            .channel(NioSocketChannel.class)
            .handler(
                new ChannelInitializer<Channel>() {
                  @Override
                  protected void initChannel(Channel channel) {
                    var tls = ssl.newHandler(channel.alloc());
                    tls.setHandshakeTimeoutMillis(60_000);
                    channel.pipeline().addLast(tls, new Silent());
                    shakeHands(channel, tls, open);
                  }
                })
            .connect("127.0.0.1", port);
  }

  private static void shakeHands(Channel channel, SslHandler tls, AtomicInteger open) {
    tls.handshakeFuture()
        .addListener(done -> {
          HANDSHAKES.release();
          if (done.isSuccess()) {
            open.incrementAndGet();
            channel.closeFuture().addListener(_ -> open.decrementAndGet());
            var _ = channel.writeAndFlush(Unpooled.wrappedBuffer(PREFACE));
          }
        });
  }

  /** Hears a GOAWAY and does nothing about it: such a client must be cut off. */
  private static final class Silent extends SimpleChannelInboundHandler<Object> {
    @Override
    protected void channelRead0(ChannelHandlerContext context, Object message) {}
  }
}
