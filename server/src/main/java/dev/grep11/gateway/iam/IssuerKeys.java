package dev.grep11.gateway.iam;

import java.io.IOException;
import java.text.ParseException;
import java.time.Instant;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeParseException;
import java.util.Optional;

/** An issuer's keys, looked at once, by whoever only wants to know whether they can be had. */
public final class IssuerKeys {
  private IssuerKeys() {}

  /**
   * What was seen.
   *
   * @param keys how many can verify tokens, at least one
   * @param clock of the server that they came from, if it said so
   */
  public record Seen(int keys, Optional<Instant> clock) {}

  /**
   * Reads or fetches the key set; may wait for seconds.
   *
   * @throws IOException saying why it cannot be had, or used
   */
  public static Seen look(IssuerSettings issuer) throws IOException {
    try {
      var cache = new KeySetCache(issuer, KeySetTimings.DEFAULT, System::nanoTime);
      int keys = cache.look().size();
      return new Seen(keys, cache.dated().flatMap(IssuerKeys::instant));
    } catch (ParseException e) {
      throw new IOException("not a usable JWK set: " + e.getMessage(), e);
    }
  }

  private static Optional<Instant> instant(String date) {
    try {
      return Optional.of(
          ZonedDateTime.parse(date, DateTimeFormatter.RFC_1123_DATE_TIME).toInstant());
    } catch (DateTimeParseException e) {
      return Optional.empty();
    }
  }
}
