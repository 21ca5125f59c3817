package dev.grep11.gateway.iam;

import java.util.Collection;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** The names of everything that can be granted, and which of them an rpc needs. */
public final class Actions {
  /** Needed by every rpc of the crypto service besides its own action. */
  public static final String EP11_USE = "hs-crypto.ep11.use";

  private static final String CRYPTO = "hs-crypto.crypto.";
  static final String KEYSTORE = "hs-crypto.keystore.";
  private static final Pattern PHASE = Pattern.compile("(Init|Update|Final|Single)$");

  private static final Set<String> CRYPTO_ACTIONS =
      prefixed(
          CRYPTO,
          "decrypt",
          "derivekey",
          "digest",
          "digestkey",
          "encrypt",
          "generatekey",
          "generatekeypair",
          "generaterandom",
          "getattributevalue",
          "getmechanisminfo",
          "getmechanismlist",
          "rewrapkeyblob",
          "setattributevalue",
          "sign",
          "unwrapkey",
          "verify",
          "wrapkey");
  private static final Set<String> KEYSTORE_ACTIONS =
      prefixed(
          KEYSTORE,
          "createkeystore",
          "deletekeystore",
          "listkeystoresbyattributes",
          "listkeystoresbyids",
          "storenewkey",
          "updatekey",
          "deletekey",
          "listkeysbyattributes",
          "listkeysbyids");
  private static final Set<String> CERTIFICATE_ACTIONS =
      prefixed(
          "hs-crypto.",
          "mtlscert-admin-key.create",
          "mtlscert-admin-key.update",
          "mtlscert-admin-key.read",
          "mtlscert-admin-key.delete",
          "mtlscert-cert.set",
          "mtlscert-cert.list",
          "mtlscert-cert.read",
          "mtlscert-cert.delete");
  private static final Set<String> KNOWN =
      Stream.of(
              CRYPTO_ACTIONS,
              KEYSTORE_ACTIONS,
              CERTIFICATE_ACTIONS,
              Set.of(EP11_USE, "hs-crypto.discovery.listservers"))
          .flatMap(Set::stream)
          .collect(Collectors.toUnmodifiableSet());

  private Actions() {}

  /** Every action there is; nothing else can be granted. */
  public static Set<String> known() {
    return KNOWN;
  }

  /**
   * What a caller needs for an rpc of the crypto service, by its bare name ({@code EncryptUpdate}).
   * A call that carries a state needs the same as the one that began it.
   *
   * <p>{@code ReencryptSingle} needs encrypt and decrypt. {@code Login} and {@code Logout} have no
   * action in the published lists; they open and close a session and touch no key, so {@link
   * #EP11_USE} is enough.
   *
   * @throws IllegalArgumentException for an rpc without an action: it must not be served
   */
  public static Set<String> ofRpc(String rpc) {
    return switch (rpc) {
      case "ReencryptSingle" -> Set.of(CRYPTO + "encrypt", CRYPTO + "decrypt", EP11_USE);
      case "Login", "Logout" -> Set.of(EP11_USE);
      default -> {
        String action = CRYPTO + PHASE.matcher(rpc).replaceFirst("").toLowerCase(Locale.ROOT);
        if (!CRYPTO_ACTIONS.contains(action)) {
          throw new IllegalArgumentException("no action for rpc " + rpc);
        }
        yield Set.of(action, EP11_USE);
      }
    };
  }

  /**
   * The action that bears the name of an rpc of the keystore service.
   *
   * @throws IllegalArgumentException if there is none
   */
  static String ofKeystores(String rpc) {
    String action = KEYSTORE + rpc.toLowerCase(Locale.ROOT);
    if (!KEYSTORE_ACTIONS.contains(action)) {
      throw new IllegalArgumentException("no action for rpc " + rpc);
    }
    return action;
  }

  /**
   * Whether these actions, in one hand, would join what security rules 6.2 keep apart:
   * administration of certificates and use of keys.
   */
  static boolean joinSeparateDuties(Collection<String> actions) {
    boolean certificates = actions.stream().anyMatch(CERTIFICATE_ACTIONS::contains);
    return certificates
        && actions.stream().anyMatch(action -> !CERTIFICATE_ACTIONS.contains(action));
  }

  private static Set<String> prefixed(String prefix, String... names) {
    return Stream.of(names).map(name -> prefix + name).collect(Collectors.toUnmodifiableSet());
  }
}
