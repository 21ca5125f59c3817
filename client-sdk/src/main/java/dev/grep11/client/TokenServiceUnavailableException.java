package dev.grep11.client;

/** The token service did not answer, or cannot at present: asking again may help. */
final class TokenServiceUnavailableException extends IllegalStateException {
  private static final long serialVersionUID = 1;

  TokenServiceUnavailableException(String message, Throwable cause) {
    super(message, cause);
  }

  TokenServiceUnavailableException(String message) {
    super(message);
  }

  /** Whether this is what went wrong, below whatever passed it on. */
  static boolean isCauseOf(Throwable failure) {
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof TokenServiceUnavailableException) {
        return true;
      }
    }
    return false;
  }
}
