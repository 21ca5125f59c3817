package dev.grep11.agent.cryptoki;

import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.LongSupplier;

/**
 * Tells of logins that were refused: of each user of the host the first few of a minute, then how
 * many there were, so that a program that tries again and again does not fill the log. Used by any
 * number of threads.
 */
final class RefusedLogins {
  private static final int TOLD = 3;
  private static final long MINUTE = TimeUnit.MINUTES.toNanos(1);

  /** Users of the host are few; whoever makes them up is not going to fill memory. */
  private static final int MOST_USERS = 1_000;

  private final Consumer<String> warn;
  private final LongSupplier nanoClock;

  /** By who asked; guarded by this. */
  private final Map<String, Minute> minutes = new HashMap<>();

  /** From the first refusal on. */
  private static final class Minute {
    private final long since;
    private int refused;

    Minute(long since) {
      this.since = since;
    }
  }

  /**
   * Begins to count.
   *
   * @param warn gets a line for people
   */
  RefusedLogins(Consumer<String> warn, LongSupplier nanoClock) {
    this.warn = warn;
    this.nanoClock = nanoClock;
  }

  /**
   * A login was refused.
   *
   * @param who the user of this host who asked
   * @param role as whom, for people
   */
  synchronized void refused(String who, Object role, Refusal refusal) {
    long now = nanoClock.getAsLong();
    var minute = minutes.get(who);
    if (minute == null || now - minute.since > MINUTE) {
      if (minute != null && minute.refused > TOLD) {
        warn.accept("%d more logins of user %s were refused".formatted(minute.refused - TOLD, who));
      }
      if (minutes.size() >= MOST_USERS) {
        minutes.clear();
      }
      minute = new Minute(now);
      minutes.put(who, minute);
    }
    minute.refused++;
    if (minute.refused <= TOLD) {
      warn.accept(
          "a login of user %s as %s was refused: %s%s"
              .formatted(
                  who,
                  role,
                  refusal.getMessage(),
                  minute.refused == TOLD ? "; more within a minute are only counted" : ""));
    }
  }
}
