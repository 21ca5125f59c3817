package dev.grep11.gateway.rpc;

import dev.grep11.gateway.audit.AuditUnavailableException;
import dev.grep11.gateway.iam.Actions;
import dev.grep11.gateway.iam.VerifiedToken;
import dev.grep11.gateway.rpc.Admission.Admitted;
import io.grpc.Context;
import io.grpc.Grpc;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerInterceptors;
import io.grpc.ServerServiceDefinition;
import io.grpc.protobuf.services.ProtoReflectionServiceV1;
import io.netty.util.Timeout;
import java.time.Duration;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * Server reflection behind both locks: who may use no key of the instance is told nothing of the
 * services, and a stream that is open when a lock closes ends with its next question, and after a
 * minute in any case: a token may end too, and tools ask and go.
 */
final class GuardedReflection implements ServerInterceptor {
  /** As in the audit log. */
  private static final String RPC = "ServerReflectionInfo";

  private static final Duration LONGEST = Duration.ofMinutes(1);

  private final Admission admission;
  private final CallAudit audit;

  private GuardedReflection(Admission admission, CallAudit audit) {
    this.admission = admission;
    this.audit = audit;
  }

  /** The service {@code grpc.reflection.v1.ServerReflection}. */
  static ServerServiceDefinition bind(Admission admission, CallAudit audit) {
    return ServerInterceptors.intercept(
        ProtoReflectionServiceV1.newInstance(), new GuardedReflection(admission, audit));
  }

  @Override
  public <Q, P> ServerCall.Listener<Q> interceptCall(
      ServerCall<Q, P> call, Metadata headers, ServerCallHandler<Q, P> next) {
    var stream = new Stream<>(call, headers);
    stream.begin(next);
    return stream;
  }

  /** Asks for no message before its caller is admitted, so until then nothing but its end comes. */
  private final class Stream<Q, P> extends ServerCall.Listener<Q> {
    private final ServerCall<Q, P> call;
    private final Metadata headers;
    private final String correlationId;
    private final Context context = Context.current();
    private final long startNanos = System.nanoTime();
    private final AtomicReference<@Nullable VerifiedToken> token = new AtomicReference<>();
    private @Nullable UUID instance;

    // Guarded by this.
    private ServerCall.@Nullable Listener<Q> admittedCall;
    private @Nullable Admitted admitted;
    private boolean over;
    private @Nullable Timeout overdue;

    private Stream(ServerCall<Q, P> call, Metadata headers) {
      this.call = call;
      this.headers = headers;
      this.correlationId = CorrelationId.of(headers);
    }

    private void begin(ServerCallHandler<Q, P> next) {
      try {
        var selected = admission.instance(call, headers);
        instance = selected;
        var _ =
            admission
                .admit(call, headers, selected, Set.of(Actions.EP11_USE), token::set)
                .whenComplete((who, refusal) -> {
                  if (who == null) {
                    refuse(refusal);
                  } else {
                    proceed(who, next);
                  }
                });
      } catch (RuntimeException e) {
        refuse(e);
      }
    }

    private synchronized void proceed(Admitted who, ServerCallHandler<Q, P> next) {
      if (over) {
        return;
      }
      // Which server it is, reflection finds in the context; this may be another thread.
      var outer = context.attach();
      try {
        admitted = who;
        admittedCall = next.startCall(call, headers);
        overdue = Overdue.after(LONGEST, () -> refuse(new TimeoutException()));
      } catch (RuntimeException e) {
        refuse(e);
      } finally {
        context.detach(outer);
      }
    }

    private synchronized void refuse(Throwable refusal) {
      if (over) {
        return;
      }
      end();
      var failure = Failures.of(refusal, correlationId);
      try {
        audit.record(
            new CallRecord(
                correlationId,
                RPC,
                Optional.ofNullable(token.get()).map(VerifiedToken::subject),
                Optional.ofNullable(token.get()).flatMap(VerifiedToken::name),
                Optional.ofNullable(instance),
                Optional.empty(),
                Optional.empty(),
                Optional.empty(),
                failure.returnValue(),
                failure.status().getCode(),
                failure.detail(),
                failure.tokenRefusal(),
                Optional.ofNullable(call.getAttributes().get(Grpc.TRANSPORT_ATTR_REMOTE_ADDR)),
                Optional.empty(),
                Optional.empty(),
                Duration.ofNanos(System.nanoTime() - startNanos)));
      } catch (AuditUnavailableException e) {
        // A refusal releases nothing; the audit log itself tells of its gap.
      }
      call.close(failure.status(), failure.trailers());
    }

    private synchronized void end() {
      over = true;
      if (overdue != null) {
        overdue.cancel();
      }
    }

    @Override
    public synchronized void onMessage(Q message) {
      var who = admitted;
      var to = admittedCall;
      if (over || who == null || to == null) {
        return;
      }
      try {
        admission.confirm(who);
      } catch (RuntimeException e) {
        refuse(e);
        return;
      }
      to.onMessage(message);
    }

    @Override
    public synchronized void onHalfClose() {
      if (!over && admittedCall != null) {
        admittedCall.onHalfClose();
      }
    }

    @Override
    public synchronized void onReady() {
      if (!over && admittedCall != null) {
        admittedCall.onReady();
      }
    }

    @Override
    public synchronized void onCancel() {
      end();
      if (admittedCall != null) {
        admittedCall.onCancel();
      }
    }

    @Override
    public synchronized void onComplete() {
      end();
      if (admittedCall != null) {
        admittedCall.onComplete();
      }
    }
  }
}
