package dev.grep11.gateway.rpc;

import dev.grep11.gateway.operation.Requester;
import dev.grep11.gateway.operation.Workload;
import dev.grep11.gateway.pkcs11.OverloadedException;
import dev.grep11.gateway.queue.Bounds;
import dev.grep11.gateway.queue.TurnQueue;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * A few threads that may wait for the database and the token. A caller never holds all of them, so
 * who floods does not keep the others from theirs.
 */
final class KeystoreDispatcher implements Dispatcher, AutoCloseable {
  private static final Bounds BOUNDS = new Bounds(4, 3, 64, 512);
  private static final long CLOSE_WITHIN_MILLIS = 5_000;

  private final TurnQueue queue =
      new TurnQueue("keystores", BOUNDS, () -> new OverloadedException("the gateway is stopping"));
  private final List<Thread> threads = new ArrayList<>();

  KeystoreDispatcher() {
    for (int i = 0; i < BOUNDS.threads(); i++) {
      threads.add(Thread.ofPlatform().daemon().name("keystore-" + i).start(queue::serve));
    }
  }

  @Override
  public <T> CompletableFuture<T> submit(
      Requester by, Workload workload, long deadlineNanos, Callable<T> work) {
    return queue.submit(by.subject(), deadlineNanos, work);
  }

  /** Lets what was accepted end: a change is committed or not, and its answer tells. */
  @Override
  public void close() {
    queue.close();
    try {
      long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(CLOSE_WITHIN_MILLIS);
      for (var thread : threads) {
        thread.join(Math.max(1, TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime())));
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
