package dev.grep11.gateway.trust;

import java.io.ByteArrayInputStream;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.stream.Stream;

/** A certificate that may be registered as a client CA. */
public record ClientCa(X509Certificate certificate) {
  /** When administrators are told that it ends: a month, a week and a day before. */
  private static final List<Integer> WARNING_DAYS = List.of(1, 7, 30);

  /**
   * Reads and judges what an administrator wants to register. One that is not valid yet may be
   * registered ahead of time; {@link #notes} says so.
   *
   * @param der one certificate, nothing after it, encoded as DER demands
   * @throws IllegalArgumentException saying what is wrong with it, in words for that administrator
   */
  public static ClientCa read(byte[] der, Instant now) {
    var certificate = parse(der);
    PathCertificate ca;
    try {
      Der.read(der);
      ca = PathCertificate.of(certificate);
      // Constraints that cannot be compared with would refuse every client, and only then.
      ca.nameRules().ifPresent(NameRules::build);
    } catch (RuntimeException e) {
      // Parsers say by many exceptions that they were given something else.
      throw new IllegalArgumentException(
          "not a certificate that can be registered: "
              + e.getMessage()
              + "; export it again as DER, or register another CA",
          e);
    }
    if (ca.subject().getName().isEmpty()) {
      throw new IllegalArgumentException(
          "the certificate has an empty subject, so it can have issued nothing (RFC 5280, 4.1.2.6);"
              + " register a CA with a name");
    }
    var from = now.isBefore(ca.notBefore()) ? ca.notBefore() : now;
    ca.refusedAsIssuer(from, true)
        .ifPresent(refused -> {
          throw new IllegalArgumentException(refused.text() + "; " + remedy(refused.reason()));
        });
    return new ClientCa(certificate);
  }

  private static X509Certificate parse(byte[] der) {
    if (der.length > PathCertificate.MAX_BYTES) {
      throw new IllegalArgumentException(
          "the certificate has " + der.length + " bytes; at most 16384 are taken");
    }
    try {
      // It would take PEM as well, of which the registry keeps none.
      if (der.length == 0 || der[0] != 0x30) {
        throw new IllegalArgumentException("not an X.509 certificate in DER; send one certificate");
      }
      return (X509Certificate)
          CertificateFactory.getInstance("X.509")
              .generateCertificate(new ByteArrayInputStream(der));
    } catch (CertificateException e) {
      throw new IllegalArgumentException(
          "not an X.509 certificate in DER; send one certificate and nothing else", e);
    }
  }

  private static String remedy(Verdict.Reason reason) {
    return switch (reason) {
      case NOT_A_CA -> "register the CA that issued the clients' certificates, not one of those";
      case KEY_USAGE -> "register a CA whose key usage has keyCertSign, or that has none";
      case NOT_FOR_CLIENTS -> "register a CA that may issue for clientAuth";
      case EXPIRED -> "register its successor";
      case WEAK, MALFORMED -> "use RSA with 2048 to 8192 bits, P-256, P-384, P-521 or Ed25519";
      case CRITICAL_EXTENSION -> "register a CA without it";
      case NO_CERTIFICATE,
          UNKNOWN_CA,
          NOT_YET_VALID,
          CA_AS_LEAF,
          PATH_TOO_LONG,
          NAME_CONSTRAINTS,
          REVOKED,
          REVOCATION_UNKNOWN ->
          "register another CA";
    };
  }

  /**
   * Whether this machine knows it as a public root: then strangers can have certificates from it,
   * and registering it would let them through the second lock (security rules 5.5).
   *
   * <p>By subject and key, among the roots of the JDK and of the system, which are read once. A
   * public CA below a root is not recognised.
   */
  public boolean publicRoot() {
    return PublicRoots.contain(certificate);
  }

  /** Which it is, for events and answers: SHA-256 in hex and the subject, fit for a log line. */
  public static String title(X509Certificate certificate) {
    var known = PathCertificate.of(certificate);
    return "sha256 " + known.fingerprint() + " " + known.name();
  }

  /** What an administrator should know of it now, one sentence each; empty if nothing. */
  public List<String> notes(Instant now) {
    var from = certificate.getNotBefore().toInstant();
    var until = certificate.getNotAfter().toInstant();
    if (!now.isBefore(until)) {
      return List.of("expired " + until + ": it validates no client, and keeps the lock closed");
    }
    var early =
        now.isBefore(from)
            ? Stream.of("not valid before " + from + ": until then it validates no client")
            : Stream.<String>empty();
    var late =
        WARNING_DAYS.stream()
            .filter(days -> !now.plus(Duration.ofDays(days)).isBefore(until))
            .limit(1)
            .map(days ->
                "expires within "
                    + (days == 1 ? "a day" : days + " days")
                    + ", on "
                    + until
                    + ": register its successor");
    return Stream.concat(early, late).toList();
  }
}
