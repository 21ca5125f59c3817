package dev.grep11.gateway.queue;

/**
 * Size of a {@link TurnQueue}.
 *
 * @param threads that serve it
 * @param runningPerCaller threads that one caller may hold at a time
 * @param perCaller work of one caller, queued and running
 * @param queued work of all callers, without the running
 */
public record Bounds(int threads, int runningPerCaller, int perCaller, int queued) {
  public Bounds {
    if (threads < 1 || runningPerCaller < 1 || perCaller < 1 || queued < 1) {
      throw new IllegalArgumentException("a queue needs at least one thread and one place");
    }
  }
}
