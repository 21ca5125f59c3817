package dev.grep11.gateway.store;

/**
 * It is not known whether a change was made, since the connection broke when the server may have
 * committed it; or it was made, and what comes after it failed. Nothing that the change vouches for
 * may be undone.
 */
public final class UncertainChangeException extends StoreException {
  private static final long serialVersionUID = 1;

  UncertainChangeException(String message, Throwable cause) {
    super(message, cause);
  }
}
