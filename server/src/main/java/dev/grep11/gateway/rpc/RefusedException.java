package dev.grep11.gateway.rpc;

import dev.grep11.gateway.iam.TokenRejectedException;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** A call that is not admitted: nobody we know, or somebody who may not. */
public final class RefusedException extends Pkcs11Exception {

  /** Why, in the two classes that a client can do something about. */
  public enum Reason {
    /** No token or not a good one: get another. */
    UNAUTHENTICATED,
    /** A good token without the right: ask for the right. */
    PERMISSION_DENIED,
    /** Whoever it is, from there nobody is served: says nothing of tokens and rights. */
    NETWORK
  }

  private final Reason reason;
  private final TokenRejectedException.@Nullable Reason tokenRefusal;

  private RefusedException(
      Reason reason,
      String detail,
      boolean retry,
      TokenRejectedException.@Nullable Reason tokenRefusal) {
    super(Ckr.CKR_IBM_GREP11_NOT_AUTHENTICATED, detail, retry);
    this.reason = reason;
    this.tokenRefusal = tokenRefusal;
  }

  /** The detail reaches the client: it must not tell more than that the token is no good. */
  public static RefusedException unauthenticated(String detail) {
    return new RefusedException(Reason.UNAUTHENTICATED, detail, false, null);
  }

  /** As {@link #unauthenticated}, where the same call may be let in by another connection. */
  public static RefusedException unauthenticatedForNow(String detail) {
    return new RefusedException(Reason.UNAUTHENTICATED, detail, true, null);
  }

  /**
   * As {@link #unauthenticated}, for a token.
   *
   * @param tokenRefusal what was wrong with it: for the audit trail, never for the client
   */
  public static RefusedException badToken(
      TokenRejectedException.Reason tokenRefusal, String detail) {
    return new RefusedException(Reason.UNAUTHENTICATED, detail, false, tokenRefusal);
  }

  public static RefusedException permissionDenied(String detail) {
    return new RefusedException(Reason.PERMISSION_DENIED, detail, false, null);
  }

  /** A call from a network, or to a listener, from which the instance is not reached. */
  static RefusedException network(String detail) {
    return new RefusedException(Reason.NETWORK, detail, false, null);
  }

  public Reason reason() {
    return reason;
  }

  /** What was wrong with the token, where it was the token. */
  public Optional<TokenRejectedException.Reason> tokenRefusal() {
    return Optional.ofNullable(tokenRefusal);
  }
}
