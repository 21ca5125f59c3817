package dev.grep11.gateway.rpc;

import dev.grep11.gateway.iam.VerifiedToken;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;

/** Who calls, and what they may do. */
interface AccessControl {

  /**
   * Whom a token names. Completed on return when that is known; otherwise it completes on a thread
   * that may block, never on the caller's. Fails with {@link RefusedException}.
   *
   * @param authorization the values of that header
   * @throws RefusedException when they are not one bearer token
   */
  CompletableFuture<VerifiedToken> authenticate(List<String> authorization);

  /**
   * Refuses unless the subject holds all actions at an instance. Asked on every call; never blocks.
   *
   * @throws RefusedException naming what is not granted
   */
  void authorize(VerifiedToken token, UUID instance, Set<String> actions);
}
