package dev.grep11.gateway.tls;

import static java.nio.charset.StandardCharsets.US_ASCII;

import dev.grep11.gateway.tls.RefusedConnection.Reason;
import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelDuplexHandler;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPromise;
import io.netty.handler.ssl.SslHandler;
import io.netty.util.ReferenceCountUtil;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * Cuts a connection off that sends more frames of HTTP/2 than a client has a use for: settings,
 * priorities, data of a few bytes, frames of types that do not exist. Each costs the sender little
 * and us an answer, a search or an object, and none ends a call, so no other limit sees them
 * (CVE-2019-9515, CVE-2019-9513, CVE-2019-9518). It reads nine bytes of each frame and changes
 * none. Resets (CVE-2023-44487), pings (CVE-2019-9512) and headers in pieces (CVE-2024-27316) have
 * limits of a connection in grpc and Netty, and count here for the address, which may come back by
 * another. Window updates are of use as far as there are calls and answers (CVE-2019-9517 is what
 * they may do besides). Headers belong to calls, which do no work before one was admitted: who has
 * no token may ask in vain, and not without end.
 */
final class FrameLimit extends ChannelDuplexHandler {
  private static final int PER_SECOND = 200;
  private static final int BURST_SECONDS = 5;

  /**
   * Data shorter than this that does not end its call. A payload has one such piece or two, and a
   * long one another wherever the window of its call happens to end: grpc-java sends one byte alone
   * for every 36 KiB.
   */
  private static final int SMALL = 256;

  /**
   * Frames of a connection beyond what its address may send, of which everybody has a few: the
   * settings at the beginning, a ping, a call that is not wanted any more. Who shares an address
   * with a flood, by a proxy perhaps, is not cut off for it.
   */
  private static final int HONEST = 8;

  /** The same of calls that begin before one is admitted: all at once, when a fleet starts anew. */
  private static final int HONEST_CALLS = 64;

  /** Bytes of longer pieces that allow for a small one. */
  private static final int LONG_OF_SMALL = 8192;

  private static final int SMALL_OF_A_CALL = 4;
  private static final int MOST_SMALL = 4096;

  /**
   * Bytes written that allow for a window update. Clients tell after half a window or a quarter of
   * it, some after each piece they read, for the call and for the connection.
   */
  private static final int WRITTEN_OF_UPDATE = 512;

  private static final int UPDATES_OF_A_CALL = 8;
  private static final int MOST_UPDATES = 16_384;

  /** RFC 9113, 3.4. */
  private static final byte[] PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".getBytes(US_ASCII);

  /** RFC 9113, 4.1: length in three bytes, type, flags, stream in four. */
  private static final int HEADER_BYTES = 9;

  private static final int DATA = 0;
  private static final int HEADERS = 1;
  private static final int PRIORITY = 2;
  private static final int RST_STREAM = 3;
  private static final int SETTINGS = 4;
  private static final int PING = 6;
  private static final int WINDOW_UPDATE = 8;
  private static final int CONTINUATION = 9;
  private static final int END_STREAM = 1;
  private static final int ACK = 1;
  private static final int PADDED = 8;

  private enum Use {
    WORK,
    /** Of use in itself, and a flood where nothing else comes. */
    NO_WORK,
    /** A call of a stranger. */
    UNKNOWN_CALL,
    NONE
  }

  private final Consumer<RefusedConnection> onRefusal;
  private final RateLimit rate = new RateLimit(PER_SECOND, BURST_SECONDS, System.nanoTime());
  private final byte[] header = new byte[HEADER_BYTES];
  private int prefaceBytes;
  private int headerBytes;
  private int skipped;
  private int smallLeft;
  private int longBytes;
  private int wasted;
  private int unknownCalls;
  private boolean mayBeStranger = true;
  private int updatesLeft = UPDATES_OF_A_CALL;
  private int writtenBytes;
  private boolean isBlind;
  private boolean over;

  FrameLimit(Consumer<RefusedConnection> onRefusal) {
    this.onRefusal = onRefusal;
  }

  /** Watches a connection whose handshake is done and that has not been read since. */
  static void watch(Channel channel, Consumer<RefusedConnection> onRefusal) {
    var tls = channel.pipeline().context(SslHandler.class);
    if (tls != null) {
      channel.pipeline().addAfter(tls.name(), null, new FrameLimit(onRefusal));
    }
  }

