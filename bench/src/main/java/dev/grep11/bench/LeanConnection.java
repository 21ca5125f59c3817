package dev.grep11.bench;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.codec.http2.DefaultHttp2Headers;
import io.netty.handler.codec.http2.DefaultHttp2HeadersDecoder;
import io.netty.handler.codec.http2.DefaultHttp2HeadersEncoder;
import io.netty.handler.codec.http2.Http2Exception;
import io.netty.handler.codec.http2.Http2Flags;
import io.netty.handler.codec.http2.Http2FrameTypes;
import io.netty.handler.codec.http2.Http2Headers;
import io.netty.handler.codec.http2.Http2HeadersEncoder;
import io.netty.util.collection.IntObjectHashMap;
import io.netty.util.concurrent.Promise;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * One HTTP/2 connection (RFC 9113) that carries prepared unary gRPC calls, and does no more for a
 * call than the protocol asks: it keeps both windows, answers SETTINGS and PING, compresses headers
 * as any client does (from the second call on they are indices, RFC 7541), looks at the status of
 * every answer. Confined to its event loop.
 */
final class LeanConnection extends ChannelInboundHandlerAdapter {
  /** What a lane hears when its call has ended. */
  interface Listener {
    /**
     * The call has an answer, or none will come.
     *
     * @param status of gRPC; -1 when the stream was reset
     * @param message what the gateway says to it
     */
    void ended(int status, String message);

    /** Whether the message of the next answer is to be kept. */
    boolean samples();

    void sampled(byte[] message);

    /** The connection has gone. */
    void lost(Throwable cause);
  }

  /** One call at a time. */
  static final class Exchange {
    private final Listener listener;
    private int stream;
    private @Nullable PreparedCall call;
    private int sent;
    private long window;
    private int received;
    private byte @Nullable [] kept;

    Exchange(Listener listener) {
      this.listener = listener;
    }
  }

  private static final byte[] PREFACE =
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".getBytes(StandardCharsets.US_ASCII);
  private static final int FRAME_HEADER = 9;
  private static final int STANDARD_WINDOW = 65_535;
  private static final int STREAM_WINDOW = 16 << 20;
  private static final int CONNECTION_WINDOW = 1 << 30;
  private static final int STANDARD_TABLE = 4096;
  private static final int END_STREAM = Http2Flags.END_STREAM;
  private static final int END_HEADERS = Http2Flags.END_HEADERS;

  private final Http2Headers common;
  private final Promise<LeanConnection> ready;
  private final DefaultHttp2HeadersEncoder encoder =
      new DefaultHttp2HeadersEncoder(Http2HeadersEncoder.NEVER_SENSITIVE);
  private final DefaultHttp2HeadersDecoder decoder = new DefaultHttp2HeadersDecoder(false);
  private final IntObjectHashMap<Exchange> exchanges = new IntObjectHashMap<>();
  private final ByteBuf scratch = Unpooled.buffer(STANDARD_TABLE);

  private @Nullable ChannelHandlerContext context;
  private @Nullable ByteBuf rest;
  private boolean reading;
  private int nextStream = 1;
  private long window = STANDARD_WINDOW;
  private int streamWindow = STANDARD_WINDOW;
  private int frameSize = 16_384;
  private int unacknowledged;

  /** Of a DATA frame that has not come as a whole. */
  private int dataLeft;

  private int dataStream;

  /** The path whose header block consists of indices only, and that block. */
  private String steadyPath = "";

  private byte[] steadyBlock = {};

  /** Blocks of a good answer that consist of indices only, as long as the table stays as it is. */
  private byte[] goodHeaders = {};

  private byte[] goodTrailers = {};

  /**
   * @param common the headers of every call but {@code :path}
   * @param ready completes when the server has said its settings
   */
  LeanConnection(Http2Headers common, Promise<LeanConnection> ready) {
    this.common = common;
    this.ready = ready;
  }

  @Override
  public void handlerAdded(ChannelHandlerContext ctx) {
    context = ctx;
    if (ctx.channel().isActive()) {
      greet(ctx);
    }
  }

