package dev.grep11.gateway.hsm;

/** The HSM cannot be opened as it is configured. The message is for the operator. */
public sealed class HsmOpenException extends RuntimeException permits PinRefusedException {
  public HsmOpenException(String message) {
    super(message);
  }

  public HsmOpenException(String message, Throwable cause) {
    super(message + ": " + cause.getMessage(), cause);
  }
}
