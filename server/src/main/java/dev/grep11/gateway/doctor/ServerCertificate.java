package dev.grep11.gateway.doctor;

import dev.grep11.findings.Findings;
import dev.grep11.findings.Validity;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.tls.IdentityException;
import dev.grep11.gateway.tls.ServerIdentity;
import java.security.GeneralSecurityException;
import java.security.cert.CertificateParsingException;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.List;

/** The server's chain and key: RFC 8446, 4.4.2 (order), RFC 9525 (names), RFC 5280 (use). */
final class ServerCertificate {
  private static final String CHECK = "server certificate";
  private static final String RENEW =
      "put a new pair in its place, the gateway takes it up while it runs";

  private static final String SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
  private static final String ANY_PURPOSE = "2.5.29.37.0";

  private final GatewayConfig config;
  private final Findings findings;

  private ServerCertificate(GatewayConfig config, Findings findings) {
    this.config = config;
    this.findings = findings;
  }

  static void look(GatewayConfig config, Faulty faulty, Instant now, Findings findings) {
    if (faulty.concern("tls.certificate")) {
      findings.warning(CHECK, "not checked", "correct tls.certificate first");
      return;
    }
    List<X509Certificate> chain;
    try {
      chain = ServerIdentity.certificates(config.certificateChain());
    } catch (IdentityException e) {
      findings.bad(
          CHECK,
          String.valueOf(e.getMessage()),
          "name a PEM file: the server's certificate, then its intermediates");
      return;
    }
    var look = new ServerCertificate(config, findings);
    if (!faulty.concern("tls.key")) {
      look.key(chain);
    }
    look.order(chain);
    look.names(chain.getFirst());
    look.use(chain.getFirst());
    for (var certificate : chain) {
      Validity.look(
          findings,
          CHECK,
          "%s in %s".formatted(subject(certificate), config.certificateChain()),
          certificate,
          now,
          RENEW);
    }
  }

  static String subject(X509Certificate certificate) {
    return "\"" + certificate.getSubjectX500Principal().getName() + "\"";
  }

  private void key(List<X509Certificate> chain) {
    try {
      var key = ServerIdentity.key(config.certificateKey());
      var of =
          chain.stream()
              .filter(certificate -> ServerIdentity.belongTogether(certificate, key))
              .findFirst();
      if (of.isEmpty()) {
        findings.bad(
            "server key",
            "%s is the key of no certificate in %s"
                .formatted(config.certificateKey(), config.certificateChain()),
            "put the pair in place together: the key that the certificate was requested with");
      } else if (!of.get().equals(chain.getFirst())) {
        findings.bad(
            "server key",
            "%s is the key of %s, which is not the first in %s"
                .formatted(config.certificateKey(), subject(of.get()), config.certificateChain()),
            "put the server's own certificate first, then its intermediates");
      } else {
        findings.good("server key", config.certificateKey() + " belongs to the certificate");
      }
    } catch (IdentityException e) {
      findings.bad(
          "server key",
          String.valueOf(e.getMessage()),
          "name a PEM file with the key in PKCS #8, PKCS #1 or SEC 1 form, without a passphrase");
    }
  }

  private void order(List<X509Certificate> chain) {
    for (int i = 0; i + 1 < chain.size(); i++) {
      var certificate = chain.get(i);
      if (!isIssued(certificate, chain.get(i + 1))) {
        var issuer =
            chain.stream()
                .filter(other -> !other.equals(certificate) && isIssued(certificate, other))
                .findFirst();
        findings.bad(
            "certificate chain",
            "%s is out of order: certificate %d, %s, was not issued by the next one, %s"
                .formatted(
                    config.certificateChain(),
                    i + 1,
                    subject(certificate),
                    subject(chain.get(i + 1))),
            issuer
                .map(found ->
                    "put %s behind it: each is issued by the next".formatted(subject(found)))
                .orElse(
                    "its issuer \"%s\" is not in the file: add it, and take out what does not belong"
                        .formatted(certificate.getIssuerX500Principal().getName())));
        return;
      }
    }
    var root = chain.stream().skip(1).filter(each -> isIssued(each, each)).findFirst();
    if (root.isPresent()) {
      findings.warning(
          "certificate chain",
          "%s has the root %s in it, which clients ignore and every handshake carries"
              .formatted(config.certificateChain(), subject(root.get())),
          "take it out: clients have it from elsewhere, or do not trust it");
    } else {
      findings.good(
          "certificate chain",
          chain.size() == 1
              ? "one certificate, issued by \"%s\""
                  .formatted(chain.getFirst().getIssuerX500Principal().getName())
              : "%d certificates, each issued by the next".formatted(chain.size()));
    }
  }

  private static boolean isIssued(X509Certificate certificate, X509Certificate by) {
    if (!certificate.getIssuerX500Principal().equals(by.getSubjectX500Principal())) {
      return false;
    }
    try {
      certificate.verify(by.getPublicKey());
      return true;
    } catch (GeneralSecurityException e) {
      return false;
    }
  }

  private void names(X509Certificate leaf) {
    var check = "certificate names";
    var names = ServerIdentity.names(leaf);
    var missing = ServerIdentity.missing(leaf, config.hosts());
    if (names.isEmpty()) {
      findings.bad(
          check,
          subject(leaf) + " has no subject alternative name, so that no client accepts it",
          "have it issued with the DNS names that clients use");
    } else if (!missing.isEmpty()) {
      findings.bad(
          check,
          "%s is not for %s of tls.hosts, but for %s"
              .formatted(subject(leaf), String.join(", ", missing), String.join(", ", names)),
          "have it issued with these names too, or correct tls.hosts");
    } else {
      findings.good(check, String.join(", ", names));
    }
  }

  private void use(X509Certificate leaf) {
    try {
      var purposes = leaf.getExtendedKeyUsage();
      if (purposes != null && !purposes.contains(SERVER_AUTH) && !purposes.contains(ANY_PURPOSE)) {
        findings.bad(
            CHECK,
            subject(leaf) + " is not for servers (extended key usage), so that clients refuse it",
            "have it issued with serverAuth");
      }
    } catch (CertificateParsingException e) {
      findings.bad(
          CHECK, "the extended key usage of %s cannot be read".formatted(subject(leaf)), RENEW);
    }
    if (leaf.getBasicConstraints() >= 0) {
      findings.warning(
          CHECK,
          subject(leaf) + " is that of a CA: its key on this host can issue certificates",
          "have a certificate of its own issued for the server");
    }
  }
}
