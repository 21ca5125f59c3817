package dev.grep11.gateway.rpc;

import dev.grep11.gateway.iam.CallBudget;
import dev.grep11.gateway.iam.VerifiedToken;
import dev.grep11.gateway.pkcs11.OverloadedException;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;

/**
 * Who may administer certificates. On headers, any one of an rpc's actions is enough: which of them
 * a command needs stands in its body, which is read for administrators only, and is asked then.
 */
final class CertificateManagerAccess implements AccessControl {
  private final AccessControl tokens;
  private final CallBudget budget;

  CertificateManagerAccess(AccessControl tokens, CallBudget budget) {
    this.tokens = tokens;
    this.budget = budget;
  }

  @Override
  public CompletableFuture<VerifiedToken> authenticate(String token) {
    return tokens.authenticate(token);
  }

  @Override
  public void authorize(VerifiedToken token, UUID instance, Set<String> anyOf) {
    requireAny(token, instance, anyOf);
    if (budget.spend(token.subject(), 1) != CallBudget.Balance.WITHIN) {
      throw new OverloadedException("too many calls of this administrator; wait a minute");
    }
  }

  /** The one action that a command needs. */
  void require(VerifiedToken token, UUID instance, String action) {
    tokens.authorize(token, instance, Set.of(action));
  }

  private void requireAny(VerifiedToken token, UUID instance, Set<String> anyOf) {
    var refusal = RefusedException.permissionDenied("not granted: " + String.join(", ", anyOf));
    for (var action : anyOf) {
      try {
        require(token, instance, action);
        return;
      } catch (RefusedException e) {
        refusal = e;
      }
    }
    throw refusal;
  }
}
