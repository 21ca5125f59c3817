package dev.grep11.gateway.rpc;

import dev.grep11.gateway.iam.KeystoreRpc;
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
    tokens.authorize(token, instance, actions, Optional.of(KeystoreRpc.someResource(actions)));
  }

  /** Whether the caller of a call may do this with a keystore, or with its keys. */
  boolean may(CallContext context, KeystoreRpc rpc, UUID keystore) {
    try {
      tokens.authorize(
          context.admitted().token(),
          context.admitted().instance(),
          rpc.actions(),
          Optional.of(rpc.resource(keystore)));
      return true;
    } catch (RefusedException e) {
      if (e.reason() == RefusedException.Reason.PERMISSION_DENIED) {
        return false;
      }
      throw e;
    }
  }
}
