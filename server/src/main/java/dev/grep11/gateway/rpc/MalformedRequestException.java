package dev.grep11.gateway.rpc;

/** A request of an administrator that says nothing, or not in the one way it can be said. */
final class MalformedRequestException extends RuntimeException {
  private static final long serialVersionUID = 1;

  MalformedRequestException(String message) {
    super(message);
  }
}
