package dev.grep11.gateway.trust;

import java.time.Instant;
import java.util.Optional;

/** What is known of revoked certificates at one time. Immutable. */
public final class Revocations {
  /** Nothing is configured: nothing is revoked, and nothing can be out of date. */
  public static final Revocations NONE = new Revocations();

  private Revocations() {}

  /** Whether the deny list names it. */
  Optional<Verdict.Refused> denied(PathCertificate certificate) {
    return Optional.empty();
  }

  /** Whether its issuer revoked it, or cannot say. */
  Optional<Verdict.Refused> refused(
      PathCertificate certificate, PathCertificate issuer, Instant now) {
    return Optional.empty();
  }

  /** When the issuer's list is due to be replaced; far away if it has none. */
  Instant knownUntil(PathCertificate issuer) {
    return Instant.MAX;
  }
}
