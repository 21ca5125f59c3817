package dev.grep11.gateway.tls;

import java.time.Duration;
import java.util.concurrent.atomic.AtomicLong;

/** What a client was answered and has not taken. Safe for use by several threads. */
public final class Unread {
  private final AtomicLong bytes = new AtomicLong();

  /** When an answer was last taken whole, or began to wait alone. */
  private volatile long moved = System.nanoTime();

  Unread() {}

  /** An answer of so many bytes waits to be taken. */
  public void add(long more) {
    if (bytes.getAndAdd(more) == 0) {
      moved = System.nanoTime();
    }
  }

  /** So many bytes were taken, or are not wanted any more. */
  public void take(long less) {
    bytes.addAndGet(-less);
    moved = System.nanoTime();
  }

  public long bytes() {
    return bytes.get();
  }

  boolean stuck(Duration longest) {
    return bytes.get() > 0 && System.nanoTime() - moved > longest.toNanos();
  }
}
