package dev.grep11.gateway.tls;

import dev.grep11.gateway.trust.Fingerprint;
import java.security.cert.X509Certificate;
import java.util.List;
import java.util.regex.Pattern;

/**
 * A client's own certificate as a refusal tells of it. Whoever is refused chose the names in it, so
 * they are cut to a bound, and nothing in them moves a cursor or turns the direction of a line in
 * the log or in what reads the audit file.
 */
record ShownCertificate(String subject, String issuer, String fingerprint) {
  private static final int LONGEST_NAME = 128;

  /** Controls, format characters, line and paragraph separators, halves of pairs (UTS #39). */
  private static final Pattern UNFIT = Pattern.compile("[\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}\\p{Cs}]");

  /** Of the first of a chain, which may be anything that a client can send. */
  static ShownCertificate of(List<X509Certificate> chain) {
    if (chain.isEmpty()) {
      return new ShownCertificate("none", "none", "none");
    }
    var leaf = chain.getFirst();
    try {
      return new ShownCertificate(
          bounded(leaf.getSubjectX500Principal().getName()),
          bounded(leaf.getIssuerX500Principal().getName()),
          Fingerprint.of(leaf));
    } catch (RuntimeException e) {
      // tcnative parses what it was sent when it is asked, not before.
      return new ShownCertificate("not X.509", "not X.509", "none");
    }
  }

  private static String bounded(String name) {
    // Cut first: it may have megabytes, and half of a pair at the cut is unfit too.
    return name.length() <= LONGEST_NAME ? fit(name) : fit(name.substring(0, LONGEST_NAME)) + "...";
  }

  private static String fit(String name) {
    return UNFIT.matcher(name).replaceAll("?");
  }

  @Override
  public String toString() {
    return "subject \"%s\", issuer \"%s\", SHA-256 %s".formatted(subject, issuer, fingerprint);
  }
}
