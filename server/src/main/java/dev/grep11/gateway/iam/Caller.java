package dev.grep11.gateway.iam;

import dev.grep11.gateway.store.Subject;
import java.time.Instant;
import java.util.Collection;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;

/**
 * An identified caller in one instance, with everything it may do there, as the grants of one
 * generation have it. For one rpc only: the next one asks {@link Grants#authorize} again.
 *
 * @param name for people
 * @param expires of its token
 * @param certificateThumbprint base64url SHA-256 that the connection's client certificate must
 *     have, where present
 * @param policyGeneration the store's generation that decided
 */
public record Caller(
    Subject subject,
    Optional<String> name,
    UUID instance,
    Set<String> actions,
    Instant expires,
    Optional<String> certificateThumbprint,
    long policyGeneration) {
  /** Whether all these actions are among its own. */
  public boolean may(Collection<String> needed) {
    return actions.containsAll(needed);
  }
}
