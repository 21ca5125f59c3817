package dev.grep11.bench.vectors;

/** A file that is not what its schema says; the run fails, since its cases cannot be counted. */
final class VectorFormatException extends RuntimeException {
  private static final long serialVersionUID = 1;

  VectorFormatException(String message) {
    super(message);
  }

  VectorFormatException(String message, Throwable cause) {
    super(message, cause);
  }
}
