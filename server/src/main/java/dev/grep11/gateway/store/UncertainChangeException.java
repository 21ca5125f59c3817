package dev.grep11.gateway.store;

/**
 * It is not known whether a change was made: the connection broke when the server may have
 * committed it. Nothing that the change vouches for may be undone.
 */
public final class UncertainChangeException extends StoreException {
  private static final long serialVersionUID = 1;

  UncertainChangeException(String message, Throwable cause) {
    super(message, cause);
  }
}
