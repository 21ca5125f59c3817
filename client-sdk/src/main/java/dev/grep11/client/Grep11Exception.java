package dev.grep11.client;

import com.google.protobuf.InvalidProtocolBufferException;
import dev.grep11.proto.Grep11Error;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.nio.channels.ClosedChannelException;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * A call that was refused or did not arrive.
 *
 * <p>A gateway's refusal carries a PKCS #11 return value; a failure on the way there (connection,
 * TLS, deadline) carries none, and then {@link #answered()} is false and {@link #returnValue()} is
 * {@link Ckr#CKR_GENERAL_ERROR}.
 */
public final class Grep11Exception extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final Status.Code status;
  private final boolean answered;
  private final long returnValue;
  private final String detail;
  private final boolean retry;

  private Grep11Exception(
      Status.Code status,
      boolean answered,
      long returnValue,
      String detail,
      boolean retry,
      @Nullable Throwable cause) {
    super(message(status, answered, returnValue, detail), cause);
    this.status = status;
    this.answered = answered;
    this.returnValue = returnValue;
    this.detail = detail;
    this.retry = retry;
  }

  /** Decodes what a generated stub throws; {@link Grep11Client} does it by itself. */
  public static Grep11Exception of(StatusRuntimeException failure) {
    Status status = failure.getStatus();
    Grep11Error error = onlyDetail(failure);
    if (error != null) {
      return new Grep11Exception(
          status.getCode(), true, error.getCode(), error.getDetail(), error.getRetry(), failure);
    }
    String description = status.getDescription() == null ? "" : status.getDescription();
    // Old servers and proxies lose trailers; the status message is still the bare CKR name.
    var named = Ckr.valueOf(description);
    if (named.isPresent()) {
      return new Grep11Exception(status.getCode(), true, named.getAsLong(), "", false, failure);
    }
    var code = isLost(status) ? Status.Code.UNAVAILABLE : status.getCode();
    return new Grep11Exception(
        code,
        false,
        Ckr.CKR_GENERAL_ERROR,
        withRootCause(description, failure),
        code == Status.Code.UNAVAILABLE || isCutOff(status),
        failure);
  }

  /**
   * A call that is sent at the moment in which its connection is lost: gRPC then gives the
   * transport's own failure, which says nothing of the call.
   */
  private static boolean isLost(Status status) {
    return status.getCode() == Status.Code.UNKNOWN
        && status.getCause() instanceof ClosedChannelException;
  }

  /** As {@link #of(StatusRuntimeException)}, naming where there is nobody. */
  static Grep11Exception of(StatusRuntimeException failure, String gateway) {
    var reason =
        TokenServiceUnavailableException.isCauseOf(failure)
            ? Optional.<String>empty()
            : Unreachable.reason(failure);
    return reason
        .map(why ->
            new Grep11Exception(
                failure.getStatus().getCode(),
                false,
                Ckr.CKR_GENERAL_ERROR,
                "gateway %s cannot be reached: %s".formatted(gateway, why),
                true,
                failure))
        .orElseGet(() -> of(failure));
  }

  /**
   * A gateway that stops at once resets its calls; one that this side cancelled has other words.
   */
  private static boolean isCutOff(Status status) {
    return status.getCode() == Status.Code.CANCELLED
        && status.getDescription() != null
        && status.getDescription().startsWith("RST_STREAM");
  }

  /** The PKCS #11 return value, one of {@link Ckr}. */
  public long returnValue() {
    return returnValue;
  }

  /**
   * The name of {@link #returnValue()} in the header, for instance {@code CKR_SIGNATURE_INVALID}.
   */
  public String returnValueName() {
    return Ckr.nameOf(returnValue);
  }

  /** What was wrong, for people; may be empty. */
  public String detail() {
    return detail;
  }

  /** Whether the identical call may succeed later. */
  public boolean retry() {
    return retry;
  }

  /**
   * Whether the gateway let nobody in by this connection, and may by the next: nothing was done.
   * That is so when the second lock closed after the connection was made.
   */
  public boolean isNotBegun() {
    return answered && retry && status == Status.Code.UNAUTHENTICATED;
  }

  /** The gRPC status, {@code UNKNOWN} for a refusal by the HSM's rules. */
  public Status.Code status() {
    return status;
  }

  /** Whether the gateway answered with a return value, as opposed to a failure on the way. */
  public boolean answered() {
    return answered;
  }

  /** More than one detail, or one of another type, is no GREP11 answer and counts as none. */
  private static @Nullable Grep11Error onlyDetail(StatusRuntimeException failure) {
    Metadata trailers = failure.getTrailers();
    if (trailers == null) {
      return null;
    }
    try {
      com.google.rpc.Status status =
          StatusProto.fromStatusAndTrailers(failure.getStatus(), trailers);
      if (status.getDetailsCount() != 1 || !status.getDetails(0).is(Grep11Error.class)) {
        return null;
      }
      return status.getDetails(0).unpack(Grep11Error.class);
    } catch (InvalidProtocolBufferException | IllegalArgumentException malformed) {
      // The status itself still says what happened.
      return null;
    }
  }

  private static String withRootCause(String description, Throwable failure) {
    Throwable root = failure;
    while (root.getCause() != null) {
      root = root.getCause();
    }
    // A description may say already what its cause says.
    if (failure.getCause() == null
        || root.getMessage() == null
        || description.contains(root.getMessage())) {
      return description;
    }
    return description.isEmpty() ? root.getMessage() : description + ": " + root.getMessage();
  }

  private static String message(
      Status.Code status, boolean answered, long returnValue, String detail) {
    String what = answered ? Ckr.nameOf(returnValue) + " (" + status + ")" : status.toString();
    return detail.isEmpty() ? what : what + ": " + detail;
  }
}
