package dev.grep11.gateway.token;

import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;

/**
 * How long a gateway may go by what it knows of the store: the one that it said in its {@link
 * dev.grep11.gateway.store.ReplicaRecord} and no other, since others take it for ended by that
 * record, and tell by it from when a change binds everywhere.
 *
 * <p>Ends by whichever clock comes first: others take a gateway for dead by the wall clock, which
 * may jump; and the one that counts may stand still while the machine sleeps. Safe for use by
 * several threads.
 */
public final class Lease {
  private record End(long nanos, long millis) {}

  private final LongSupplier nanoClock;
  private final InstantSource clock;
  private volatile End end;

  /** One that does not last yet. */
  public Lease(LongSupplier nanoClock, InstantSource clock) {
    this.nanoClock = nanoClock;
    this.clock = clock;
    this.end = over();
  }

  /**
   * Lasts as long as neither clock has come that far.
   *
   * @param nanos by the clock that counts
   * @param wall by the clock on the wall, as the record says
   */
  public void until(long nanos, Instant wall) {
    end = new End(nanos, wall.toEpochMilli());
  }

  /** Nothing is served until there is another. */
  public void end() {
    end = over();
  }

  /** Asked for every call: no allocation. */
  public boolean lasts() {
    var now = end;
    return nanoClock.getAsLong() - now.nanos() < 0 && clock.millis() < now.millis();
  }

  /** How long it still lasts; zero when it does not. */
  public Duration left() {
    var now = end;
    long nanos =
        Math.min(
            now.nanos() - nanoClock.getAsLong(),
            TimeUnit.MILLISECONDS.toNanos(now.millis() - clock.millis()));
    return Duration.ofNanos(Math.max(0, nanos));
  }

  private End over() {
    return new End(nanoClock.getAsLong(), Instant.EPOCH.toEpochMilli());
  }
}
