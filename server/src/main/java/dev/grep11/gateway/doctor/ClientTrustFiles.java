package dev.grep11.gateway.doctor;

import dev.grep11.findings.Findings;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.trust.RevocationFiles;
import dev.grep11.gateway.trust.RevocationSettings;
import java.time.Instant;

/** Files of client certificates that are refused although their CA is registered. */
final class ClientTrustFiles {
  private ClientTrustFiles() {}

  /** A start would succeed, and every client that they are about would be refused. */
  static void look(GatewayConfig config, Faulty faulty, Instant now, Findings findings) {
    var check = "revoked client certificates";
    if (faulty.concern("clientCas")) {
      findings.warning(check, "not checked", "correct the section clientCas first");
      return;
    }
    if (config.revocations().equals(RevocationSettings.NONE)) {
      return;
    }
    var problems = new RevocationFiles(config.revocations()).current().problems(now);
    if (problems.isEmpty()) {
      findings.good(check, "can be read and are up to date");
    }
    problems.forEach(problem ->
        findings.bad(
            check,
            problem + "; until then clients are refused",
            "put the current file in its place: it is taken up while the gateway runs"));
  }
}
