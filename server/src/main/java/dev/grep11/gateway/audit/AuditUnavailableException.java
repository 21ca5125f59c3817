package dev.grep11.gateway.audit;

/** The event cannot be recorded, so what it tells of must not happen. */
public final class AuditUnavailableException extends RuntimeException {
  private static final long serialVersionUID = 1;

  public AuditUnavailableException(String message) {
    super(message);
  }
}
