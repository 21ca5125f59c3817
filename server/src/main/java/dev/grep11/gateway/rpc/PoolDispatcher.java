package dev.grep11.gateway.rpc;

import dev.grep11.gateway.operation.Requester;
import dev.grep11.gateway.operation.Workload;
import dev.grep11.gateway.pkcs11.OverloadedException;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/** A few threads that may wait for the store, and a short queue before them. */
final class PoolDispatcher implements Dispatcher, AutoCloseable {
  private static final int THREADS = 4;
  private static final int QUEUED = 64;

  private final ThreadPoolExecutor pool =
      new ThreadPoolExecutor(
          THREADS,
          THREADS,
          1,
          TimeUnit.MINUTES,
          new ArrayBlockingQueue<>(QUEUED),
          Thread.ofPlatform().daemon().name("administration-", 0).factory());

  @Override
  public <T> CompletableFuture<T> submit(
      Requester by, Workload workload, long deadlineNanos, Callable<T> work) {
    try {
      return CompletableFuture.supplyAsync(() -> call(work), pool);
    } catch (RejectedExecutionException e) {
      return CompletableFuture.failedFuture(
          new OverloadedException("too many administrative calls wait"));
    }
  }

  private static <T> T call(Callable<T> work) {
    try {
      return work.call();
    } catch (RuntimeException e) {
      throw e;
    } catch (Exception e) {
      throw new CompletionException(e);
    }
  }

  /** Lets a change under way end: it is committed or not, and its answer tells. */
  @Override
  public void close() {
    pool.shutdown();
    try {
      if (!pool.awaitTermination(5, TimeUnit.SECONDS)) {
        pool.shutdownNow();
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
