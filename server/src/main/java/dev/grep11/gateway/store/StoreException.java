package dev.grep11.gateway.store;

/**
 * The store could not be read or written. Nothing was changed unless the message says so, and
 * nothing may be assumed about its content.
 */
public class StoreException extends RuntimeException {
  private static final long serialVersionUID = 1;

  StoreException(String message) {
    super(message);
  }

  StoreException(String message, Throwable cause) {
    super(message, cause);
  }
}
