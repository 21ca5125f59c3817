package dev.grep11.gateway;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.Lane;
import dev.grep11.gateway.operation.Operations;
import dev.grep11.gateway.operation.Requester;
import dev.grep11.gateway.operation.Workload;
import dev.grep11.gateway.rpc.Dispatcher;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;

/**
 * Calls run where {@link Operations#lane} says: on the event loop that read them, when they are
 * cheap and the token answers as a local one does, else on a worker of the token.
 */
final class LaneDispatcher implements Dispatcher {
  private final Hsm hsm;
  private final Operations operations;
  private final InlineWatch inline;

  /**
   * @param inline whether event loops, which must own sessions then, may run cheap calls
   */
  LaneDispatcher(Hsm hsm, Operations operations, InlineWatch inline) {
    this.hsm = hsm;
    this.operations = operations;
    this.inline = inline;
  }

  @Override
  public <T> CompletableFuture<T> submit(
      Requester by, Workload workload, long deadlineNanos, Callable<T> work) {
    var lane = operations.lane(by.instance(), workload);
    if (lane.isEmpty() && hsm.ownsSession()) {
      var begin = System.nanoTime();
      if (inline.allows(begin)) {
        var result = here(work);
        inline.took(begin, System.nanoTime());
        return result;
      }
    }
    return hsm.submit(lane.orElse(Lane.USE), by.subject(), deadlineNanos, work);
  }

  private static <T> CompletableFuture<T> here(Callable<T> work) {
    try {
      return CompletableFuture.completedFuture(work.call());
    } catch (Exception e) {
      return CompletableFuture.failedFuture(e);
    }
  }
}
