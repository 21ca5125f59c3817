package dev.grep11.gateway.doctor;

import dev.grep11.findings.Findings;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.iam.IssuerKeys;
import dev.grep11.gateway.iam.IssuerSettings;
import dev.grep11.gateway.iam.IssuerSettings.Jwks;
import java.io.IOException;

/** The keys of those whose tokens are accepted. */
final class Issuers {
  private Issuers() {}

  static void look(GatewayConfig config, Faulty faulty, ClockComparison clocks, Findings findings) {
    if (faulty.concern("issuers")) {
      findings.warning("issuers", "not all are checked", "correct the section issuers first");
    }
    for (var issuer : config.issuers()) {
      look(issuer, clocks, findings);
    }
  }

  private static void look(IssuerSettings issuer, ClockComparison clocks, Findings findings) {
    var check = "issuer " + issuer.issuer();
    switch (issuer.keys()) {
      case Jwks.File file -> {
        try {
          findings.good(
              check, "%d keys in %s".formatted(IssuerKeys.look(issuer).keys(), file.path()));
        } catch (IOException | RuntimeException e) {
          findings.bad(
              check,
              "%s: %s".formatted(file.path(), e.getMessage()),
              "put the issuer's key set (RFC 7517) there");
        }
      }
      case Jwks.Url url -> {
        try {
          var seen = IssuerKeys.look(issuer);
          seen.clock().ifPresent(clock -> clocks.with("that of " + url.uri().getHost(), clock));
          findings.good(check, "%d keys at %s".formatted(seen.keys(), url.uri()));
        } catch (IOException | RuntimeException e) {
          // A gateway starts all the same: an issuer may be down for a while.
          findings.warning(
              check,
              "%s: %s; until they can be fetched, its tokens are answered UNAVAILABLE"
                  .formatted(url.uri(), e.getMessage()),
              "see that this host reaches it, and that caFile has the CA of its certificate");
        }
      }
      case Jwks.Local _ -> findings.good(check, "are this gateway's own");
    }
  }
}
