package dev.grep11.gateway.rpc;

import static dev.grep11.gateway.pkcs11.Ckr.CKR_ARGUMENTS_BAD;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_IBM_GREP11_CANNOT_UNMARSHAL;

import dev.grep11.gateway.audit.AuditUnavailableException;
import dev.grep11.gateway.iam.TokenRejectedException;
import dev.grep11.gateway.iam.VerifiedToken;
import dev.grep11.gateway.key.BlobDigest;
import dev.grep11.gateway.operation.Workload;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.HsmUnavailableException;
import dev.grep11.gateway.pkcs11.OverloadedException;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.rpc.Admission.Admitted;
import dev.grep11.gateway.store.Subject;
import dev.grep11.gateway.trace.CallTrace;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.Grpc;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.Status;
import io.netty.util.Timeout;
import java.net.SocketAddress;
import java.time.Duration;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * One call from headers to answer. The listener methods run on the connection's event loop;
 * admission and work may continue on other threads, one at a time, and whoever comes first to
 * {@link #answer} ends the call.
 */
final class UnaryCall<Q, P> extends ServerCall.Listener<Parsed<Q>> {
  private static final Metadata.Key<String> USER_AGENT =
      Metadata.Key.of("user-agent", Metadata.ASCII_STRING_MARSHALLER);

  private final ServerCall<Parsed<Q>, P> call;
  private final Route<Q, P> route;
  private final Routes.Services services;
  private final String correlationId;
  private final @Nullable Deadline deadline;
  private final Optional<String> userAgent;
  private final long startNanos = System.nanoTime();
  private final AtomicBoolean answered = new AtomicBoolean();

  private volatile @Nullable UUID instance;
  private volatile @Nullable VerifiedToken token;
  private volatile @Nullable Admitted admitted;
  private volatile @Nullable CallTrace trace;
  private volatile @Nullable Workload workload;
  private @Nullable Parsed<Q> request;
  private @Nullable Timeout overdue;

  /** What work has been submitted for and not begun: whoever takes it uses it or drops it. */
  private final AtomicReference<@Nullable Parsed<Q>> waiting = new AtomicReference<>();

  private UnaryCall(
      ServerCall<Parsed<Q>, P> call,
      Metadata headers,
      Route<Q, P> route,
      Routes.Services services) {
    this.call = call;
    this.route = route;
    this.services = services;
    this.correlationId = CorrelationId.of(headers);
    this.deadline = Context.current().getDeadline();
    this.userAgent = Optional.ofNullable(headers.get(USER_AGENT));
  }

  static <Q, P> ServerCall.Listener<Parsed<Q>> start(
      ServerCall<Parsed<Q>, P> call,
      Metadata headers,
      Route<Q, P> route,
      Routes.Services services) {
    var unary = new UnaryCall<>(call, headers, route, services);
    unary.begin(headers);
    return unary;
  }

  private void begin(Metadata headers) {
    // An earlier deadline ends the call by itself.
    if (remainingNanos() == services.longestCall().toNanos()) {
      overdue = Overdue.after(services.longestCall(), () -> fail(new TimeoutException()));
    }
    var budget = InboundBudget.ofCurrentCall();
    budget.ifPresent(share ->
        share.whenExceeded(() -> fail(new OverloadedException("too much data is on its way in"))));
    try {
      var selected = services.admission().instance(call, headers);
      instance = selected;
      var _ =
          services
              .admission()
              .admit(call, headers, selected, route.actions(), who -> token = who)
              .whenComplete((who, refusal) -> {
                if (who == null) {
                  fail(refusal);
                } else {
                  // Not before: strangers could have spans sent, and others' be dropped.
                  trace =
                      services
                          .tracing()
                          .begin(
                              call.getMethodDescriptor().getFullMethodName(),
                              headers,
                              correlationId,
                              startNanos);
                  admitted = who;
                  budget.ifPresent(share -> share.belongsTo(who.requester().subject()));
                  // Two, so that a second message of a unary call is noticed.
                  call.request(2);
                }
              });
    } catch (RuntimeException e) {
      fail(e);
    }
  }

  @Override
  public void onMessage(Parsed<Q> message) {
    if (request != null) {
      fail(new Pkcs11Exception(CKR_ARGUMENTS_BAD, "more than one message"));
      drop();
    }
    request = message;
  }

  private void isOnTime() {
    var end = overdue;
    if (end != null) {
      end.cancel();
    }
  }

  /** Of a request that no work begins with. */
  private void drop() {
    var unused = request;
    request = null;
    if (unused != null) {
      unused.close();
    }
  }

  @Override
  public void onHalfClose() {
    isOnTime();
    var received = request;
    var message = received == null ? null : received.message();
    var who = admitted;
    if (answered.get()) {
      drop();
      return;
    }
    var overload = received == null ? null : received.overload();
    if (overload != null) {
      fail(overload);
      drop();
      return;
    }
    if (received == null || message == null || who == null) {
      fail(new Pkcs11Exception(CKR_IBM_GREP11_CANNOT_UNMARSHAL, "not a " + route.requestType()));
      drop();
      return;
    }
    CompletableFuture<P> result;
    // Messages are kept no longer than the work needs them: that of a call which is cancelled while
    // it waits for its turn goes at once, with its share of the budget.
    waiting.set(received);
    try {
      result = dispatch(received, message, who);
    } catch (RuntimeException e) {
      waiting.set(null);
      fail(e);
      drop();
      return;
    }
    request = null;
    var memory = received.memory();
    var _ =
        result.whenComplete((answer, failure) -> {
          waiting.set(null);
          try (memory) {
            if (answer == null) {
              fail(failure);
            } else {
              succeed(answer);
            }
          }
        });
  }

  private CompletableFuture<P> dispatch(Parsed<Q> received, Q message, Admitted who) {
    if (!services.audit().mayProceed()) {
      throw unrecorded();
    }
    var load = route.workload().apply(message, received.payload());
    workload = load;
    return submit(load, who);
  }

  private CompletableFuture<P> submit(Workload load, Admitted who) {
    return services
        .dispatcher()
        .submit(
            who.requester(),
            load,
            System.nanoTime() + remainingNanos(),
            followed(
                load,
                () -> {
                  var begun = waiting.getAndSet(null);
                  var message = begun == null ? null : begun.message();
                  if (begun == null
                      || message == null
                      || answered.get()
                      || (deadline != null && deadline.isExpired())) {
                    throw new TimeoutException();
                  }
                  services.admission().confirm(who);
                  return route
                      .work()
                      .apply(
                          new CallContext(
                              who,
                              correlationId,
                              remote(),
                              userAgent,
                              begun.payload(),
                              begun.memory()),
                          message);
                }));
  }

  private Callable<P> followed(Workload load, Callable<P> work) {
    var followed = trace;
    return followed == null ? work : followed.around(load.mechanism(), work);
  }

  private long remainingNanos() {
    return deadline == null
        ? services.longestCall().toNanos()
        : Math.min(services.longestCall().toNanos(), deadline.timeRemaining(TimeUnit.NANOSECONDS));
  }

  @Override
  public void onComplete() {
    isOnTime();
    drop();
  }

  @Override
  public void onCancel() {
    isOnTime();
    drop();
    var unbegun = waiting.getAndSet(null);
    if (unbegun != null) {
      unbegun.close();
    }
    // The client is gone; work that has begun ends by itself and its result is dropped.
    if (answered.compareAndSet(false, true)) {
      try {
        record(
            Status.Code.CANCELLED,
            Ckr.CKR_FUNCTION_CANCELED,
            "cancelled by the client",
            Optional.empty());
      } catch (AuditUnavailableException e) {
        // As for every failure.
      }
      traced(Status.Code.CANCELLED, Ckr.CKR_FUNCTION_CANCELED);
    }
  }

  private void succeed(P answer) {
    answer(() -> {
      try {
        // Before the outcome is released: there is no result without its record.
        record(Status.Code.OK, Ckr.CKR_OK, "", Optional.empty());
      } catch (AuditUnavailableException e) {
        send(services.failures().of(unrecorded(), correlationId));
        return;
      }
      traced(Status.Code.OK, Ckr.CKR_OK);
      sendHeaders();
      call.sendMessage(answer);
      call.close(Status.OK, new Metadata());
    });
  }

  private void fail(Throwable thrown) {
    answer(() -> {
      var failure = services.failures().of(thrown, correlationId);
      try {
        if (!failure.recorded()) {
          record(
              failure.status().getCode(),
              failure.returnValue(),
              failure.detail(),
              failure.tokenRefusal());
        }
      } catch (AuditUnavailableException e) {
        // A refusal releases nothing; the audit log itself tells of its gap.
      }
      // Not where bytes on their way in were too many: these are given back at once.
      var tooManyCalls = token != null && admitted == null;
      if (failure.status().getCode() == Status.Code.RESOURCE_EXHAUSTED
          && (workload != null || tooManyCalls)) {
        var caller = Optional.ofNullable(token).map(VerifiedToken::subject).map(Subject::id);
        services.refusals().answer(caller.orElse(""), remainingNanos(), () -> send(failure));
      } else {
        send(failure);
      }
    });
  }

  private void send(Failures.Failure failure) {
    traced(failure.status().getCode(), failure.returnValue());
    sendHeaders();
    // Once more where clients keep what they show of an error: few of them keep the headers.
    failure.trailers().put(CorrelationId.HEADER, correlationId);
    call.close(failure.status(), failure.trailers());
  }

  /** Before the answer leaves: who has it finds the whole way of the call. */
  private void traced(Status.Code code, long returnValue) {
    var followed = trace;
    if (followed != null) {
      followed.end(code, returnValue, Optional.ofNullable(instance));
    }
  }

  private static HsmUnavailableException unrecorded() {
    return new HsmUnavailableException("calls cannot be recorded at present");
  }

  private void answer(Runnable sending) {
    if (answered.compareAndSet(false, true)) {
      sending.run();
    }
  }

  private void sendHeaders() {
    var headers = new Metadata();
    headers.put(CorrelationId.HEADER, correlationId);
    call.sendHeaders(headers);
  }

  private Optional<SocketAddress> remote() {
    return Optional.ofNullable(call.getAttributes().get(Grpc.TRANSPORT_ATTR_REMOTE_ADDR));
  }

  private void record(
      Status.Code code,
      long returnValue,
      String reason,
      Optional<TokenRejectedException.Reason> tokenRefusal) {
    var load = workload;
    var who = token;
    services
        .audit()
        .record(
            new CallRecord(
                correlationId,
                route.name(),
                Optional.ofNullable(who).map(VerifiedToken::subject),
                Optional.ofNullable(who).flatMap(VerifiedToken::name),
                Optional.ofNullable(instance),
                load == null || load.mechanism().isEmpty()
                    ? Optional.empty()
                    : Optional.of(load.mechanism().getAsLong()),
                load == null ? Optional.empty() : load.key().map(BlobDigest::fingerprint),
                load == null ? Optional.empty() : load.target(),
                returnValue,
                code,
                reason,
                tokenRefusal,
                remote(),
                userAgent,
                Optional.ofNullable(trace).map(CallTrace::traceId),
                Duration.ofNanos(System.nanoTime() - startNanos)));
  }
}
