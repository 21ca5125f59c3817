package dev.grep11.gateway;

import org.jspecify.annotations.Nullable;

/** The gateway, or a command, cannot do its work as things are. The message is for the operator. */
final class StartException extends RuntimeException {
  private static final long serialVersionUID = 1;

  StartException(String message) {
    super(message);
  }

  StartException(String message, @Nullable Throwable cause) {
    super(message, cause);
  }
}
