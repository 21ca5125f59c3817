package dev.grep11.gateway.key;

/** A sealing key is missing or not trustworthy: the gateway refuses to work with its instance. */
public final class SealingKeyException extends RuntimeException {
  public SealingKeyException(String message) {
    super(message);
  }
}
