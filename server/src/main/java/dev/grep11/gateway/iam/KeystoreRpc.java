package dev.grep11.gateway.iam;

import java.util.Arrays;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.function.Function;
import java.util.stream.Collectors;

/**
 * The rpcs of the keystore service: the right that each needs, on what, and its name in the audit
 * log (pkcs11-client.md, 8; iam-audit-metrics.md, 4).
 */
public enum KeystoreRpc {
  CREATE_KEYSTORE("CreateKeystore", About.KEYSTORE),
  DELETE_KEYSTORE("DeleteKeystore", About.KEYSTORE),
  LIST_KEYSTORES_BY_IDS("ListKeystoresByIds", About.KEYSTORE),
  LIST_KEYSTORES_BY_ATTRIBUTES("ListKeystoresByAttributes", About.KEYSTORE),
  STORE_NEW_KEY("StoreNewKey", About.KEYS),
  UPDATE_KEY("UpdateKey", About.KEYS),
  DELETE_KEY("DeleteKey", About.KEYS),
  LIST_KEYS_BY_IDS("ListKeysByIds", About.KEYS),
  LIST_KEYS_BY_ATTRIBUTES("ListKeysByAttributes", About.KEYS),

  /**
   * The published actions know no change of a password: it needs the one that changes keys, and
   * that on the keystore, because who may only write keys must not lock out all others.
   */
  CHANGE_PASSWORD(
      "ChangePassword",
      About.KEYSTORE,
      Actions.KEYSTORE + "updatekey",
      "grep11.keystore.change-password");

  private enum About {
    KEYSTORE,
    KEYS
  }

  private static final Map<String, KeystoreRpc> BY_NAME =
      Arrays.stream(values()).collect(Collectors.toMap(rpc -> rpc.rpcName, Function.identity()));

  private final String rpcName;
  private final About about;
  private final String action;
  private final String event;

  KeystoreRpc(String rpcName, About about) {
    this(rpcName, about, Actions.ofKeystores(rpcName), Actions.ofKeystores(rpcName));
  }

  KeystoreRpc(String rpcName, About about, String action, String event) {
    this.rpcName = rpcName;
    this.about = about;
    this.action = action;
    this.event = event;
  }

  /**
   * The rpc of this name.
   *
   * @param bareName as the contract has it
   * @throws IllegalArgumentException for an rpc that is not in the table: it must not be served
   */
  public static KeystoreRpc named(String bareName) {
    var rpc = BY_NAME.get(bareName);
    if (rpc == null) {
      throw new IllegalArgumentException("no action for rpc " + bareName);
    }
    return rpc;
  }

  /** What a caller needs. */
  public Set<String> actions() {
    return Set.of(action);
  }

  /** Its name in the audit log. */
  public String event() {
    return event;
  }

  /** Whether it is about the keystore itself, and not about keys in it. */
  public boolean isAboutKeystore() {
    return about == About.KEYSTORE;
  }

  /** The resource that the caller needs the action on. */
  public String resource(UUID keystore) {
    return switch (about) {
      case KEYSTORE -> Grants.keystore(keystore);
      case KEYS -> Grants.keyOf(keystore);
    };
  }

  /**
   * The resource as long as it is not known which keystore a call is about, by the actions that it
   * needs.
   */
  public static String someResource(Set<String> actions) {
    return Arrays.stream(values())
            .filter(rpc -> rpc.about == About.KEYS)
            .anyMatch(rpc -> actions.contains(rpc.action))
        ? Grants.SOME_KEY
        : Grants.SOME_KEYSTORE;
  }
}
