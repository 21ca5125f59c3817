package dev.grep11.gateway.rpc;

import java.util.UUID;
import java.util.concurrent.CompletableFuture;

/** Who may do what: what this package asks of identity management. */
public interface AccessControl {

  /**
   * The subject of a token. Completed on return when that is known; otherwise it completes on a
   * thread that may block, never on the caller's. Fails with {@link RefusedException}.
   */
  CompletableFuture<Principal> authenticate(String token);

  /** Whether the subject holds an action at an instance. Asked on every call; never blocks. */
  boolean permits(Principal principal, UUID instance, String action);
}
