package dev.grep11.gateway.rpc;

import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;

/**
 * The actions that an rpc requires. They follow from its name, so that an rpc without a rule cannot
 * exist; parts of an operation require what the whole does.
 */
final class RequiredActions {
  /** Required by every call, next to the action of its own. */
  static final String USE = "hs-crypto.ep11.use";

  private static final String CRYPTO = "hs-crypto.crypto.";
  private static final Pattern PART = Pattern.compile("(Init|Update|Final|Single)$");

  private RequiredActions() {}

  /** The actions of an rpc by its bare name. */
  static List<String> of(String rpc) {
    return switch (rpc) {
      // No published action names them, and their result is of no use to any other call.
      case "Login", "Logout" -> List.of(USE);
      case "ReencryptSingle" -> List.of(USE, CRYPTO + "decrypt", CRYPTO + "encrypt");
      default -> List.of(USE, CRYPTO + PART.matcher(rpc).replaceFirst("").toLowerCase(Locale.ROOT));
    };
  }
}
