package dev.grep11.gateway.rpc;

import static dev.grep11.gateway.pkcs11.Ckr.CKR_GENERAL_ERROR;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_IBM_REQ_TIMEOUT;

import com.google.protobuf.Any;
import dev.grep11.gateway.iam.TokenRejectedException;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.HsmUnavailableException;
import dev.grep11.gateway.pkcs11.OverloadedException;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.proto.Grep11Error;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.protobuf.ProtoUtils;
import java.util.Optional;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The one place where what went wrong becomes a gRPC status: its message is the bare CKR name, and
 * it carries exactly one {@link Grep11Error}. Clients take a status with none, or two, for a
 * general error.
 */
final class Failures {
  private static final Logger LOG = LoggerFactory.getLogger(Failures.class);

  private static final Metadata.Key<com.google.rpc.Status> DETAILS =
      Metadata.Key.of(
          "grpc-status-details-bin",
          ProtoUtils.metadataMarshaller(com.google.rpc.Status.getDefaultInstance()));

  private Failures() {}

  /**
   * An answer to a call that failed.
   *
   * @param detail for the audit trail, which may say more than the answer
   * @param tokenRefusal what was wrong with the token; not a part of the answer
   * @param recorded whether it is in the audit trail already
   */
  record Failure(
      Status status,
      Metadata trailers,
      long returnValue,
      String detail,
      Optional<TokenRejectedException.Reason> tokenRefusal,
      boolean recorded) {
    Failure because(Optional<TokenRejectedException.Reason> wrongWithTheToken) {
      return new Failure(status, trailers, returnValue, detail, wrongWithTheToken, recorded);
    }

    Failure audited(String more) {
      return new Failure(status, trailers, returnValue, more, tokenRefusal, recorded);
    }
  }

  static Failure of(Throwable thrown, String correlationId) {
    return switch (unwrap(thrown)) {
      case RefusedException refused ->
          answer(code(refused.reason()), refused).because(refused.tokenRefusal());
      case HsmUnavailableException unavailable -> answer(Status.Code.UNAVAILABLE, unavailable);
      case OverloadedException overloaded -> answer(Status.Code.RESOURCE_EXHAUSTED, overloaded);
      case Pkcs11Exception refused -> answer(Status.Code.UNKNOWN, refused);
      case TimeoutException _ ->
          answer(Status.Code.DEADLINE_EXCEEDED, CKR_IBM_REQ_TIMEOUT, "not begun in time", true);
      case Throwable unexpected -> {
        // Only the correlation id leaves: a message of ours or of a library may hold anything.
        LOG.error("call {} failed unexpectedly", correlationId, unexpected);
        yield answer(
            Status.Code.UNKNOWN,
            CKR_GENERAL_ERROR,
            "internal error, correlation id " + correlationId,
            false);
      }
    };
  }

  static Throwable unwrap(Throwable thrown) {
    var cause = thrown;
    while ((cause instanceof CompletionException || cause instanceof ExecutionException)
        && cause.getCause() != null) {
      cause = cause.getCause();
    }
    return cause;
  }

  private static Status.Code code(RefusedException.Reason reason) {
    return switch (reason) {
      case UNAUTHENTICATED -> Status.Code.UNAUTHENTICATED;
      case PERMISSION_DENIED, NETWORK -> Status.Code.PERMISSION_DENIED;
    };
  }

  private static Failure answer(Status.Code code, Pkcs11Exception refused) {
    return answer(code, refused.returnValue(), refused.detail(), refused.retry())
        .audited(refused.recorded());
  }

  private static Failure answer(Status.Code code, long returnValue, String detail, boolean retry) {
    var name = Ckr.name(returnValue);
    var error =
        Grep11Error.newBuilder().setCode(returnValue).setDetail(detail).setRetry(retry).build();
    var inTrailer =
        com.google.rpc.Status.newBuilder()
            .setCode(code.value())
            .setMessage(name)
            .addDetails(Any.pack(error))
            .build();
    var trailers = new Metadata();
    trailers.put(DETAILS, inTrailer);
    return new Failure(
        code.toStatus().withDescription(name),
        trailers,
        returnValue,
        detail,
        Optional.empty(),
        false);
  }
}
