package dev.grep11.gateway.certmgr;

import java.util.Locale;

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

  /** Why exactly, for a program to act on. {@code certmgr.proto} promises the words. */
  public enum Reason {
    /** One for all that can be wrong with a signature. */
    SIGNATURE_REJECTED(Kind.REJECTED),
    INVITATION_NEEDED(Kind.REJECTED),
    COUNTERSIGNATURE_NEEDED(Kind.REJECTED),
    MALFORMED(Kind.MALFORMED),
    NOT_FOUND(Kind.NOT_FOUND),
    ALREADY_REGISTERED(Kind.ALREADY_EXISTS),
    NO_ADMINISTRATOR_KEY(Kind.NOT_NOW),
    CERTIFICATES_HELD(Kind.NOT_NOW),
    NOBODY_TO_HAND_OVER_TO(Kind.NOT_NOW),
    NOT_COUNTERSIGNED_HERE(Kind.NOT_NOW),
    PUBLIC_ROOT(Kind.NOT_NOW),
    CLIENT_WOULD_BE_REFUSED(Kind.NOT_NOW),
    LAST_CERTIFICATE(Kind.NOT_NOW),
    OUTDATED(Kind.STALE),
    TOO_MANY_CERTIFICATES(Kind.TOO_MANY),
    UNAVAILABLE(Kind.UNAVAILABLE);

    private final Kind kind;

    Reason(Kind kind) {
      this.kind = kind;
    }

    /** As it is sent. */
    public String word() {
      return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
  }

  private final Reason reason;
  private final String forAudit;

  CommandRefusedException(Reason reason, String message) {
    this(reason, message, message);
  }

  /**
   * @param message for the administrator
   * @param forAudit the reason in full, without secrets
   */
  CommandRefusedException(Reason reason, String message, String forAudit) {
    super(message);
    this.reason = reason;
    this.forAudit = forAudit;
  }

  /** One answer for everything that is wrong with a signature; the audit log knows what it was. */
  static CommandRefusedException signature(String forAudit) {
    return new CommandRefusedException(Reason.SIGNATURE_REJECTED, "signature rejected", forAudit);
  }

  public Reason reason() {
    return reason;
  }

  public Kind kind() {
    return reason.kind;
  }

  String forAudit() {
    return forAudit;
  }
}
