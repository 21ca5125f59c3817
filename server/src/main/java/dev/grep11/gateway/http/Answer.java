package dev.grep11.gateway.http;

import java.util.Map;

/**
 * An answer.
 *
 * @param headers besides those that every answer has: length, date, connection
 */
public record Answer(int status, Map<String, String> headers, byte[] body) {
  public static Answer of(int status, String contentType, byte[] body) {
    return new Answer(status, Map.of("Content-Type", contentType), body);
  }

  /** Without the body, which may hold a token. */
  @Override
  public String toString() {
    return "Answer[" + status + "]";
  }
}
