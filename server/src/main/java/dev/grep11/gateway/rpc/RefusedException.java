package dev.grep11.gateway.rpc;

import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;

/** A call that is not admitted: nobody we know, or somebody who may not. */
public final class RefusedException extends Pkcs11Exception {

  /** Why, in the two classes that a client can do something about. */
  public enum Reason {
    /** No token or not a good one: get another. */
    UNAUTHENTICATED,
    /** A good token without the right: ask for the right. */
    PERMISSION_DENIED
  }

  private final Reason reason;

  private RefusedException(Reason reason, String detail) {
    super(Ckr.CKR_IBM_GREP11_NOT_AUTHENTICATED, detail);
    this.reason = reason;
  }

  /** The detail reaches the client: it must not tell more than that the token is no good. */
  public static RefusedException unauthenticated(String detail) {
    return new RefusedException(Reason.UNAUTHENTICATED, detail);
  }

  public static RefusedException permissionDenied(String detail) {
    return new RefusedException(Reason.PERMISSION_DENIED, detail);
  }

  public Reason reason() {
    return reason;
  }
}
