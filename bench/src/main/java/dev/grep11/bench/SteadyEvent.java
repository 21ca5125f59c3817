package dev.grep11.bench;

import java.time.Duration;

/**
 * A stretch of a steady load and the calls that began in it. Any number of threads tell of calls.
 */
final class SteadyEvent {
  private final String name;
  private final long began = System.nanoTime();
  private final Failures failures = new Failures();
  private long under;
  private long answered;
  private long longest;
  private boolean ended;
  private long nanos;

  SteadyEvent(String name) {
    this.name = name;
  }

  String name() {
    return name;
  }

  /** False when it is over, and the call is another's. */
  synchronized boolean begin() {
    if (ended) {
      return false;
    }
    under++;
    return true;
  }

  synchronized void answered(long nanos) {
    answered++;
    over(nanos);
  }

  synchronized void failed(String call, long nanos, Throwable failure) {
    failures.add(call, failure);
    over(nanos);
  }

  private void over(long nanos) {
    under--;
    longest = Math.max(longest, nanos);
    notifyAll();
  }

  /** No call begins in it any more; returns when the last of them is over. */
  synchronized void end() throws InterruptedException {
    ended = true;
    nanos = System.nanoTime() - began;
    while (under > 0) {
      wait();
    }
  }

  synchronized long answered() {
    return answered;
  }

  synchronized Duration longest() {
    return Duration.ofNanos(longest);
  }

  long failed() {
    return failures.count();
  }

  Failures failures() {
    return failures;
  }

  synchronized Line describe() {
    return new Line()
        .with("event", name)
        .with("seconds", nanos / 1e9, 1)
        .with("calls", answered)
        .with("longest_ms", longest / 1e6, 1)
        .with("failed", failures.count());
  }
}
