package dev.grep11.gateway.iam;

/** Whether a caller may do what it asks for. */
public sealed interface Decision {
  record Allowed(Caller caller) implements Decision {}

  /**
   * No.
   *
   * @param text for the audit log: names the subject's lack, no secret
   */
  record Denied(Reason reason, String text) implements Decision {}

  /** Why not. */
  enum Reason {
    /** The token names another instance. */
    TOKEN,
    /** The API key that the token was given for is gone. */
    API_KEY_DELETED,
    /**
     * There is no such instance, or the subject has no grant in it: the caller cannot tell which.
     */
    NO_GRANT,
    /** The grants do not cover an action. */
    MISSING_ACTION,
    /** The grants join what must stay apart (security rules 6.2). */
    SEPARATION_OF_DUTIES,
    /** Not the caller's fault: the grants cannot be read, or are older than the lease. */
    GRANTS_UNAVAILABLE
  }
}