  @Override
  public void channelRead(ChannelHandlerContext context, Object message) {
    if (!over && !isBlind && message instanceof ByteBuf bytes) {
      exceeded(context.channel(), bytes)
          .ifPresent(limit -> {
            over = true;
            onRefusal.accept(new RefusedConnection(context.channel().remoteAddress(), limit));
            ConnectionGate.cutOff(context.channel());
          });
    }
    if (over) {
      ReferenceCountUtil.release(message);
    } else {
      context.fireChannelRead(message);
    }
  }

  @Override
  public void write(ChannelHandlerContext context, Object message, ChannelPromise promise) {
    if (message instanceof ByteBuf bytes) {
      writtenBytes += bytes.readableBytes();
      allowUpdates(writtenBytes / WRITTEN_OF_UPDATE);
      writtenBytes %= WRITTEN_OF_UPDATE;
    }
    var _ = context.write(message, promise);
  }

  private Optional<Reason> exceeded(Channel channel, ByteBuf bytes) {
    int at = bytes.readerIndex();
    int end = bytes.writerIndex();
    while (at < end) {
      if (prefaceBytes < PREFACE.length) {
        if (bytes.getByte(at++) != PREFACE[prefaceBytes++]) {
          // Another protocol, or not from its first byte on: what follows cannot be told apart.
          isBlind = true;
          return Optional.empty();
        }
      } else if (skipped > 0) {
        int now = Math.min(skipped, end - at);
        skipped -= now;
        at += now;
      } else {
        header[headerBytes++] = bytes.getByte(at++);
        if (headerBytes == HEADER_BYTES) {
          headerBytes = 0;
          skipped = length();
          var use = use(channel);
          if (use == Use.NONE && !rate.take(System.nanoTime())) {
            return Optional.of(Reason.FRAMES);
          }
          if (use != Use.WORK && !ConnectionGate.mayWaste(channel) && !isHonest(use)) {
            return Optional.of(Reason.FRAMES_OF_ADDRESS);
          }
        }
      }
    }
    return Optional.empty();
  }

  private int length() {
    return (header[0] & 0xff) << 16 | (header[1] & 0xff) << 8 | (header[2] & 0xff);
  }

  private boolean has(int flag) {
    return (header[4] & flag) != 0;
  }

  private boolean isHonest(Use use) {
    return use == Use.UNKNOWN_CALL ? ++unknownCalls <= HONEST_CALLS : ++wasted <= HONEST;
  }

  /** Asks no more once it is known, since that takes a lock that all connections share. */
  private boolean isStranger(Channel channel) {
    mayBeStranger = mayBeStranger && ConnectionGate.isStranger(channel);
    return mayBeStranger;
  }

  private Use use(Channel channel) {
    int type = header[3] & 0xff;
    return switch (type) {
      case DATA -> useOfData();
      case HEADERS -> {
        allowSmall(SMALL_OF_A_CALL);
        allowUpdates(UPDATES_OF_A_CALL);
        yield isStranger(channel) ? Use.UNKNOWN_CALL : Use.WORK;
      }
      case RST_STREAM, CONTINUATION -> Use.NO_WORK;
      case PING -> has(ACK) ? Use.WORK : Use.NO_WORK;
      case SETTINGS -> has(ACK) ? Use.WORK : Use.NONE;
      case WINDOW_UPDATE -> useOfUpdate();
      case PRIORITY -> Use.NONE;
      default -> type > CONTINUATION ? Use.NONE : Use.WORK;
    };
  }

  private void allowSmall(int more) {
    smallLeft = Math.min(MOST_SMALL, smallLeft + more);
  }

  private void allowUpdates(int more) {
    updatesLeft = Math.min(MOST_UPDATES, updatesLeft + more);
  }

  private Use useOfUpdate() {
    if (updatesLeft == 0) {
      return Use.NONE;
    }
    updatesLeft--;
    return Use.WORK;
  }

  /** Of padding it is not known how much of the frame it is. */
  private Use useOfData() {
    if (length() >= SMALL && !has(PADDED)) {
      longBytes += length();
      allowSmall(longBytes / LONG_OF_SMALL);
      longBytes %= LONG_OF_SMALL;
      return Use.WORK;
    }
    if (has(END_STREAM)) {
      return Use.WORK;
    }
    if (length() > 0 && smallLeft > 0) {
      smallLeft--;
      return Use.WORK;
    }
    return Use.NONE;
  }
}
