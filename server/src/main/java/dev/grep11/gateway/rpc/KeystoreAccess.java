package dev.grep11.gateway.rpc;

import dev.grep11.gateway.iam.Actions;
import dev.grep11.gateway.iam.Grants;
import dev.grep11.gateway.iam.VerifiedToken;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;

/**
 * Who may reach into keystores. On headers it is enough to have the action on some keystore: which
 * one a call is about stands in its body, and is asked then.
 *
 * <p>Who may not learns nothing of whether a keystore exists: the call goes on with the id of one
 * that does not, along the same way and with the same answer.
 */
final class KeystoreAccess implements AccessControl {
  /**
   * Has the action of keys, and is about their keystore: who may only write keys must not lock out
   * all others.
   */
  private static final String CHANGE_PASSWORD = "ChangePassword";

  private final TokenAccess tokens;

  KeystoreAccess(TokenAccess tokens) {
    this.tokens = tokens;
  }

  @Override
  public CompletableFuture<VerifiedToken> authenticate(List<String> authorization) {
    return tokens.authenticate(authorization);
  }

  @Override
  public void authorize(VerifiedToken token, UUID instance, Set<String> actions) {
    tokens.authorize(
        token,
        instance,
        actions,
        Optional.of(isAboutKeys(actions) ? Grants.SOME_KEY : Grants.SOME_KEYSTORE));
  }

  /** Whether the caller of a call may do this with a keystore, or with its keys. */
  boolean may(CallContext context, String rpc, UUID keystore) {
    var actions = Actions.ofKeystoreRpc(rpc);
    try {
      tokens.authorize(
          context.admitted().token(),
          context.admitted().instance(),
          actions,
          Optional.of(
              isAboutKeys(actions) && !rpc.equals(CHANGE_PASSWORD)
                  ? Grants.keyOf(keystore)
                  : Grants.keystore(keystore)));
      return true;
    } catch (RefusedException e) {
      if (e.reason() == RefusedException.Reason.PERMISSION_DENIED) {
        return false;
      }
      throw e;
    }
  }

  private static boolean isAboutKeys(Set<String> actions) {
    // The name of the action itself begins after "hs-crypto.keystore.".
    return actions.stream()
        .noneMatch(action -> action.substring(action.lastIndexOf('.')).contains("keystore"));
  }
}
