package dev.grep11.gateway.rpc;

import dev.grep11.gateway.iam.CallBudget;
import dev.grep11.gateway.iam.VerifiedToken;
import dev.grep11.gateway.pkcs11.OverloadedException;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;

/**
 * Who may administer certificates, and how often. On headers, any one of an rpc's actions is
 * enough: which of them a command needs stands in its body, which is read for administrators only,
 * and is asked then.
 *
 * <p>Who stole a token must not use up what its owner may do. So commands that the registered key
 * signed have a budget of their own, and everything else is counted for the subject and the address
 * it comes from; the question for the own key, without which no command can be signed, apart.
 */
final class CertificateManagerAccess implements AccessControl {
  private final AccessControl tokens;
  private final CallBudget signed;
  private final CallBudget unsigned;
  private final CallBudget keyQuestions;

  /**
   * @param callsPerMinute of each kind
   */
  CertificateManagerAccess(AccessControl tokens, int callsPerMinute) {
    this.tokens = tokens;
    this.signed = new CallBudget(callsPerMinute);
    this.unsigned = new CallBudget(callsPerMinute);
    this.keyQuestions = new CallBudget(callsPerMinute);
  }

  @Override
  public CompletableFuture<VerifiedToken> authenticate(List<String> authorization) {
    return tokens.authenticate(authorization);
  }

  @Override
  public void authorize(VerifiedToken token, UUID instance, Set<String> anyOf) {
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

  /** The one action that a command needs. */
  void require(VerifiedToken token, UUID instance, String action) {
    tokens.authorize(token, instance, Set.of(action));
  }

  /** Counts a command that the administrator's registered key signed. */
  void countSigned(CallContext context) {
    requireWithin(signed.spend(context.admitted().token().subject(), 1));
  }

  /** Counts a question, or a command that shows no more than a token. */
  void countUnsigned(CallContext context) {
    count(unsigned, context);
  }

  /** Counts a question for the own key. */
  void countKeyQuestion(CallContext context) {
    count(keyQuestions, context);
  }

  private static void count(CallBudget budget, CallContext context) {
    var subject = context.admitted().token().subject();
    requireWithin(
        context.remote().orElse(null) instanceof InetSocketAddress remote
            ? budget.spend(subject, remote.getAddress(), 1)
            : budget.spend(subject, 1));
  }

  private static void requireWithin(CallBudget.Balance balance) {
    if (balance != CallBudget.Balance.WITHIN) {
      throw new OverloadedException("too many calls of this administrator; wait a minute");
    }
  }
}
