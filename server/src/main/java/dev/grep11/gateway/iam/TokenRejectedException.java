package dev.grep11.gateway.iam;

/**
 * A token does not prove an identity. The message is for the audit log and holds nothing of the
 * token but its header's and claims' names; the caller is told no more than that it is not
 * authenticated.
 */
public final class TokenRejectedException extends Exception {
  private static final long serialVersionUID = 1;

  /** Why. */
  public enum Reason {
    MISSING,
    MALFORMED,
    ISSUER,
    ALGORITHM,
    HEADER,
    UNKNOWN_KEY,
    SIGNATURE,
    NOT_AN_ACCESS_TOKEN,
    EXPIRED,
    NOT_YET_VALID,
    AUDIENCE,
    ACCOUNT,
    SUBJECT,
    /** Not the caller's fault: the issuer's keys are not there, or too old to be relied on. */
    KEYS_UNAVAILABLE
  }

  private final Reason reason;

  TokenRejectedException(Reason reason, String message) {
    super(message);
    this.reason = reason;
  }

  public Reason reason() {
    return reason;
  }
}