  private void greet(ChannelHandlerContext ctx) {
    var out = ctx.alloc().buffer();
    out.writeBytes(PREFACE);
    frame(out, 2 * 6, Http2FrameTypes.SETTINGS, 0, 0);
    out.writeShort(2).writeInt(0);
    out.writeShort(4).writeInt(STREAM_WINDOW);
    frame(out, 4, Http2FrameTypes.WINDOW_UPDATE, 0, 0);
    out.writeInt(CONNECTION_WINDOW - STANDARD_WINDOW);
    var _ = ctx.writeAndFlush(out, ctx.voidPromise());
  }

  void close() {
    var ctx = context;
    if (ctx != null) {
      var _ = ctx.close();
    }
  }

  io.netty.channel.EventLoop loop() {
    return (io.netty.channel.EventLoop) context().executor();
  }

  private ChannelHandlerContext context() {
    var ctx = context;
    if (ctx == null) {
      throw new IllegalStateException("not connected");
    }
    return ctx;
  }

  /** Sends a call, whose exchange has no other under way; on the event loop. */
  void send(Exchange exchange, PreparedCall call) {
    var ctx = context();
    if (!ctx.channel().isActive()) {
      exchange.listener.lost(new BenchException("the gateway closed the connection"));
      return;
    }
    exchange.call = call;
    exchange.stream = nextStream;
    nextStream += 2;
    exchange.sent = 0;
    exchange.received = 0;
    exchange.window = streamWindow;
    exchange.kept = null;
    exchanges.put(exchange.stream, exchange);
    var block = headerBlock(call);
    int body = call.body().length;
    int frames = body / frameSize + 2;
    var out = ctx.alloc().directBuffer(block.length + body + frames * FRAME_HEADER);
    frame(out, block.length, Http2FrameTypes.HEADERS, END_HEADERS, exchange.stream);
    out.writeBytes(block);
    writeBody(exchange, out);
    var _ = ctx.write(out, ctx.voidPromise());
    if (!reading) {
      ctx.flush();
    }
  }

  /** As much as the windows allow. */
  private void writeBody(Exchange exchange, ByteBuf out) {
    var body = call(exchange).body();
    int length = body.length;
    while (exchange.sent < length) {
      int part =
          (int)
              Math.min(
                  Math.min(frameSize, length - exchange.sent), Math.min(window, exchange.window));
      if (part <= 0) {
        return;
      }
      boolean last = exchange.sent + part == length;
      frame(out, part, Http2FrameTypes.DATA, last ? END_STREAM : 0, exchange.stream);
      out.writeBytes(body, exchange.sent, part);
      exchange.sent += part;
      exchange.window -= part;
      window -= part;
    }
  }

  private void resume(Exchange exchange) {
    var call = exchange.call;
    if (call != null && exchange.sent < call.body().length) {
      var ctx = context();
      var out = ctx.alloc().directBuffer();
      writeBody(exchange, out);
      var _ = ctx.write(out, ctx.voidPromise());
    }
  }

  private static PreparedCall call(Exchange exchange) {
    var call = exchange.call;
    if (call == null) {
      throw new IllegalStateException("no call");
    }
    return call;
  }

  private byte[] headerBlock(PreparedCall call) {
    if (call.path().equals(steadyPath)) {
      return steadyBlock;
    }
    try {
      scratch.clear();
      encoder.encodeHeaders(
          1, new DefaultHttp2Headers(false).path(call.path()).add(common), scratch);
    } catch (Http2Exception e) {
      throw new IllegalStateException("headers that cannot be encoded", e);
    }
    var block = ByteBufUtil.getBytes(scratch);
    steadyPath = "";
    if (onlyIndices(block)) {
      steadyPath = call.path();
      steadyBlock = block;
    }
    return block;
  }

  /** RFC 7541, 6.1: an indexed field is one octet here, with its high bit set. */
  private static boolean onlyIndices(byte[] block) {
    for (byte octet : block) {
      // 0xff would go on in the next octet.
      if (octet >= 0 || octet == (byte) 0xff) {
        return false;
      }
    }
    return true;
  }

