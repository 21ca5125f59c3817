package dev.grep11.gateway.rpc;

import dev.grep11.gateway.tls.Connection;
import dev.grep11.gateway.tls.Connections;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.ServerStreamTracer;
import io.grpc.Status;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * Answers that clients have not taken. An HTTP/2 client decides how much it is sent (RFC 9113,
 * 5.2), so what it asked for and does not read stays here, long after the call was over: random
 * bytes cost it nothing to ask for. The connection keeps the count, and is cut off when nothing of
 * it moves; where all of them hold too much, the one that holds most goes at once.
 */
final class UnreadAnswers extends ServerStreamTracer.Factory {
  /** In place of a count of bytes: the call is over, and nothing of it waits any more. */
  private static final long CLOSED = -1;

  private static final long PAUSE = TimeUnit.MILLISECONDS.toNanos(100);

  private final Connections connections;
  private final long limit;
  private final AtomicLong all = new AtomicLong();

  /** Of {@link System#nanoTime}. */
  private final AtomicLong lastCut = new AtomicLong(System.nanoTime() - PAUSE);

  /**
   * @param limit bytes of all connections together
   */
  UnreadAnswers(Connections connections, long limit) {
    this.connections = connections;
    this.limit = limit;
  }

  /** One at a time: what it held is given back a moment later, and may be enough. */
  private void cutOff() {
    long last = lastCut.get();
    long now = System.nanoTime();
    if (now - last >= PAUSE && lastCut.compareAndSet(last, now)) {
      connections.cutOffTheSlowest();
    }
  }

  @Override
  public ServerStreamTracer newServerStreamTracer(String fullMethodName, Metadata headers) {
    return new Answer();
  }

  private final class Answer extends ServerStreamTracer {
    private final AtomicLong held = new AtomicLong();
    private volatile @Nullable Connection connection;

    @Override
    public void serverCallStarted(ServerCallInfo<?, ?> call) {
      // A stream of many answers, as reflection is, gives nothing back before its end.
      if (call.getMethodDescriptor().getType() == MethodDescriptor.MethodType.UNARY) {
        connection = call.getAttributes().get(Connections.CONNECTION);
      }
    }

    @Override
    public void outboundWireSize(long bytes) {
      var by = connection;
      if (by == null) {
        return;
      }
      by.unread().add(bytes);
      if (all.addAndGet(bytes) > limit) {
        cutOff();
      }
      if (held.getAndUpdate(before -> before == CLOSED ? CLOSED : before + bytes) == CLOSED) {
        giveBack(by, bytes);
      }
    }

    @Override
    public void streamClosed(Status status) {
      long bytes = held.getAndSet(CLOSED);
      var by = connection;
      if (bytes > 0 && by != null) {
        giveBack(by, bytes);
      }
    }

    private void giveBack(Connection by, long bytes) {
      all.addAndGet(-bytes);
      by.unread().take(bytes);
    }
  }
}
