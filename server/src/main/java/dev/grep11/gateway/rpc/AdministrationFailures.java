package dev.grep11.gateway.rpc;

import dev.grep11.gateway.certmgr.CommandRefusedException;
import dev.grep11.gateway.certmgr.CommandRefusedException.Reason;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.HsmUnavailableException;
import dev.grep11.gateway.pkcs11.OverloadedException;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.rpc.Failures.Failure;
import io.grpc.Metadata;
import io.grpc.Status;
import java.util.Optional;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What an administrator is told: a gRPC status with a sentence. Until token and role are good there
 * is one answer to everything, so that it tells nothing about who is an administrator, of what, or
 * how far an attempt came (security rules 6.5).
 */
final class AdministrationFailures implements FailureAnswers {
  private static final Logger LOG = LoggerFactory.getLogger(AdministrationFailures.class);
  static final String NOT_AUTHORISED = "not authorised";
  static final String TOO_MANY_CALLS = "too-many-calls";
  private static final String MALFORMED = Reason.MALFORMED.word();
  private static final String UNAVAILABLE = Reason.UNAVAILABLE.word();

  /** Why, in one word for programs; {@code certmgr.proto} lists them. */
  static final Metadata.Key<String> REASON =
      Metadata.Key.of("grep11-reason", Metadata.ASCII_STRING_MARSHALLER);

  @Override
  public Failure of(Throwable thrown, String correlationId) {
    return switch (Failures.unwrap(thrown)) {
      case CommandRefusedException refused ->
          answer(
              code(refused.kind()),
              refused.reason().word(),
              String.valueOf(refused.getMessage()),
              refused.toString(),
              true);
      case RefusedException refused when refused.reason() == RefusedException.Reason.NETWORK ->
          answer(Status.Code.PERMISSION_DENIED, "network-policy", refused.detail());
      case RefusedException refused ->
          answer(
                  Status.Code.UNAUTHENTICATED,
                  "not-authorised",
                  NOT_AUTHORISED,
                  refused.detail(),
                  false)
              .because(refused.tokenRefusal());
      case HsmUnavailableException unavailable ->
          answer(Status.Code.UNAVAILABLE, UNAVAILABLE, unavailable.detail());
      case OverloadedException overloaded ->
          answer(Status.Code.RESOURCE_EXHAUSTED, TOO_MANY_CALLS, overloaded.detail());
      case Pkcs11Exception malformed ->
          answer(Status.Code.INVALID_ARGUMENT, MALFORMED, malformed.detail());
      case MalformedRequestException malformed ->
          answer(Status.Code.INVALID_ARGUMENT, MALFORMED, String.valueOf(malformed.getMessage()));
      case TimeoutException _ ->
          answer(Status.Code.DEADLINE_EXCEEDED, UNAVAILABLE, "not begun in time");
      case Throwable unexpected -> {
        LOG.error("call {} failed unexpectedly", correlationId, unexpected);
        yield answer(
            Status.Code.INTERNAL, UNAVAILABLE, "internal error, correlation id " + correlationId);
      }
    };
  }

  private static Failure answer(Status.Code code, String reason, String message) {
    return answer(code, reason, message, message, false);
  }

  private static Failure answer(
      Status.Code code, String reason, String message, String forAudit, boolean recorded) {
    var trailers = new Metadata();
    trailers.put(REASON, reason);
    return new Failure(
        code.toStatus().withDescription(message),
        trailers,
        Ckr.CKR_GENERAL_ERROR,
        forAudit,
        Optional.empty(),
        recorded);
  }

  private static Status.Code code(CommandRefusedException.Kind kind) {
    return switch (kind) {
      case REJECTED -> Status.Code.PERMISSION_DENIED;
      case MALFORMED -> Status.Code.INVALID_ARGUMENT;
      case NOT_FOUND -> Status.Code.NOT_FOUND;
      case ALREADY_EXISTS -> Status.Code.ALREADY_EXISTS;
      case NOT_NOW -> Status.Code.FAILED_PRECONDITION;
      case STALE -> Status.Code.ABORTED;
      case TOO_MANY -> Status.Code.RESOURCE_EXHAUSTED;
      case UNAVAILABLE -> Status.Code.UNAVAILABLE;
    };
  }
}
