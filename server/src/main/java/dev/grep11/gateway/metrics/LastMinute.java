package dev.grep11.gateway.metrics;

import java.util.function.LongSupplier;

/** How many of something there were in the last 60 s, and how long they took on average. */
final class LastMinute {
  private static final int SECONDS = 60;
  private static final long NANOS = 1_000_000_000L;

  private final LongSupplier nanoClock;
  private final long[] second = new long[SECONDS];
  private final long[] count = new long[SECONDS];
  private final long[] nanos = new long[SECONDS];

  /**
   * Of one moment.
   *
   * @param averageMillis 0 when there was none
   */
  record Summary(long count, double averageMillis) {}

  LastMinute(LongSupplier nanoClock) {
    this.nanoClock = nanoClock;
  }

  synchronized void add(long took) {
    long now = now();
    int slot = slot(now);
    if (second[slot] != now) {
      second[slot] = now;
      count[slot] = 0;
      nanos[slot] = 0;
    }
    count[slot]++;
    nanos[slot] += took;
  }

  synchronized Summary summary() {
    long since = now() - SECONDS;
    long all = 0;
    long took = 0;
    for (int slot = 0; slot < SECONDS; slot++) {
      if (count[slot] > 0 && second[slot] > since) {
        all += count[slot];
        took += nanos[slot];
      }
    }
    return new Summary(all, all == 0 ? 0 : took / 1e6 / all);
  }

  private long now() {
    return Math.floorDiv(nanoClock.getAsLong(), NANOS);
  }

  private static int slot(long second) {
    return (int) Math.floorMod(second, (long) SECONDS);
  }
}
