package dev.grep11.client;

import java.util.Optional;

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
    return below(failure).isPresent();
  }

  /** Whether a token service answered that it cannot at present. */
  static boolean answered(Throwable failure) {
    return below(failure).filter(found -> found.getCause() == null).isPresent();
  }

  private static Optional<TokenServiceUnavailableException> below(Throwable failure) {
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof TokenServiceUnavailableException found) {
        return Optional.of(found);
      }
    }
    return Optional.empty();
  }
}
