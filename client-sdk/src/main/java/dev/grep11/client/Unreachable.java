package dev.grep11.client;

import java.net.ConnectException;
import java.net.http.HttpTimeoutException;
import java.nio.channels.UnresolvedAddressException;
import java.util.Optional;

/** Why there is no connection, in words: the messages below it are numbers, or none at all. */
final class Unreachable {
  private Unreachable() {}

  /** Empty when a connection was not what was missing. */
  static Optional<String> reason(Throwable failure) {
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof HttpTimeoutException) {
        return Optional.of("no answer in time");
      }
      if (cause instanceof ConnectException) {
        return Optional.of(reason((ConnectException) cause));
      }
    }
    return Optional.empty();
  }

  private static String reason(ConnectException failure) {
    String said = "";
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof UnresolvedAddressException) {
        return "there is no host of that name";
      }
      if (cause.getMessage() != null) {
        said += cause.getMessage() + "; ";
      }
    }
    // ECONNREFUSED, as the JDK and as netty's native transports tell it.
    return said.isEmpty() || said.contains("refused") || said.contains("error(-111)")
        ? "connection refused"
        : said.substring(0, said.length() - 2);
  }
}
