package dev.grep11.gateway.certmgr;

/**
 * A command or question of an administrator that is not carried out; nothing was changed, and it is
 * in the audit log.
 */
public final class CommandRefusedException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /** In the classes that an administrator, or a program, can do something about. */
  public enum Kind {
    /** Not signed as it must be, or no leave to register a key. */
    REJECTED,
    MALFORMED,
    NOT_FOUND,
    ALREADY_EXISTS,
    /** A rule forbids it in the present state. */
    NOT_NOW,
    /** The state moved since the administrator looked. */
    STALE,
    TOO_MANY,
    /** Nothing that the administrator did: store, audit log or token. */
    UNAVAILABLE
  }

  private final Kind kind;
  private final String forAudit;

  CommandRefusedException(Kind kind, String message) {
    this(kind, message, message);
  }

  /**
   * @param message for the administrator
   * @param forAudit the reason in full, without secrets
   */
  CommandRefusedException(Kind kind, String message, String forAudit) {
    super(message);
    this.kind = kind;
    this.forAudit = forAudit;
  }

  /** One answer for everything that is wrong with a signature; the audit log knows what it was. */
  static CommandRefusedException signature(String forAudit) {
    return new CommandRefusedException(Kind.REJECTED, "signature rejected", forAudit);
  }

  public Kind kind() {
    return kind;
  }

  String forAudit() {
    return forAudit;
  }
}
