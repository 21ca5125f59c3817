package dev.grep11.gateway.rpc;

import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;

/** Decides where a call runs and runs it there. */
public interface Dispatcher {

  Placement place(Workload workload);

  /**
   * Runs the work on a thread that owns a session of the token. Never throws: an overload or an
   * absent token fails the future.
   *
   * @param caller whose share of a queue this takes
   * @param deadlineNanos on the clock of {@link System#nanoTime()}; work that has not begun by then
   *     is not begun
   */
  <T> CompletableFuture<T> submit(
      Placement placement, String caller, long deadlineNanos, Callable<T> work);
}
