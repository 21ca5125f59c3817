package dev.grep11.gateway;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.Lane;
import dev.grep11.gateway.operation.Operations;
import dev.grep11.gateway.operation.Requester;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.rpc.Dispatcher;
import dev.grep11.gateway.rpc.Workload;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;

/** Every call runs on a worker of the token, in the lane that {@link Operations#lane} names. */
final class LaneDispatcher implements Dispatcher {
  private final Hsm hsm;
  private final Operations operations;

  LaneDispatcher(Hsm hsm, Operations operations) {
    this.hsm = hsm;
    this.operations = operations;
  }

  @Override
  public <T> CompletableFuture<T> submit(
      Requester by, Workload workload, long deadlineNanos, Callable<T> work) {
    return hsm.submit(lane(by, workload), by.subject(), deadlineNanos, work);
  }

  private Lane lane(Requester by, Workload workload) {
    // Without a mechanism the call is going to be refused, wherever it runs.
    return workload.function().isEmpty() || workload.mechanism().isEmpty()
        ? Lane.USE
        : operations.lane(
            by,
            workload.function().get(),
            Mechanism.of(workload.mechanism().getAsLong()),
            workload.key());
  }
}
