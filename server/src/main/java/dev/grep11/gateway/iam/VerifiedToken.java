package dev.grep11.gateway.iam;

import dev.grep11.gateway.store.Subject;
import java.time.Instant;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;

/**
 * What a verified token says, as far as its issuer's settings let it count. It proves who calls;
 * what that caller may do is {@link Grants#authorize}'s to say.
 *
 * @param issued the {@code iat}, where there is one
 * @param expires its {@code exp}
 * @param instance the only instance it is good for, where it names one
 * @param roles roles that count in {@code instance}
 * @param apiKey the API key it was given for, by the embedded token service
 * @param certificateThumbprint base64url SHA-256 of the client certificate it is bound to (RFC
 *     8705, 3.1)
 */
public record VerifiedToken(
    Subject subject,
    Optional<String> name,
    Optional<Instant> issued,
    Instant expires,
    Optional<UUID> instance,
    Set<String> roles,
    Optional<UUID> apiKey,
    Optional<String> certificateThumbprint) {
  public VerifiedToken {
    roles = Set.copyOf(roles);
  }
}