  private static void frame(ByteBuf out, int length, int type, int flags, int stream) {
    out.writeMedium(length).writeByte(type).writeByte(flags).writeInt(stream);
  }

  @Override
  public void channelRead(ChannelHandlerContext ctx, Object message) throws Http2Exception {
    var in = (ByteBuf) message;
    var before = rest;
    if (before != null) {
      before.writeBytes(in);
      in.release();
      in = before;
      rest = null;
    }
    reading = true;
    while (dataLeft > 0 ? in.isReadable() : in.readableBytes() >= FRAME_HEADER) {
      if (dataLeft > 0) {
        data(dataStream, in, Math.min(dataLeft, in.readableBytes()));
        continue;
      }
      int length = in.getUnsignedMedium(in.readerIndex());
      int type = in.getUnsignedByte(in.readerIndex() + 3);
      if (type == Http2FrameTypes.DATA) {
        dataStream = in.getInt(in.readerIndex() + 5) & Integer.MAX_VALUE;
        dataLeft = length;
        in.skipBytes(FRAME_HEADER);
        continue;
      }
      if (in.readableBytes() < FRAME_HEADER + length) {
        break;
      }
      int flags = in.getUnsignedByte(in.readerIndex() + 4);
      int stream = in.getInt(in.readerIndex() + 5) & Integer.MAX_VALUE;
      in.skipBytes(FRAME_HEADER);
      int end = in.readerIndex() + length;
      take(ctx, type, flags, stream, in, length);
      in.readerIndex(end);
    }
    if (in.isReadable()) {
      rest = ctx.alloc().directBuffer().writeBytes(in);
    }
    in.release();
  }

  @Override
  public void channelReadComplete(ChannelHandlerContext ctx) {
    reading = false;
    if (unacknowledged > CONNECTION_WINDOW / 4) {
      var out = ctx.alloc().buffer(FRAME_HEADER + 4);
      frame(out, 4, Http2FrameTypes.WINDOW_UPDATE, 0, 0);
      out.writeInt(unacknowledged);
      unacknowledged = 0;
      var _ = ctx.write(out, ctx.voidPromise());
    }
    ctx.flush();
  }

  private void take(
      ChannelHandlerContext ctx, int type, int flags, int stream, ByteBuf in, int length)
      throws Http2Exception {
    switch (type) {
      case Http2FrameTypes.HEADERS -> headers(stream, flags, in, length);
      case Http2FrameTypes.SETTINGS -> {
        if ((flags & Http2Flags.ACK) == 0) {
          settings(ctx, in, length);
        }
      }
      case Http2FrameTypes.PING -> {
        if ((flags & Http2Flags.ACK) == 0) {
          var out = ctx.alloc().buffer(FRAME_HEADER + length);
          frame(out, length, Http2FrameTypes.PING, Http2Flags.ACK, 0);
          out.writeBytes(in, length);
          var _ = ctx.write(out, ctx.voidPromise());
        }
      }
      case Http2FrameTypes.WINDOW_UPDATE -> windowUpdate(stream, in.readInt());
      case Http2FrameTypes.RST_STREAM -> {
        var exchange = exchanges.remove(stream);
        if (exchange != null) {
          exchange.listener.ended(-1, "stream reset, error " + in.readInt());
        }
      }
      case Http2FrameTypes.GO_AWAY -> {
        in.skipBytes(4);
        var _ = ctx.close();
      }
      default -> {
        // RFC 9113, 4.1: what one does not know is ignored.
      }
    }
  }

  private void settings(ChannelHandlerContext ctx, ByteBuf in, int length) {
    for (int i = 0; i < length / 6; i++) {
      int name = in.readUnsignedShort();
      long value = in.readUnsignedInt();
      switch (name) {
        case 1 -> {
          if (value < STANDARD_TABLE) {
            throw new BenchException("the gateway's header table is small: " + value);
          }
        }
        case 4 -> {
          long change = value - streamWindow;
          streamWindow = Math.toIntExact(value);
          for (var exchange : exchanges.values()) {
            exchange.window += change;
          }
        }
        case 5 -> frameSize = Math.toIntExact(value);
        default -> {
          // The others bind servers, or are limits far beyond what is sent here.
        }
      }
    }
    var out = ctx.alloc().buffer(FRAME_HEADER);
    frame(out, 0, Http2FrameTypes.SETTINGS, Http2Flags.ACK, 0);
    var _ = ctx.write(out, ctx.voidPromise());
    ready.trySuccess(this);
  }

