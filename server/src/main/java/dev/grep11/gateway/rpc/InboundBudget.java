package dev.grep11.gateway.rpc;

import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.ServerStreamTracer;
import io.grpc.Status;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

/**
 * A limit on the bytes of all requests that are held at once, half-received ones included. Without
 * it, streams times message size decides how much memory a client can make us hold. The call that
 * goes over it is refused; its bytes count until its stream is closed.
 */
final class InboundBudget extends ServerStreamTracer.Factory {
  private static final Context.Key<Share> SHARE = Context.key("inbound-share");

  private final long limit;
  private final AtomicLong held = new AtomicLong();

  InboundBudget(long limit) {
    this.limit = limit;
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

    private Share() {}

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
      mine.addAndGet(bytes);
      if (held.addAndGet(bytes) > limit) {
        refusal.getAndSet(() -> {}).run();
      }
    }

    @Override
    public void streamClosed(Status status) {
      if (closed.compareAndSet(false, true)) {
        held.addAndGet(-mine.get());
      }
    }
  }
}
