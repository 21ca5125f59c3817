package dev.grep11.agent.store;

import org.jspecify.annotations.Nullable;

/** A store that did not do what it was asked. */
public final class StoreException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /** Why not. */
  public enum Reason {
    /** Somebody else changed the object meanwhile. */
    CONFLICT,
    /** There is no such object. */
    MISSING,
    /** The keystore's password is another one. */
    PASSWORD,
    /** No token objects are kept here. */
    ABSENT,
    /** The keystore itself was not made yet, or its user has no right on it. */
    NO_KEYSTORE,
    /** The store itself does not work, or what it holds was changed by somebody else. */
    BROKEN
  }

  private final Reason reason;

  public StoreException(Reason reason, String message) {
    this(reason, message, null);
  }

  public StoreException(Reason reason, String message, @Nullable Throwable cause) {
    super(message, cause);
    this.reason = reason;
  }

  public Reason reason() {
    return reason;
  }
}
