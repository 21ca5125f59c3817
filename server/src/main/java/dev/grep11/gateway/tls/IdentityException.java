package dev.grep11.gateway.tls;

import org.jspecify.annotations.Nullable;

/** Files that are no server identity; the message names the file and what is wrong with it. */
public final class IdentityException extends Exception {
  IdentityException(String message, @Nullable Throwable cause) {
    super(message, cause);
  }

  IdentityException(String message) {
    this(message, null);
  }
}