  private void windowUpdate(int stream, int increment) {
    if (stream == 0) {
      window += increment;
      for (var exchange : exchanges.values()) {
        resume(exchange);
      }
    } else {
      var exchange = exchanges.get(stream);
      if (exchange != null) {
        exchange.window += increment;
        resume(exchange);
      }
    }
  }

  /** A part of a DATA frame. The gateway pads none. */
  private void data(int stream, ByteBuf in, int length) {
    dataLeft -= length;
    unacknowledged += length;
    int from = in.readerIndex();
    in.skipBytes(length);
    var exchange = exchanges.get(stream);
    if (exchange == null) {
      return;
    }
    if (exchange.received == 0 && length >= PreparedCall.PREFIX && exchange.listener.samples()) {
      exchange.kept = new byte[in.getInt(from + 1) + PreparedCall.PREFIX];
    }
    var kept = exchange.kept;
    if (kept != null) {
      in.getBytes(from, kept, exchange.received, length);
    }
    exchange.received += length;
  }

  private void headers(int stream, int flags, ByteBuf in, int length) throws Http2Exception {
    if ((flags & (END_HEADERS | Http2Flags.PADDED | Http2Flags.PRIORITY)) != END_HEADERS) {
      throw new BenchException("headers in a form that the generator does not read: " + flags);
    }
    boolean last = (flags & END_STREAM) != 0;
    if (matches(last ? goodTrailers : goodHeaders, in, length)) {
      if (last) {
        end(stream, 0, "");
      }
      return;
    }
    var block = ByteBufUtil.getBytes(in, in.readerIndex(), length);
    if (!onlyIndices(block)) {
      goodHeaders = new byte[0];
      goodTrailers = new byte[0];
    }
    var headers = decoder.decodeHeaders(stream, in.readSlice(length));
    if (!last) {
      if (!"200".contentEquals(String.valueOf(headers.status()))) {
        throw new BenchException("the gateway answered HTTP status " + headers.status());
      }
      goodHeaders = onlyIndices(block) ? block : new byte[0];
      return;
    }
    var status = Optional.ofNullable(headers.get("grpc-status")).map(Object::toString).orElse("2");
    if (status.equals("0") && onlyIndices(block)) {
      goodTrailers = block;
    }
    end(stream, Integer.parseInt(status), String.valueOf(headers.get("grpc-message")));
  }

  private static boolean matches(byte[] block, ByteBuf in, int length) {
    if (block.length == 0 || block.length != length) {
      return false;
    }
    int at = in.readerIndex();
    for (int i = 0; i < length; i++) {
      if (in.getByte(at + i) != block[i]) {
        return false;
      }
    }
    return true;
  }

  private void end(int stream, int status, String message) {
    var exchange = exchanges.remove(stream);
    if (exchange == null) {
      return;
    }
    if (status == 0 && exchange.received <= PreparedCall.PREFIX) {
      exchange.listener.ended(-1, "an answer without content");
      return;
    }
    var kept = exchange.kept;
    if (kept != null && status == 0) {
      exchange.listener.sampled(Arrays.copyOfRange(kept, PreparedCall.PREFIX, kept.length));
    }
    exchange.listener.ended(status, message);
  }

  @Override
  public void channelInactive(ChannelHandlerContext ctx) {
    fail(new BenchException("the gateway closed the connection"));
  }

  @Override
  public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
    fail(cause);
    var _ = ctx.close();
  }

  private void fail(Throwable cause) {
    ready.tryFailure(cause);
    var left = exchanges.values().toArray(Exchange[]::new);
    exchanges.clear();
    for (var exchange : left) {
      exchange.listener.lost(cause);
    }
    var bytes = rest;
    rest = null;
    if (bytes != null) {
      bytes.release();
    }
  }
}
