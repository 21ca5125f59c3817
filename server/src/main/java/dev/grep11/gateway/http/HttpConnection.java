package dev.grep11.gateway.http;

import dev.grep11.gateway.tls.Connections;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelPipeline;
import io.netty.channel.ChannelPromise;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.handler.codec.DateFormatter;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpDecoderConfig;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpObject;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpServerCodec;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.handler.timeout.WriteTimeoutHandler;
import java.io.ByteArrayOutputStream;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.time.Instant;
import java.util.Date;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A connection: one request at a time, each complete within a time. Used by its event loop. */
final class HttpConnection extends SimpleChannelInboundHandler<HttpObject> {
  private static final Logger LOG = LoggerFactory.getLogger(HttpConnection.class);

  /**
   * Of a body that is too large, beyond its limit: who still sends when the connection is closed
   * sees no answer, but a reset (RFC 9112, 9.6).
   */
  private static final int READ_IN_VAIN = 64 * 1024;

  private final Pages pages;
  private final HttpLimits limits;
  private final ExecutorService threads;

  /** Of the request that is being read; null before it and after it. */
  private @Nullable HttpRequest head;

  private ByteArrayOutputStream body = new ByteArrayOutputStream();
  private long length;

  /** Until the client has taken its answer: of who takes none no further question is. */
  private boolean answering;

  /** Whether anything of the next request is there. */
  private boolean begun;

  /** Ends the connection when what is next has not come. */
  private @Nullable Future<?> end;

  private HttpConnection(Pages pages, HttpLimits limits, ExecutorService threads) {
    this.pages = pages;
    this.limits = limits;
    this.threads = threads;
  }

  static void add(
      ChannelPipeline pipeline, Pages pages, HttpLimits limits, ExecutorService threads) {
    var connection = new HttpConnection(pages, limits, threads);
    pipeline.addLast(
        new WriteTimeoutHandler(limits.unread().toMillis(), TimeUnit.MILLISECONDS),
        connection.new Arrivals(),
        new HttpServerCodec(
            new HttpDecoderConfig()
                .setMaxInitialLineLength(limits.line())
                .setMaxHeaderSize(limits.headers())
                .setHeadersFactory(new FewFields(limits.fields()))
                .setTrailersFactory(new FewFields(limits.fields()))),
        connection);
  }

  @SuppressWarnings("FutureReturnValueIgnored") // What cannot be closed is closed.
  static void close(Channel channel) {
    channel.close();
  }

  /** Each byte that drips in would put a timeout of reading off; this one it does not. */
  private void endAfter(Duration time, ChannelHandlerContext context) {
    waitNoMore();
    end =
        context
            .executor()
            .schedule(() -> close(context.channel()), time.toMillis(), TimeUnit.MILLISECONDS);
  }

  private void waitNoMore() {
    if (end != null) {
      end.cancel(false);
    }
  }

  @Override
  public void handlerAdded(ChannelHandlerContext context) {
    endAfter(limits.idle(), context);
  }

  @Override
  public void handlerRemoved(ChannelHandlerContext context) {
    waitNoMore();
  }

