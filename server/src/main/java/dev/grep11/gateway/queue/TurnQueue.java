package dev.grep11.gateway.queue;

import dev.grep11.gateway.pkcs11.OverloadedException;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.LongConsumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Work waiting for a few threads. Callers take turns: each has a queue of its own, and the queues
 * are served round robin, so a caller that floods waits behind itself only.
 *
 * <p>Work that would wait beyond its deadline, by how long work took of late, is refused at once:
 * what is let in is done, and nobody waits for a refusal.
 */
public final class TurnQueue {
  /** One part in so many of what is known is what was learnt last. */
  private static final int MEMORY = 16;

  private final String name;
  private final Bounds bounds;
  private final Supplier<? extends RuntimeException> whenClosed;
  private final ReentrantLock lock = new ReentrantLock();
  private final Condition arrived = lock.newCondition();
  private final Map<String, Caller> callers = new HashMap<>();

  /** Those who have work waiting and may have one more thread. */
  private final ArrayDeque<Caller> turns = new ArrayDeque<>();

  private int queued;
  private int callersWaiting;
  private long usualNanos;
  private boolean closed;
  private volatile LongConsumer waits = _ -> {};

  /** Queued and running work of one caller; forgotten when it has neither. */
  private static final class Caller {
    final String name;
    final ArrayDeque<Task<?>> waiting = new ArrayDeque<>();
    int running;
    boolean inTurn;

    Caller(String name) {
      this.name = name;
    }
  }

  private record Task<T>(
      Caller caller,
      long arrivedNanos,
      long deadlineNanos,
      Callable<T> work,
      CompletableFuture<T> future) {
    /** Does the work, whatever it throws, and gives what answers whoever waits for it. */
    @SuppressWarnings("CatchAndPrintStackTrace")
    Runnable run() {
      if (future.isDone()) {
        return () -> {};
      }
      if (System.nanoTime() - deadlineNanos >= 0) {
        return () ->
            future.completeExceptionally(
                new OverloadedException("not started before its deadline"));
      }
      try {
        var result = work.call();
        return () -> future.complete(result);
      } catch (Throwable t) {
        return () -> future.completeExceptionally(t);
      }
    }
  }

  /**
   * A queue that nobody serves yet.
   *
   * @param name what waits here, for messages
   * @param whenClosed the answer to work that comes after {@link #close}
   */
  public TurnQueue(String name, Bounds bounds, Supplier<? extends RuntimeException> whenClosed) {
    this.name = name;
    this.bounds = bounds;
    this.whenClosed = whenClosed;
  }

  /** Has every wait that ends from now on, in nanoseconds, told to one who must not block. */
  public void measureWaits(LongConsumer nanos) {
    waits = nanos;
  }

  /**
   * Queues the work, or fails the future with an {@link OverloadedException} at once.
   *
   * @param callerName whose turn it takes
   * @param deadlineNanos on the clock of {@link System#nanoTime()}; work that has not begun by then
   *     is not begun
   */
  public <T> CompletableFuture<T> submit(String callerName, long deadlineNanos, Callable<T> work) {
    var future = new CompletableFuture<T>();
    lock.lock();
    try {
      if (closed) {
        future.completeExceptionally(whenClosed.get());
        return future;
      }
      var caller = callers.get(callerName);
      if (queued >= bounds.queued()) {
        return refused(future, "the queue of " + name + " is full");
      }
      if (caller != null && caller.waiting.size() + caller.running >= bounds.perCaller()) {
        return refused(future, "too much work of this caller in the queue of " + name);
      }
      long now = System.nanoTime();
      if (deadlineNanos - now < waitNanos(caller == null ? 0 : caller.waiting.size())) {
        return refused(future, "it would not begin before its deadline in the queue of " + name);
      }
      if (caller == null) {
        caller = new Caller(callerName);
        callers.put(callerName, caller);
      }
      if (caller.waiting.isEmpty()) {
        callersWaiting++;
      }
      caller.waiting.addLast(new Task<>(caller, now, deadlineNanos, work, future));
      queued++;
      giveTurn(caller);
    } finally {
      lock.unlock();
    }
    return future;
  }

  private void giveTurn(Caller caller) {
    if (!caller.inTurn && !caller.waiting.isEmpty() && caller.running < bounds.runningPerCaller()) {
      caller.inTurn = true;
      turns.addLast(caller);
      arrived.signal();
    }
  }

  /**
   * How long work waits that comes now: every other caller has a turn before each of the caller's
   * own.
   *
   * @param own work of its caller that waits
   */
  private long waitNanos(int own) {
    long before = Math.min(queued, (own + 1L) * callersWaiting);
    return before * usualNanos / bounds.threads();
  }

  private static <T> CompletableFuture<T> refused(CompletableFuture<T> future, String why) {
    future.completeExceptionally(new OverloadedException(why));
    return future;
  }

  /** Serves the queue with the current thread until {@link #close}. */
  public void serve() {
    Task<?> task;
    while ((task = take()) != null) {
      long begin = System.nanoTime();
      waits.accept(begin - task.arrivedNanos());
      var answer = task.run();
      long took = System.nanoTime() - begin;
      // First the place, then the answer: a caller who works one call after the other would be
      // refused for the one that he has the answer of.
      done(task.caller(), took);
      answer.run();
    }
  }

  private @Nullable Task<?> take() {
    lock.lock();
    try {
      while (turns.isEmpty()) {
        if (closed && queued == 0) {
          return null;
        }
        arrived.awaitUninterruptibly();
      }
      var caller = turns.removeFirst();
      var task = caller.waiting.removeFirst();
      if (caller.waiting.isEmpty()) {
        callersWaiting--;
      }
      caller.inTurn = false;
      caller.running++;
      queued--;
      if (closed && queued == 0) {
        arrived.signalAll();
      }
      giveTurn(caller);
      return task;
    } finally {
      lock.unlock();
    }
  }

  private void done(Caller caller, long took) {
    lock.lock();
    try {
      usualNanos += (took - usualNanos) / MEMORY;
      caller.running--;
      giveTurn(caller);
      if (caller.running == 0 && caller.waiting.isEmpty()) {
        callers.remove(caller.name);
      }
    } finally {
      lock.unlock();
    }
  }

  /** Work in the queue, not the running. */
  public int queued() {
    lock.lock();
    try {
      return queued;
    } finally {
      lock.unlock();
    }
  }

  /** Takes nothing more; what is queued is still done. */
  public void close() {
    lock.lock();
    try {
      closed = true;
      arrived.signalAll();
    } finally {
      lock.unlock();
    }
  }
}
