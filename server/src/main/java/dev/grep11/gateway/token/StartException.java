package dev.grep11.gateway.token;

import org.jspecify.annotations.Nullable;

/** The gateway, or a command, cannot do its work as things are. The message is for the operator. */
public final class StartException extends RuntimeException {
  private static final long serialVersionUID = 1;

  public StartException(String message) {
    super(message);
  }

  public StartException(String message, @Nullable Throwable cause) {
    super(message, cause);
  }
}