  @Override
  public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
    close(context.channel());
  }

  // ---- Reading

  /** Sees each byte, also of a head that is never whole. */
  private final class Arrivals extends ChannelInboundHandlerAdapter {
    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
      if (!begun) {
        begun = true;
        if (!answering) {
          endAfter(limits.time(), context);
        }
      }
      context.fireChannelRead(message);
    }
  }

  @Override
  protected void channelRead0(ChannelHandlerContext context, HttpObject part) {
    if (!part.decoderResult().isSuccess()) {
      malformed(context);
      return;
    }
    if (part instanceof HttpRequest next) {
      begin(context, next);
    }
    if (part instanceof HttpContent content) {
      add(context, content);
    }
  }

  private void malformed(ChannelHandlerContext context) {
    head = null;
    if (answering) {
      close(context.channel());
    } else {
      send(context, pages.malformed(), false, false, context.newPromise());
    }
  }

  private void begin(ChannelHandlerContext context, HttpRequest next) {
    if (answering) {
      // Who asks before he has his answer, asks faster than anybody needs to.
      close(context.channel());
      return;
    }
    if (!Connections.mayAsk(context.channel())) {
      // It is being cut off; what it sent along counts no more.
      answering = true;
      return;
    }
    head = next;
    body = new ByteArrayOutputStream();
    length = 0;
    if (HttpUtil.is100ContinueExpected(next)) {
      var _ =
          context.writeAndFlush(
              new DefaultFullHttpResponse(HttpVersion.HTTP_1_1, HttpResponseStatus.CONTINUE));
    }
  }

  private void add(ChannelHandlerContext context, HttpContent content) {
    var request = head;
    if (request == null) {
      // The rest of one that is answered already.
      return;
    }
    length += content.content().readableBytes();
    if (length <= limits.body()) {
      body.writeBytes(ByteBufUtil.getBytes(content.content()));
    }
    boolean last = content instanceof LastHttpContent;
    if (last || length > limits.body() + READ_IN_VAIN) {
      head = null;
      handOver(context, request, last && HttpUtil.isKeepAlive(request));
    }
  }

  // ---- Answering

  private void handOver(ChannelHandlerContext context, HttpRequest head, boolean keepAlive) {
    if (!(context.channel().remoteAddress() instanceof InetSocketAddress remote)) {
      // It is gone already.
      close(context.channel());
      return;
    }
    answering = true;
    begun = false;
    endAfter(limits.time(), context);
    var request =
        new Request(head, body.toByteArray(), length > limits.body(), remote, context.channel());
    body = new ByteArrayOutputStream();
    boolean headOnly = head.method().equals(HttpMethod.HEAD);
    try {
      threads.execute(() -> answer(context, request, headOnly, keepAlive));
    } catch (RejectedExecutionException e) {
      close(context.channel());
    }
  }

  /**
   * On a thread of its own, which ends when the answer is sent: so that close() can wait for it.
   */
  private void answer(
      ChannelHandlerContext context, Request request, boolean headOnly, boolean keepAlive) {
    try {
      var answer = pages.answer(request);
      var sent = context.newPromise();
      context.executor().execute(() -> send(context, answer, headOnly, keepAlive, sent));
      sent.await();
    } catch (InterruptedException | RejectedExecutionException e) {
      // The port closes, and so does the connection.
      close(context.channel());
    } catch (RuntimeException | Error e) {
      // Its message could hold a part of the request.
      LOG.error("a request was not answered: {}", e.getClass().getName());
      close(context.channel());
    }
  }

  private void send(
      ChannelHandlerContext context,
      Answer answer,
      boolean headOnly,
      boolean keepAlive,
      ChannelPromise sent) {
    answering = true;
    var response =
        new DefaultFullHttpResponse(
            HttpVersion.HTTP_1_1,
            HttpResponseStatus.valueOf(answer.status()),
            headOnly ? Unpooled.EMPTY_BUFFER : Unpooled.wrappedBuffer(answer.body()));
    answer.headers().forEach((name, value) -> response.headers().set(name, value));
    response
        .headers()
        .set(HttpHeaderNames.DATE, DateFormatter.format(Date.from(Instant.now())))
        .set(HttpHeaderNames.CONTENT_LENGTH, answer.body().length);
    HttpUtil.setKeepAlive(response, keepAlive);
    endAfter(limits.time(), context);
    sent.addListener(done -> {
      if (keepAlive && done.isSuccess()) {
        ask(context);
      } else {
        close(context.channel());
      }
    });
    var _ = context.writeAndFlush(response, sent);
  }

  /** Waits for the next request, or for the rest of what came too early. */
  private void ask(ChannelHandlerContext context) {
    answering = false;
    endAfter(begun ? limits.time() : limits.idle(), context);
  }
}
