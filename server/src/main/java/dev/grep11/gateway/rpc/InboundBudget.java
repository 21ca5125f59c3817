package dev.grep11.gateway.rpc;

import com.github.benmanes.caffeine.cache.Caffeine;
import com.github.benmanes.caffeine.cache.LoadingCache;
import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.ServerStreamTracer;
import io.grpc.Status;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * A limit on the bytes of all requests that are held at once, half-received ones included. Without
 * it, streams times message size decides how much memory a client can make us hold. The call that
 * goes over it is refused; its bytes count until its stream is closed.
 *
 * <p>One caller has a part of it only: who sends requests and does not end them would keep
 * everybody else out.
 */
final class InboundBudget extends ServerStreamTracer.Factory {
  private static final Context.Key<Share> SHARE = Context.key("inbound-share");

  /** In place of a count of bytes. */
  private static final long CLOSED = -1;

  private final long limit;
  private final long perCaller;
  private final AtomicLong held = new AtomicLong();

  /** For as long as a call of theirs is open. */
  private final LoadingCache<String, AtomicLong> heldByCaller =
      Caffeine.newBuilder().weakValues().build(_ -> new AtomicLong());

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
    private final AtomicReference<Runnable> refusal = new AtomicReference<>(() -> {});

    /** What all calls of its caller hold. */
    private volatile @Nullable AtomicLong ofCaller;

    private Share() {}

    /** Says whose call this is, once that is known and before its body is asked for. */
    void belongsTo(String caller) {
      ofCaller = heldByCaller.get(caller);
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
      var caller = ofCaller;
      boolean tooMuch = held.addAndGet(bytes) > limit;
      boolean tooMuchForCaller = caller != null && caller.addAndGet(bytes) > perCaller;
      if (mine.getAndUpdate(before -> before == CLOSED ? CLOSED : before + bytes) == CLOSED) {
        giveBack(bytes);
      } else if (tooMuch || tooMuchForCaller) {
        refusal.getAndSet(() -> {}).run();
      }
    }

    @Override
    public void streamClosed(Status status) {
      long bytes = mine.getAndSet(CLOSED);
      if (bytes != CLOSED) {
        giveBack(bytes);
      }
    }

    private void giveBack(long bytes) {
      held.addAndGet(-bytes);
      var caller = ofCaller;
      if (caller != null) {
        caller.addAndGet(-bytes);
      }
    }
  }
}
