package dev.grep11.findings;

import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;

/** When a certificate is good, judged alike in every examination: 30 and 7 days, and the last. */
public final class Validity {
  private static final Duration LAST_DAY = Duration.ofDays(1);
  private static final Duration LAST_WEEK = Duration.ofDays(7);
  private static final Duration LAST_MONTH = Duration.ofDays(30);

  private Validity() {}

  /**
   * Adds one finding.
   *
   * @param what the certificate, for people
   * @param renew what to do about its end
   */
  public static void look(
      Findings findings,
      String check,
      String what,
      X509Certificate certificate,
      Instant now,
      String renew) {
    Instant begins = certificate.getNotBefore().toInstant();
    Instant ends = certificate.getNotAfter().toInstant();
    var left = Duration.between(now, ends);
    if (now.isBefore(begins)) {
      findings.bad(
          check,
          "%s is valid from %s on".formatted(what, begins),
          "wait, or set this host's clock");
    } else if (left.isNegative()) {
      findings.bad(check, "%s expired at %s".formatted(what, ends), renew);
    } else if (left.compareTo(LAST_DAY) < 0) {
      findings.bad(
          check, "%s expires in %d hours, at %s".formatted(what, left.toHours(), ends), renew);
    } else if (left.compareTo(LAST_WEEK) < 0) {
      findings.warning(
          check,
          "%s expires within 7 days, in %d, at %s".formatted(what, left.toDays(), ends),
          renew + " this week");
    } else if (left.compareTo(LAST_MONTH) < 0) {
      findings.warning(
          check,
          "%s expires within 30 days, in %d, at %s".formatted(what, left.toDays(), ends),
          renew);
    } else {
      findings.good(check, "%s is valid until %s".formatted(what, ends));
    }
  }
}
