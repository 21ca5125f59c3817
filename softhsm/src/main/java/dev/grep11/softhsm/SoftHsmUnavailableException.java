package dev.grep11.softhsm;

/** SoftHSM is not installed, or its tool failed. The message says what to do. */
public final class SoftHsmUnavailableException extends RuntimeException {
  public SoftHsmUnavailableException(String message) {
    super(message);
  }
}
