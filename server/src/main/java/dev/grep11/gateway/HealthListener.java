package dev.grep11.gateway;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.grep11.gateway.metrics.Metrics;
import dev.grep11.gateway.rpc.GrpcHealth;
import dev.grep11.gateway.tls.Connections;
import io.netty.bootstrap.Bootstrap;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.local.LocalChannel;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.HttpDecoderConfig;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpObjectAggregator;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpServerCodec;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.ssl.ApplicationProtocolNames;
import io.netty.handler.ssl.ApplicationProtocolNegotiationHandler;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.timeout.ReadTimeoutHandler;
import io.netty.handler.timeout.WriteTimeoutHandler;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The port that supervisors ask: {@code /livez}, {@code /readyz}, {@code /startupz} and {@code
 * /metrics} by HTTP/1.1, and {@code grpc.health.v1} by HTTP/2, as the client's TLS chooses (RFC
 * 7301). It asks for no client certificate and reaches no key, so that it answers while the second
 * lock is closed.
 */
final class HealthListener implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(HealthListener.class);
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int LARGEST_BODY = 1024;
  private static final Duration LOOK = Duration.ofMillis(500);
  private static final Duration HANDSHAKE = Duration.ofSeconds(10);

  /** Longer than the pauses between two scrapes. */
  private static final Duration SILENCE = Duration.ofMinutes(2);

  private static final Duration UNREAD = Duration.ofSeconds(30);

  /** What the certificate manager needs of the rest: it is there to open locks. */
  private static final Set<String> OF_ADMINISTRATION = Set.of("start", "token", "store");

  private static final String GRPC = "grpc.health.v1";

  private final BooleanSupplier started;
  private final Readiness ready;
  private final Metrics metrics;
  private final GrpcHealth grpc;
  private final Channel server;

  /** What failed last and is in the log, by what it was: supervisors ask every few seconds. */
  private final Map<String, String> told = new ConcurrentHashMap<>();

  private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();

  /**
   * Listens from now on.
   *
   * @param tls that lets the client choose between HTTP/1.1 and HTTP/2
   * @param ready whether calls are served at present
   */
  HealthListener(
      InetSocketAddress address,
      SslContext tls,
      Connections connections,
      BooleanSupplier started,
      Readiness ready,
      Metrics metrics)
      throws IOException {
    this.started = started;
    this.ready = ready;
    this.metrics = metrics;
    grpc = new GrpcHealth();
    try {
      server = bind(address, tls, connections);
    } catch (IOException | RuntimeException e) {
      grpc.close();
      throw e;
    }
    show();
    var _ =
        server
            .eventLoop()
            .scheduleWithFixedDelay(
                this::show, LOOK.toMillis(), LOOK.toMillis(), TimeUnit.MILLISECONDS);
  }

  private Channel bind(InetSocketAddress address, SslContext tls, Connections connections)
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
                    channel.pipeline().addLast(handshake, new ProtocolChoice());
                  }
                })
            .bind(address)
            .awaitUninterruptibly();
    if (!bound.isSuccess()) {
      throw new IOException(
          bound.cause().getMessage() == null ? "cannot listen" : bound.cause().getMessage(),
          bound.cause());
    }
    return bound.channel();
  }

  /** Tells those who watch by gRPC; done twice a second anyway. */
  void show() {
    try {
      var missing = ready.missing().keySet();
      grpc.show(missing.isEmpty(), missing.stream().noneMatch(OF_ADMINISTRATION::contains));
      told.remove(GRPC);
    } catch (RuntimeException | Error e) {
      // Thrown on, it would be the last look, and what was shown before would stay.
      grpc.show(false, false);
      tell(GRPC, e);
    }
  }

  private void tell(String what, Throwable cause) {
    if (!cause.toString().equals(told.put(what, cause.toString()))) {
      LOG.error("{} cannot be answered", what, cause);
    }
  }

  int port() {
    return ((InetSocketAddress) server.localAddress()).getPort();
  }

  /** What remains of a connection once TLS is there. */
  private final class ProtocolChoice extends ApplicationProtocolNegotiationHandler {
    /** Who names no protocol speaks HTTP/1.1. */
    private ProtocolChoice() {
      super(ApplicationProtocolNames.HTTP_1_1);
    }

    @Override
    protected void configurePipeline(ChannelHandlerContext context, String protocol) {
      Connections.recognize(context.channel());
      if (protocol.equals(ApplicationProtocolNames.HTTP_2)) {
        relay(context.channel());
      } else {
        context
            .pipeline()
            .addLast(
                new ReadTimeoutHandler(SILENCE.toSeconds(), TimeUnit.SECONDS),
                new WriteTimeoutHandler(UNREAD.toSeconds(), TimeUnit.SECONDS),
                new HttpServerCodec(new HttpDecoderConfig()),
                new HttpObjectAggregator(LARGEST_BODY, true),
                new Http());
      }
    }

    @Override
    protected void handshakeFailure(ChannelHandlerContext context, Throwable cause) {
      close(context.channel());
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
      close(context.channel());
    }
  }

  /** Hands a connection to the server of gRPC, which is in this process. */
  private void relay(Channel outside) {
    outside.config().setAutoRead(false);
    var inside =
        new Bootstrap()
            .group(grpc.eventLoops())
            .channel(LocalChannel.class)
            .handler(new Relay(outside, true))
            .connect(grpc.address());
    var inwards = new Relay(inside.channel(), false);
    outside.pipeline().addLast(inwards);
    inside.addListener(connected ->
        outside
            .eventLoop()
            .execute(() -> {
              if (connected.isSuccess()) {
                inwards.begin();
                outside.config().setAutoRead(true);
              } else {
                close(outside);
              }
            }));
  }

  @SuppressWarnings("FutureReturnValueIgnored") // What cannot be closed is closed.
  private static void close(Channel channel) {
    channel.close();
  }

  // ---- HTTP/1.1

  private record Answer(HttpResponseStatus status, String contentType, byte[] body) {}

  /** One request of a connection at a time. */
  private final class Http extends SimpleChannelInboundHandler<FullHttpRequest> {
    private boolean busy;

    @Override
    protected void channelRead0(ChannelHandlerContext context, FullHttpRequest request) {
      if (busy) {
        // Who asks before he has his answer, asks faster than anybody needs to.
        close(context.channel());
        return;
      }
      busy = true;
      var path = request.uri().split("\\?", 2)[0];
      var known = request.decoderResult().isSuccess();
      var method = request.method();
      var accept = request.headers().get(HttpHeaderNames.ACCEPT);
      var keepAlive = known && HttpUtil.isKeepAlive(request);
      try {
        threads.execute(() -> {
          var answer = known ? answer(method, path, accept) : json(400, Map.of("status", "bad"));
          context
              .executor()
              .execute(() -> send(context, answer, method.equals(HttpMethod.HEAD), keepAlive));
        });
      } catch (RejectedExecutionException e) {
        close(context.channel());
      }
    }

    private void send(
        ChannelHandlerContext context, Answer answer, boolean headOnly, boolean keepAlive) {
      busy = false;
      var response =
          new DefaultFullHttpResponse(
              HttpVersion.HTTP_1_1,
              answer.status(),
              headOnly ? Unpooled.EMPTY_BUFFER : Unpooled.wrappedBuffer(answer.body()));
      response.headers().set(HttpHeaderNames.CONTENT_TYPE, answer.contentType());
      response.headers().set(HttpHeaderNames.CONTENT_LENGTH, answer.body().length);
      HttpUtil.setKeepAlive(response, keepAlive);
      var sent = context.writeAndFlush(response);
      if (!keepAlive) {
        sent.addListener(ChannelFutureListener.CLOSE);
      }
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
      close(context.channel());
    }
  }

  private Answer answer(HttpMethod method, String path, @Nullable String accept) {
    try {
      var page = page(method, path, accept);
      told.remove(path);
      return page;
    } catch (RuntimeException | Error e) {
      tell(path, e);
      return json(500, Map.of("status", "failed"));
    }
  }

  private Answer page(HttpMethod method, String path, @Nullable String accept) {
    if (!method.equals(HttpMethod.GET) && !method.equals(HttpMethod.HEAD)) {
      return json(405, Map.of("status", "method not allowed"));
    }
    return switch (path) {
      case "/livez" -> health(Map.of());
      case "/startupz" ->
          health(started.getAsBoolean() ? Map.of() : Map.of("start", "the gateway is starting"));
      case "/readyz" -> health(ready.missing());
      case "/metrics" -> metrics(accept);
      default -> json(404, Map.of("status", "not found"));
    };
  }

  private static Answer health(Map<String, String> reasons) {
    var good = reasons.isEmpty();
    var body = new LinkedHashMap<String, Object>();
    body.put("status", good ? "ok" : "not ready");
    if (!good) {
      body.put("reasons", reasons);
    }
    return json(good ? 200 : 503, body);
  }

  private static Answer json(int status, Map<String, ?> body) {
    try {
      return new Answer(
          HttpResponseStatus.valueOf(status), "application/json", JSON.writeValueAsBytes(body));
    } catch (JsonProcessingException e) {
      throw new UncheckedIOException(e);
    }
  }

  private Answer metrics(@Nullable String accept) {
    var page = metrics.page(accept);
    return new Answer(HttpResponseStatus.OK, page.contentType(), page.body());
  }

  @Override
  public void close() {
    server.close().syncUninterruptibly();
    grpc.close();
    threads.shutdownNow();
  }
}
