package dev.grep11.gateway.rpc;

import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.ServerStreamTracer;
import io.grpc.Status;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * A limit on the bytes of all requests that are held at once, half-received ones included. Without
 * it, streams times message size decides how much memory a client can make us hold. The call that
 * goes over it is refused; its bytes count until its stream is closed.
 *
 * <p>One caller has a part of it only: who sends large requests and never ends them would keep
 * everybody else out, for as long as he likes.
 */
final class InboundBudget extends ServerStreamTracer.Factory {
  private static final Context.Key<Share> SHARE = Context.key("inbound-share");

  /**
   * Smaller calls count towards the whole alone; a connection has too few of them to matter. Larger
   * ones count for their caller in steps of it, not frame by frame.
   */
  private static final long LARGE = 64 * 1024;

  private final long limit;
  private final long perCaller;
  private final AtomicLong held = new AtomicLong();
  private final Map<String, Long> heldByCaller = new ConcurrentHashMap<>();

  InboundBudget(long limit, long perCaller) {
    this.limit = limit;
    this.perCaller = perCaller;
  }

  long held() {
    return held.get();
  }

  static Optional<Share> ofCurrentCall() {
    return Optional.ofNullable(SHARE.get());
  }

  @Override
  public ServerStreamTracer newServerStreamTracer(String fullMethodName, Metadata headers) {
    return new Share();
  }

  /** What one call holds of the budget. */
  final class Share extends ServerStreamTracer {
    private final AtomicLong mine = new AtomicLong();
    private final AtomicBoolean closed = new AtomicBoolean();
    private final AtomicReference<Runnable> refusal = new AtomicReference<>(() -> {});

    private volatile @Nullable String caller;

    /** What of it is counted for its caller; guarded by this. */
    private long counted;

    private Share() {}

    /** Says whose call this is, once that is known and before its body is asked for. */
    void belongsTo(String name) {
      caller = name;
    }

    /** Runs at most once, on the connection's event loop. */
    void whenExceeded(Runnable refuse) {
      refusal.set(refuse);
    }

    @Override
    public Context filterContext(Context context) {
      return context.withValue(SHARE, this);
    }

    @Override
    public void inboundWireSize(long bytes) {
      if (closed.get()) {
        return;
      }
      long size = mine.addAndGet(bytes);
      boolean tooMuch = held.addAndGet(bytes) > limit;
      boolean tooMuchForCaller = size > LARGE && isTooMuchForCaller(size);
      if (tooMuch || tooMuchForCaller) {
        refusal.getAndSet(() -> {}).run();
      }
    }

    private synchronized boolean isTooMuchForCaller(long size) {
      var name = caller;
      if (name == null || size - counted <= LARGE || closed.get()) {
        return false;
      }
      long more = size - counted;
      counted = size;
      return heldByCaller.merge(name, more, Long::sum) > perCaller;
    }

    private synchronized void giveBack() {
      var name = caller;
      if (name != null && counted > 0) {
        long less = counted;
        counted = 0;
        heldByCaller.computeIfPresent(name, (_, all) -> all > less ? all - less : null);
      }
    }

    @Override
    public void streamClosed(Status status) {
      if (closed.compareAndSet(false, true)) {
        held.addAndGet(-mine.get());
        giveBack();
      }
    }
  }
}
