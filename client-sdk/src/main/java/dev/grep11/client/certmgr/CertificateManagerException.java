package dev.grep11.client.certmgr;

import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * A call that the certificate manager refused, or that did not arrive.
 *
 * <p>The message is for people. Where the gateway answered, it ends with the correlation id under
 * which the gateway's audit log tells what happened.
 */
public final class CertificateManagerException extends RuntimeException {
  private static final long serialVersionUID = 1;

  static final Metadata.Key<String> CORRELATION_ID =
      Metadata.Key.of("x-correlation-id", Metadata.ASCII_STRING_MARSHALLER);

  private static final Metadata.Key<String> REASON_WORD =
      Metadata.Key.of("grep11-reason", Metadata.ASCII_STRING_MARSHALLER);

  /** How it went, as far as a caller decides by it. */
  public enum Kind {
    /** No usable token; nothing was changed. */
    NOT_LOGGED_IN,
    /** The role or the signature does not do; nothing was changed. */
    NOT_AUTHORISED,
    /** There is no such thing; nothing was changed. */
    NOT_FOUND,
    /**
     * The registry or the counter went on meanwhile; nothing was changed. Look again and repeat.
     */
    OUTDATED,
    /** Refused for what the message says; nothing was changed. */
    REFUSED,
    /** The gateway was not reached, so nothing was changed. */
    UNREACHABLE,
    /** What answers at the address is no certificate manager; nothing was changed. */
    WRONG_ADDRESS,
    /** It is unknown whether a change was made: look before anything else is done. */
    UNCERTAIN
  }

  private final Kind kind;
  private final String reason;
  private final String reasonWord;
  private final String correlationId;

  private CertificateManagerException(
      Kind kind, String reason, String correlationId, StatusRuntimeException cause) {
    super(
        reason + (correlationId.isEmpty() ? "" : " (correlation id " + correlationId + ")"), cause);
    this.kind = kind;
    this.reason = reason;
    this.reasonWord = trailer(cause.getTrailers(), REASON_WORD);
    this.correlationId = correlationId;
  }

  /**
   * What a failure means.
   *
   * @param address what was called, for people
   */
  static CertificateManagerException of(StatusRuntimeException failure, String address) {
    var status = failure.getStatus();
    var correlationId = trailer(failure.getTrailers(), CORRELATION_ID);
    var description = status.getDescription() == null ? "" : status.getDescription();
    // Who gives a correlation id is a gateway, whatever words its answer has.
    var found = correlationId.isEmpty() ? otherService(failure) : null;
    if (found != null) {
      return new CertificateManagerException(
          Kind.WRONG_ADDRESS,
          "%s is no certificate manager: found %s".formatted(address, found),
          correlationId,
          failure);
    }
    boolean answered = !correlationId.isEmpty();
    if (!answered && brokeOnTheWay(failure)) {
      boolean before = beforeTheCall(failure);
      return new CertificateManagerException(
          before ? Kind.UNREACHABLE : Kind.UNCERTAIN,
          (before
                  ? "cannot reach the certificate manager at %s: %s"
                  : "lost the certificate manager at %s: %s")
              .formatted(address, rootCause(failure, description)),
          "",
          failure);
    }
    var kind =
        switch (status.getCode()) {
          case UNAUTHENTICATED -> Kind.NOT_LOGGED_IN;
          case PERMISSION_DENIED -> Kind.NOT_AUTHORISED;
          case NOT_FOUND -> Kind.NOT_FOUND;
          case ABORTED -> Kind.OUTDATED;
          case INVALID_ARGUMENT,
              ALREADY_EXISTS,
              FAILED_PRECONDITION,
              RESOURCE_EXHAUSTED,
              OUT_OF_RANGE ->
              Kind.REFUSED;
          case UNIMPLEMENTED -> Kind.WRONG_ADDRESS;
          case OK, CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS ->
              Kind.UNCERTAIN;
        };
    return new CertificateManagerException(
        kind,
        description.isEmpty() ? status.getCode().toString() : description,
        correlationId,
        failure);
  }

  /** What happened. */
  public Kind kind() {
    return kind;
  }

  /** The message without the correlation id. */
  public String reason() {
    return reason;
  }

  /**
   * Why the gateway refused, one of the words of {@code certmgr.proto}; empty where it did not
   * answer. A later gateway may have more of them.
   */
  public String reasonWord() {
    return reasonWord;
  }

  /** Under which the gateway wrote the attempt down; empty where it did not answer. */
  public String correlationId() {
    return correlationId;
  }

  /** What answered, where that can be told from how it failed; null where it cannot. */
  private static @Nullable String otherService(StatusRuntimeException failure) {
    if (failure.getStatus().getCode() == Status.Code.UNIMPLEMENTED) {
      return "a gRPC server without it, such as the crypto port of a gateway";
    }
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      var said = String.valueOf(cause.getMessage()).toLowerCase(Locale.ROOT);
      // A certificate manager never asks for a client certificate.
      if (said.contains("certificate_required") || said.contains("certificate required")) {
        return "a port that asks for a client certificate, such as the crypto port of a gateway";
      }
      if (said.contains("alpn")) {
        return "TLS without HTTP/2, such as the token service or the health port of a gateway";
      }
      if (said.contains("not an ssl/tls record")) {
        return "a server that does not speak TLS";
      }
    }
    return null;
  }

  private static String trailer(@Nullable Metadata trailers, Metadata.Key<String> key) {
    var value = trailers == null ? null : trailers.get(key);
    return value == null ? "" : value;
  }

  private static boolean brokeOnTheWay(StatusRuntimeException failure) {
    var code = failure.getStatus().getCode();
    return code == Status.Code.UNAVAILABLE || code == Status.Code.DEADLINE_EXCEEDED;
  }

  /**
   * A connection that could not be made carried no call. One that broke may have, and so may a call
   * that got no answer in time.
   */
  private static boolean beforeTheCall(StatusRuntimeException failure) {
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof java.net.ConnectException
          || cause instanceof java.net.UnknownHostException
          || cause instanceof javax.net.ssl.SSLHandshakeException) {
        return true;
      }
    }
    return false;
  }

  private static String rootCause(Throwable failure, String description) {
    Throwable root = failure;
    while (root.getCause() != null) {
      root = root.getCause();
    }
    return failure.getCause() == null || root.getMessage() == null
        ? description
        : root.getMessage();
  }
}
