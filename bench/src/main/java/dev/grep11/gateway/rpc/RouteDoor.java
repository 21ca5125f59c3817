package dev.grep11.gateway.rpc;

import static java.util.concurrent.CompletableFuture.completedFuture;

import com.google.protobuf.ByteString;
import com.google.protobuf.Message;
import dev.grep11.gateway.iam.VerifiedToken;
import dev.grep11.gateway.operation.Requester;
import dev.grep11.gateway.operation.Workload;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.store.Subject;
import dev.grep11.gateway.tls.ConnectionDoor;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.SignSingleRequest;
import dev.grep11.proto.SignSingleResponse;
import io.grpc.Attributes;
import io.grpc.Drainable;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.ServerCall;
import io.grpc.ServerMethodDefinition;
import io.grpc.ServiceDescriptor;
import io.grpc.Status;
import io.grpc.protobuf.ProtoUtils;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.NullMarked;

/** Lets the benchmarks into codec and routes, which stay closed to everybody else. */
@NullMarked
public final class RouteDoor {
  private static final UUID INSTANCE = new UUID(0xb, 1);

  /** Of no meaning; the form of a token is looked at before it is looked up. */
  private static final String TOKEN = "aGVhZA.Ym9keQ.c2ln";

  private final ServerMethodDefinition<Parsed<SignSingleRequest>, SignSingleResponse> signing;
  private final Attributes connection = ConnectionDoor.attributes();

  /**
   * A route of {@code SignSingle} that signs nothing: everything from the bytes of the request to
   * those of the answer is the gateway's, except that the caller's token is known, everything is
   * granted, nothing is written down, and work runs where it is.
   */
  public RouteDoor() {
    var method = CryptoGrpc.getSignSingleMethod();
    var service = ServiceDescriptor.newBuilder("grep11.Crypto").addMethod(method).build();
    var admission =
        new Admission(
            new InstanceSelection(Optional.of(INSTANCE)), new Known(), (_, _) -> Optional.empty());
    var signature =
        SignSingleResponse.newBuilder().setSignature(ByteString.copyFrom(new byte[64])).build();
    var bound =
        new Routes(service, new Routes.Services(admission, new Here(), _ -> {}))
            .taking(
                method,
                SignSingleRequest.DATA_FIELD_NUMBER,
                (r, data) ->
                    CryptoService.load(
                        CryptoFunction.SIGN,
                        r.hasMech(),
                        r.getMech(),
                        Codec.key("PrivKey", r.getPrivKeyBytes(), r.getPrivKey()),
                        data.remaining()),
                (_, r, _) -> {
                  var _ = Codec.mechanism(r.hasMech(), r.getMech());
                  return signature;
                })
            .bind();
    @SuppressWarnings("unchecked") // So bound above.
    var definition =
        (ServerMethodDefinition<Parsed<SignSingleRequest>, SignSingleResponse>)
            bound.getMethod(method.getFullMethodName());
    signing = definition;
  }

  /**
   * Reads a request as a route does, and forgets it.
   *
   * @param payload number of its field
   * @return bytes of the payload
   */
  public static int parse(Message prototype, int payload, InputStream request) {
    try (var parsed = Parsed.marshaller(prototype, payload).parse(request)) {
      return parsed.payload().remaining();
    }
  }

  /**
   * Writes an answer that is a long result.
   *
   * @param field its number
   * @return bytes of the message
   */
  public static int write(int field, ByteBuffer result, OutputStream to) {
    return drained(LongResult.marshaller(field).stream(result), to);
  }

  /** Writes an answer that is a message. */
  public static int write(Message answer, OutputStream to) {
    return drained(ProtoUtils.marshaller(answer).stream(answer), to);
  }

  private static int drained(InputStream answer, OutputStream to) {
    try {
      return ((Drainable) answer).drainTo(to);
    } catch (IOException e) {
      throw new IllegalStateException("nothing here can fail", e);
    }
  }

  /**
   * One whole call.
   *
   * @throws IllegalStateException when it was refused
   */
  public int call(InputStream request, OutputStream to) {
    var headers = new Metadata();
    headers.put(
        Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + TOKEN);
    var call = new Written(to);
    var listener = signing.getServerCallHandler().startCall(call, headers);
    listener.onMessage(signing.getMethodDescriptor().parseRequest(request));
    listener.onHalfClose();
    listener.onComplete();
    if (!call.status.isOk()) {
      throw new IllegalStateException("the call was refused: " + call.status);
    }
    return call.length;
  }

  /** A call without a transport. */
  private final class Written extends ServerCall<Parsed<SignSingleRequest>, SignSingleResponse> {
    private final OutputStream to;
    private Status status = Status.UNKNOWN;
    private int length;

    Written(OutputStream to) {
      this.to = to;
    }

    @Override
    public void request(int messages) {}

    @Override
    public void sendHeaders(Metadata headers) {}

    @Override
    public void sendMessage(SignSingleResponse answer) {
      length = drained(signing.getMethodDescriptor().streamResponse(answer), to);
    }

    @Override
    public void close(Status status, Metadata trailers) {
      this.status = status;
    }

    @Override
    public boolean isCancelled() {
      return false;
    }

    @Override
    public MethodDescriptor<Parsed<SignSingleRequest>, SignSingleResponse> getMethodDescriptor() {
      return signing.getMethodDescriptor();
    }

    @Override
    public Attributes getAttributes() {
      return connection;
    }

    @Override
    public String getAuthority() {
      return "gateway.test";
    }
  }

  private static final class Known implements AccessControl {
    private final CompletableFuture<VerifiedToken> caller =
        completedFuture(
            new VerifiedToken(
                new Subject("issuer", "caller"),
                Optional.empty(),
                Optional.empty(),
                Instant.MAX,
                Optional.empty(),
                Set.of(),
                Optional.empty(),
                Optional.empty()));

    @Override
    public CompletableFuture<VerifiedToken> authenticate(List<String> authorization) {
      return caller;
    }

    @Override
    public void authorize(VerifiedToken token, UUID instance, Set<String> actions) {}
  }

  private static final class Here implements Dispatcher {
    @Override
    public <T> CompletableFuture<T> submit(
        Requester by, Workload workload, long deadlineNanos, Callable<T> work) {
      try {
        return completedFuture(work.call());
      } catch (Exception e) {
        return CompletableFuture.failedFuture(e);
      }
    }
  }
}
