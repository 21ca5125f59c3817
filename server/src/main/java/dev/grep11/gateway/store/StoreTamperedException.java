package dev.grep11.gateway.store;

/**
 * The database is not what this gateway wrote. Refuse everything that depends on it; waiting does
 * not help.
 */
public final class StoreTamperedException extends StoreException {
  private static final long serialVersionUID = 1;

  StoreTamperedException(String message) {
    super(message);
  }

  StoreTamperedException(String message, Throwable cause) {
    super(message, cause);
  }
}
