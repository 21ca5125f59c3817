package dev.grep11.gateway.rpc;

import java.time.Instant;
import java.util.Optional;
import java.util.UUID;

/**
 * Whom a verified token names.
 *
 * @param issuer `iss` of the token
 * @param subject the subject that grants are given to
 * @param instance the instance that the token is for, where it names one
 * @param certificateThumbprint base64url SHA-256 of the client certificate that the token is bound
 *     to (`cnf` `x5t#S256`, RFC 8705, 3.1), where it is
 * @param expires when the token ends
 */
public record Principal(
    String issuer,
    String subject,
    Optional<UUID> instance,
    Optional<String> certificateThumbprint,
    Instant expires) {

  /** One name for issuer and subject: quotas and the audit trail count by it. */
  public String name() {
    return issuer + "|" + subject;
  }
}
