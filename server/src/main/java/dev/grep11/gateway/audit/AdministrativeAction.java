package dev.grep11.gateway.audit;

import static java.util.stream.Collectors.toUnmodifiableMap;

import java.util.Arrays;
import java.util.Map;
import java.util.Optional;

/**
 * The events of the certificate manager: the eight that the original service documents, and five of
 * this gateway for what the original does not have.
 */
public enum AdministrativeAction {
  ADMIN_KEY_CREATE(Target.ADMIN_KEY, "create", Severity.CRITICAL),
  ADMIN_KEY_UPDATE(Target.ADMIN_KEY, "update", Severity.CRITICAL),
  ADMIN_KEY_READ(Target.ADMIN_KEY, "read", Severity.NORMAL),
  ADMIN_KEY_DELETE(Target.ADMIN_KEY, "delete", Severity.CRITICAL),
  CERT_SET(Target.CERT, "set", Severity.CRITICAL),
  CERT_LIST(Target.CERT, "list", Severity.NORMAL),
  CERT_READ(Target.CERT, "read", Severity.NORMAL),
  CERT_DELETE(Target.CERT, "delete", Severity.CRITICAL),

  /** An operator on the host gives the client CAs of one administrator to another. */
  CERT_HAND_OVER(Target.CERT, "hand-over", Severity.CRITICAL),
  /** One administrator vouches for the first key of another. */
  ADMIN_KEY_COUNTERSIGN(Target.ADMIN_KEY, "countersign", Severity.CRITICAL),
  /** An operator on the host lets somebody register a first key. */
  ADMIN_KEY_INVITE(Target.ADMIN_KEY, "invite", Severity.CRITICAL),
  /** An operator on the host takes a lost key away. */
  ADMIN_KEY_RECOVER(Target.ADMIN_KEY, "recover", Severity.CRITICAL),
  /** An operator on the host takes leave to register a first key back. */
  ADMIN_KEY_WITHDRAW(Target.ADMIN_KEY, "withdraw", Severity.CRITICAL);

  private static final Map<String, AdministrativeAction> BY_NAME =
      Arrays.stream(values())
          .collect(toUnmodifiableMap(AdministrativeAction::eventName, action -> action));

  private final Target target;
  private final String eventName;
  private final Severity severity;

  AdministrativeAction(Target target, String verb, Severity severity) {
    this.target = target;
    this.eventName = "hs-crypto." + target.text + "." + verb;
    this.severity = severity;
  }

  /** What it is done to. */
  private enum Target {
    ADMIN_KEY("mtlscert-admin-key"),
    CERT("mtlscert-cert");

    private final String text;

    Target(String text) {
      this.text = text;
    }
  }

  /** The {@code action} of the event, such as {@code hs-crypto.mtlscert-cert.set}. */
  public String eventName() {
    return eventName;
  }

  /** The {@code target.name} of the event: {@code mtlscert-admin-key} or {@code mtlscert-cert}. */
  public String targetName() {
    return target.text;
  }

  /** The {@code target.typeURI} of the event. */
  public String targetTypeUri() {
    return "hs-crypto/" + target.text;
  }

  /** What an event of this action deserves when it succeeded. */
  public Severity severity() {
    return severity;
  }

  static Optional<AdministrativeAction> named(String eventName) {
    return Optional.ofNullable(BY_NAME.get(eventName));
  }
}
