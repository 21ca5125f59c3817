package dev.grep11.gateway.trust;

import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.Locale;

/** What a set of client CAs says of a client's chain. */
public sealed interface Verdict {
  /**
   * Good.
   *
   * @param anchor the registered CA that vouches for it
   * @param until when the first certificate of the path, or what is known of revocations, expires
   */
  record Accepted(X509Certificate anchor, Instant until) implements Verdict {}

  /**
   * Not good.
   *
   * @param text for the client and the audit log: which certificate, and what is wrong with it
   */
  record Refused(Reason reason, String text) implements Verdict {}

  /** Why not; one for each row of docs/client-certificates.md. */
  enum Reason {
    /** The client showed no certificate. */
    NO_CERTIFICATE,
    /** No registered CA issued it, or the chain to one has a gap or a bad signature. */
    UNKNOWN_CA,
    EXPIRED,
    NOT_YET_VALID,
    /** A registered CA, or any other CA, shown as the client's own certificate. */
    CA_AS_LEAF,
    /** An extended key usage without clientAuth, in the leaf or above it. */
    NOT_FOR_CLIENTS,
    /** A key usage that forbids what the certificate is used for. */
    KEY_USAGE,
    /** A certificate above the leaf that is no CA. */
    NOT_A_CA,
    PATH_TOO_LONG,
    NAME_CONSTRAINTS,
    /** A signature by SHA-1 or MD5, or a key below RSA 2048 and P-256. */
    WEAK,
    /** A critical extension that is not understood (RFC 5280, 4.2). */
    CRITICAL_EXTENSION,
    REVOKED,
    /** Revocations are configured for this CA and cannot be read, or are out of date. */
    REVOCATION_UNKNOWN,
    /** More certificates or larger keys than anybody needs, or not X.509. */
    MALFORMED;

    /** As answers, audit events and the documentation name it: {@code no-certificate}. */
    public String word() {
      return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
  }
}
