package dev.grep11.gateway.audit;

import java.util.Set;

/** How much attention an event deserves, in rising order. */
public enum Severity {
  NORMAL("normal"),
  WARNING("warning"),
  CRITICAL("critical");

  private static final Set<String> CRITICAL_ACTIONS =
      Set.of(
          "hs-crypto.masterkey.destroy",
          "hs-crypto.masterkey.force-retire",
          "hs-crypto.keystore.deletekey",
          "hs-crypto.keystore.deletekeystore",
          "hs-crypto.keystore.updatekey",
          "grep11.apikey.confirm",
          "grep11.apikey.create",
          "grep11.apikey.delete",
          "grep11.grant.add",
          "grep11.grant.remove",
          "grep11.keystore.change-password",
          "grep11.store.restore");

  private static final Set<String> WARNING_ACTIONS =
      Set.of("grep11.certificate.expiry", "grep11.connection.refused");

  private final String text;

  Severity(String text) {
    this.text = text;
  }

  static Severity ofAction(String action) {
    var administrative = AdministrativeAction.named(action);
    if (administrative.isPresent()) {
      return administrative.get().severity();
    }
    if (CRITICAL_ACTIONS.contains(action)) {
      return CRITICAL;
    }
    return WARNING_ACTIONS.contains(action) ? WARNING : NORMAL;
  }

  static Severity ofStatus(int reasonCode) {
    return switch (reasonCode) {
      case 401, 403, 500, 503, 507 -> CRITICAL;
      case 400, 409, 424, 502, 504, 505 -> WARNING;
      default -> NORMAL;
    };
  }

  String text() {
    return text;
  }
}
