package dev.grep11.gateway.iam;

import java.io.IOException;
import java.text.ParseException;

/** An issuer's keys, looked at once, by whoever only wants to know whether they can be had. */
public final class IssuerKeys {
  private IssuerKeys() {}

  /**
   * Reads or fetches the key set; may wait for seconds.
   *
   * @return how many of its keys can verify tokens, at least one
   * @throws IOException saying why it cannot be had, or used
   */
  public static int look(IssuerSettings issuer) throws IOException {
    try {
      return new KeySetCache(issuer, KeySetTimings.DEFAULT, System::nanoTime).look().size();
    } catch (ParseException e) {
      throw new IOException("not a usable JWK set: " + e.getMessage(), e);
    }
  }
}
