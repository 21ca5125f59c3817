package dev.grep11.certmgr;

import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;

/** Says ahead of time that a client CA ends, and with it the access of all its clients. */
final class ExpiryWarnings {
  private static final int[] DAYS = {1, 7, 30};

  static Optional<String> of(String id, X509Certificate certificate, Instant now) {
    var end = certificate.getNotAfter().toInstant();
    if (!end.isAfter(now)) {
      return Optional.of(
          "warning: certificate \"%s\" expired %s; none of its clients is accepted"
              .formatted(id, end));
    }
    for (int days : DAYS) {
      if (!end.isAfter(now.plus(Duration.ofDays(days)))) {
        return Optional.of(
            "warning: certificate \"%s\" expires within %d day%s, %s; its clients lose access then"
                .formatted(id, days, days == 1 ? "" : "s", end));
      }
    }
    return Optional.empty();
  }

  private ExpiryWarnings() {}
}
