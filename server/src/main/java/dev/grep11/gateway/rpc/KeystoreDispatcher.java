package dev.grep11.gateway.rpc;

import dev.grep11.gateway.operation.Requester;
import dev.grep11.gateway.operation.Workload;
import dev.grep11.gateway.pkcs11.OverloadedException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A few threads that may wait for the database and the token, and before them a bounded queue with
 * turns by caller: who floods waits behind himself, and never holds every thread.
 */
final class KeystoreDispatcher implements Dispatcher, AutoCloseable {
  private static final int THREADS = 4;
  private static final int RUNNING_PER_CALLER = THREADS - 1;
  private static final int WAITING_PER_CALLER = 64;
  private static final int WAITING = 512;
  private static final long CLOSE_WITHIN_MILLIS = 5_000;

  /** A caller with something to do. */
  private static final class Turn {
    final String caller;
    final Deque<Job<?>> waiting = new ArrayDeque<>();
    int running;
    boolean ready;

    Turn(String caller) {
      this.caller = caller;
    }
  }

  private record Job<T>(Callable<T> work, long deadlineNanos, CompletableFuture<T> result) {
    void run() {
      if (System.nanoTime() - deadlineNanos >= 0) {
        result.completeExceptionally(new TimeoutException());
        return;
      }
      try {
        result.complete(work.call());
      } catch (Throwable e) {
        // Whatever it is: the caller gets an answer, and the thread goes on.
        result.completeExceptionally(e);
      }
    }

    void refuse() {
      result.completeExceptionally(new OverloadedException("the gateway is stopping"));
    }
  }

  private final ReentrantLock lock = new ReentrantLock();
  private final Condition changed = lock.newCondition();
  private final Map<String, Turn> callers = new HashMap<>();

  /** Those who wait and may have one more thread, in turn. */
  private final Deque<Turn> ready = new ArrayDeque<>();

  private final List<Thread> threads = new ArrayList<>();
  private int waiting;
  private boolean closed;

  KeystoreDispatcher() {
    for (int i = 0; i < THREADS; i++) {
      threads.add(Thread.ofPlatform().daemon().name("keystore-" + i).start(this::serve));
    }
  }

  @Override
  public <T> CompletableFuture<T> submit(
      Requester by, Workload workload, long deadlineNanos, Callable<T> work) {
    var job = new Job<>(work, deadlineNanos, new CompletableFuture<T>());
    lock.lock();
    try {
      var turn = callers.computeIfAbsent(by.subject(), Turn::new);
      if (closed || waiting >= WAITING || turn.waiting.size() >= WAITING_PER_CALLER) {
        forgetIdle(turn);
        return CompletableFuture.failedFuture(
            new OverloadedException("too many calls of keystores wait"));
      }
      turn.waiting.add(job);
      waiting++;
      offer(turn);
      return job.result();
    } finally {
      lock.unlock();
    }
  }

  private void offer(Turn turn) {
    if (!turn.ready && !turn.waiting.isEmpty() && turn.running < RUNNING_PER_CALLER) {
      turn.ready = true;
      ready.add(turn);
      changed.signal();
    }
  }

  private void forgetIdle(Turn turn) {
    if (turn.running == 0 && turn.waiting.isEmpty()) {
      callers.remove(turn.caller);
    }
  }

  private void serve() {
    lock.lock();
    try {
      while (true) {
        var turn = ready.poll();
        if (turn == null) {
          if (closed) {
            return;
          }
          changed.await();
          continue;
        }
        turn.ready = false;
        var job = turn.waiting.remove();
        waiting--;
        turn.running++;
        offer(turn);
        lock.unlock();
        try {
          job.run();
        } finally {
          lock.lock();
        }
        turn.running--;
        offer(turn);
        forgetIdle(turn);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } finally {
      lock.unlock();
    }
  }

  /** Lets what runs end: a change is committed or not, and its answer tells. */
  @Override
  public void close() {
    List<Job<?>> unbegun = new ArrayList<>();
    lock.lock();
    try {
      closed = true;
      ready.clear();
      callers
          .values()
          .forEach(turn -> {
            unbegun.addAll(turn.waiting);
            turn.waiting.clear();
          });
      changed.signalAll();
    } finally {
      lock.unlock();
    }
    unbegun.forEach(Job::refuse);
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
