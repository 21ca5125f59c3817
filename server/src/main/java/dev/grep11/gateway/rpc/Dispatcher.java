package dev.grep11.gateway.rpc;

import dev.grep11.gateway.operation.Requester;
import dev.grep11.gateway.operation.Workload;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;

/** Decides where a call runs, by what it is going to cost, and runs it there. */
@FunctionalInterface
public interface Dispatcher {

  /**
   * Runs the work on a thread that owns a session of the token. Called on an event loop, so it must
   * not block; an overload or an absent token fails the future.
   *
   * @param by whose share of a queue this takes
   * @param deadlineNanos on the clock of {@link System#nanoTime()}; work that has not begun by then
   *     is not begun
   */
  <T> CompletableFuture<T> submit(
      Requester by, Workload workload, long deadlineNanos, Callable<T> work);
}
