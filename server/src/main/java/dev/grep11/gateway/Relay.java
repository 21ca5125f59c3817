package dev.grep11.gateway;

import io.netty.channel.Channel;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.util.ReferenceCountUtil;
import java.util.ArrayDeque;
import java.util.Queue;

/**
 * Passes what one of two channels reads to the other, no faster than it takes it. What is read
 * before the other is connected waits; used on the event loop of the one that reads.
 */
final class Relay extends ChannelInboundHandlerAdapter {
  private final Channel other;
  private final Queue<Object> waiting = new ArrayDeque<>();
  private boolean connected;

  /**
   * @param connected whether the other one is; if not, {@link #begin} says when
   */
  Relay(Channel other, boolean connected) {
    this.other = other;
    this.connected = connected;
  }

  /** The other one is connected. */
  void begin() {
    connected = true;
    for (var read = waiting.poll(); read != null; read = waiting.poll()) {
      pass(read);
    }
    other.flush();
  }

  private void pass(Object bytes) {
    other.write(bytes).addListener(ChannelFutureListener.CLOSE_ON_FAILURE);
  }

  @Override
  public void channelRead(ChannelHandlerContext context, Object bytes) {
    if (connected) {
      pass(bytes);
    } else {
      waiting.add(bytes);
    }
  }

  @Override
  public void channelReadComplete(ChannelHandlerContext context) {
    if (!connected) {
      return;
    }
    other.flush();
    if (!other.isWritable()) {
      context.channel().config().setAutoRead(false);
      // It may have become so in between, and told of it already.
      if (other.isWritable()) {
        context.channel().config().setAutoRead(true);
      }
    }
  }

  @Override
  public void channelWritabilityChanged(ChannelHandlerContext context) {
    if (connected) {
      var own = context.channel();
      other.config().setAutoRead(own.isWritable());
      // Of who takes no answers no questions are taken: each costs an answer that is kept.
      own.config().setAutoRead(own.isWritable() && other.isWritable());
    }
    context.fireChannelWritabilityChanged();
  }

  @Override
  public void channelInactive(ChannelHandlerContext context) {
    close(other);
  }

  @Override
  public void handlerRemoved(ChannelHandlerContext context) {
    waiting.forEach(ReferenceCountUtil::release);
    waiting.clear();
  }

  @Override
  public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
    // A client that breaks off; there is nobody to tell.
    close(context.channel());
  }

  @SuppressWarnings("FutureReturnValueIgnored") // What cannot be closed is closed.
  private static void close(Channel channel) {
    channel.close();
  }
}
