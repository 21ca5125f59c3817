package dev.grep11.gateway.rpc;

import java.util.Collection;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;

/** Who may do what: what this package asks of identity management. */
public interface AccessControl {

  /**
   * The subject of a token. Completed on return when that is known; otherwise it completes on a
   * thread that may block, never on the caller's. Fails with {@link RefusedException}.
   */
  CompletableFuture<Principal> authenticate(String token);

  /**
   * Refuses unless the subject holds all actions at an instance. Asked on every call; never blocks.
   *
   * @throws RefusedException naming what is not granted
   */
  void authorize(Principal principal, UUID instance, Collection<String> actions);
}
