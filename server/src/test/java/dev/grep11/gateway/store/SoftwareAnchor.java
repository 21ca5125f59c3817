package dev.grep11.gateway.store;

import java.util.concurrent.atomic.AtomicLong;

/** Stands for the object on the token. */
public final class SoftwareAnchor implements GenerationAnchor {
  private final AtomicLong highest = new AtomicLong();
  private volatile boolean broken;
  private volatile boolean silent;

  /** Whether it can be read and not written, as a token that is full. */
  void broken(boolean broken) {
    this.broken = broken;
  }

  /** Whether it cannot be read either, as a token that is away. */
  void silent(boolean silent) {
    this.silent = silent;
  }

  @Override
  public long highest() {
    if (silent) {
      throw new IllegalStateException("on purpose");
    }
    return highest.get();
  }

  @Override
  public void advance(long generation) {
    if (broken) {
      throw new IllegalStateException("on purpose");
    }
    highest.accumulateAndGet(generation, Math::max);
  }

  @Override
  public String name() {
    return "software anchor";
  }
}
