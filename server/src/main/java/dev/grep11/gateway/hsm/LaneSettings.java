package dev.grep11.gateway.hsm;

import dev.grep11.gateway.queue.Bounds;

/**
 * Size of a lane. A caller's bound counts what it has queued and running, the total only what is
 * queued.
 */
public record LaneSettings(int threads, int perCaller, int queued) {
  public LaneSettings {
    if (threads < 1 || perCaller < 1 || queued < 1) {
      throw new IllegalArgumentException("a lane needs at least one thread and one place");
    }
  }

  static LaneSettings standard(Lane lane) {
    return switch (lane) {
      case USE ->
          new LaneSettings(Math.max(2, Runtime.getRuntime().availableProcessors()), 1024, 8192);
      // Two threads that unwrap asymmetric keys are slower than one on SoftHSM.
      case LOAD -> new LaneSettings(1, 256, 2048);
      case GENERATE -> new LaneSettings(2, 64, 256);
      case PARAMETERS -> new LaneSettings(1, 1, 16);
    };
  }

  /** One caller may have every thread of a lane while nobody else wants one. */
  Bounds bounds() {
    return new Bounds(threads, threads, perCaller, queued);
  }
}
