package dev.grep11.gateway.store;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Verified state of the store in memory, so that no call waits for the database.
 *
 * <p>A thread looks at the store's generation several times a second and reads everything again
 * when it has moved. State that could not be confirmed for as long as the lease is state no more; a
 * store that was tampered with ends it at once.
 *
 * <p>In a gateway another lease ends it too: the one that it said in its {@link ReplicaRecord}
 * ({@link #leased}). Safe for use by several threads.
 */
public final class StoreFollower implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(StoreFollower.class);

  /**
   * How often everything is read and verified, moved or not, so that tampering is reported soon.
   */
  private static final Duration FULL_READ = Duration.ofSeconds(30);

  private final Store store;
  private final FollowSettings settings;
  private final LongSupplier nanoClock;
  private final BooleanSupplier lease;
  private final ReentrantLock refreshing = new ReentrantLock();
  private final List<Consumer<Snapshot>> listeners = new CopyOnWriteArrayList<>();
  private final Thread poller;
  private volatile @Nullable Followed followed;
  private volatile boolean closed;
  private volatile String trouble = "";

  /**
   * @param readAt when the rows were read
   * @param confirmedAt when the store was last seen to be at this generation
   */
  private record Followed(Snapshot snapshot, long readAt, long confirmedAt) {}

  /**
   * Reads the store and begins to follow it.
   *
   * @throws StoreException when it cannot be read now
   */
  public static StoreFollower start(Store store, FollowSettings settings) {
    return start(store, settings, System::nanoTime);
  }

  /** As {@link #start(Store, FollowSettings)}, by the clock of a test. */
  public static StoreFollower start(Store store, FollowSettings settings, LongSupplier nanoClock) {
    return new StoreFollower(store, settings, nanoClock, () -> true);
  }

  /**
   * One of a gateway, which may go by nothing that it knows once its lease has ended.
   *
   * @param lease whether it lasts
   * @throws StoreException when the store cannot be read now
   */
  public static StoreFollower leased(
      Store store, FollowSettings settings, LongSupplier nanoClock, BooleanSupplier lease) {
    return new StoreFollower(store, settings, nanoClock, lease);
  }

  private StoreFollower(
      Store store, FollowSettings settings, LongSupplier nanoClock, BooleanSupplier lease) {
    this.store = store;
    this.settings = settings;
    this.nanoClock = nanoClock;
    this.lease = lease;
    refresh();
    poller = Thread.ofPlatform().daemon().name("store-follower").start(this::poll);
  }

  /** What the store holds; empty when that could not be confirmed for as long as the lease. */
  public Optional<Snapshot> current() {
    var now = followed;
    return now != null
            && nanoClock.getAsLong() - now.confirmedAt() < settings.lease().toNanos()
            && lease.getAsBoolean()
        ? Optional.of(now.snapshot())
        : Optional.empty();
  }

  /**
   * How far behind the store this may be: the time since it was last seen to be where {@link
   * #current} is. Empty when nothing read from it counts.
   */
  public Optional<Duration> lag() {
    return Optional.ofNullable(followed)
        .map(now -> Duration.ofNanos(nanoClock.getAsLong() - now.confirmedAt()));
  }

  /**
   * Tells of every state that differs from the one before: of the present one at once, of later
   * ones on the thread that found them, before {@link #current} shows them. A listener must not
   * wait for the store.
   */
  public void onChange(Consumer<Snapshot> listener) {
    refreshing.lock();
    try {
      listeners.add(listener);
      var now = followed;
      if (now != null) {
        listener.accept(now.snapshot());
      }
    } finally {
      refreshing.unlock();
    }
  }

  /**
   * Follows the store now instead of at the next poll.
   *
   * @return what it holds
   * @throws StoreException when it cannot be read; what is in memory then lasts until the end of
   *     its lease, or, if the store was tampered with, no longer
   */
  public Snapshot refresh() {
    refreshing.lock();
    try {
      // The lease counts from before the read: what is committed meanwhile may not be in it.
      long begin = nanoClock.getAsLong();
      var before = followed;
      boolean due = before == null || begin - before.readAt() >= FULL_READ.toNanos();
      if (!due && before != null && store.generation() == before.snapshot().generation()) {
        followed = new Followed(before.snapshot(), before.readAt(), begin);
        return before.snapshot();
      }
      Snapshot read = store.snapshot();
      if (before == null || read.generation() != before.snapshot().generation()) {
        listeners.forEach(listener -> listener.accept(read));
      }
      followed = new Followed(read, begin, begin);
      return read;
    } catch (StoreTamperedException e) {
      followed = null;
      throw e;
    } finally {
      refreshing.unlock();
    }
  }

  /** As {@link #refresh}; what cannot be read is said in the log, once. */
  public void refreshQuietly() {
    try {
      refresh();
      trouble = "";
    } catch (StoreException e) {
      if (!trouble.equals(e.getMessage())) {
        trouble = String.valueOf(e.getMessage());
        LOG.error(
            e instanceof StoreTamperedException
                ? "every call is refused: {}"
                : "the store cannot be confirmed, calls are refused when the lease ends: {}",
            trouble);
      }
    }
  }

  private void poll() {
    while (!closed) {
      try {
        Thread.sleep(settings.poll());
        refreshQuietly();
      } catch (InterruptedException e) {
        return;
      } catch (RuntimeException e) {
        LOG.error("the store cannot be confirmed", e);
      }
    }
  }

  /** Stops following. The store stays open. */
  @Override
  public void close() {
    closed = true;
    poller.interrupt();
    try {
      poller.join();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
