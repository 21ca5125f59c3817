package dev.grep11.gateway.hsm;

import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;

import dev.grep11.gateway.pkcs11.HsmUnavailableException;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismInfo;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.gateway.queue.TurnQueue;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Function;
import java.util.function.LongConsumer;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One token, logged in, with a session for every thread that works on it and one more that holds
 * the working copies of keys.
 *
 * <p>When the token is lost its {@link Epoch} ends: calls throw {@link HsmUnavailableException}
 * until a recovery thread has logged in again and published the next epoch. Thread-safe; a {@link
 * Session} is not.
 */
public final class Hsm implements AutoCloseable {
  private static final int LOOKS_FOR_TOKEN = 10;
  private static final Duration BETWEEN_LOOKS = Duration.ofMillis(50);
  private static final Logger LOG = LoggerFactory.getLogger(Hsm.class);

  private static final Duration FIRST_BACKOFF = Duration.ofMillis(50);
  private static final Duration LONGEST_BACKOFF = Duration.ofSeconds(2);

  private static final Duration WATCH_INTERVAL = Duration.ofSeconds(2);

  /** After it a call is taken to hang in the module, and its session is left behind. */
  private static final Duration LONGEST_CALL_IN_FLIGHT = Duration.ofSeconds(2);

  /** A refused PIN counts towards its lock, so it is not offered every two seconds. */
  private static final Duration BACKOFF_AFTER_REFUSED_PIN = Duration.ofMinutes(5);

  private final Cryptoki cryptoki;
  private final HsmSettings settings;
  private final ModuleUse module;
  private final Map<Lane, TurnQueue> lanes = new EnumMap<>(Lane.class);
  private final ReturnValues failures = new ReturnValues();
  private final List<Thread> workers = new ArrayList<>();
  private final Map<Thread, Owner> owners = new ConcurrentHashMap<>();

  // An Hsm lives as long as its threads, and a process may hold several.
  @SuppressWarnings("ThreadLocalUsage")
  private final ThreadLocal<@Nullable Owner> owner = new ThreadLocal<>();

  private final ReentrantLock holderLock = new ReentrantLock(true);

  /** Guards opening and closing of sessions, and the step from one epoch to the next. */
  private final Object lifecycle = new Object();

  /** Sessions of ended epochs in which a call has not come back. */
  private final Set<Session> leftBehind = ConcurrentHashMap.newKeySet();

  private final Thread recovery;
  private volatile State state;
  private @Nullable String lost;
  private boolean closed;

  /** A thread and its session of the current epoch. */
  private static final class Owner {
    volatile Session session;

    Owner(Session session) {
      this.session = session;
    }
  }

  /** Everything that is replaced together when an epoch begins. */
  private record State(
      Epoch epoch,
      Slot slot,
      Session holder,
      Map<Long, MechanismInfo> mechanisms,
      boolean publicSessionObjects) {}

  private Hsm(Cryptoki cryptoki, HsmSettings settings) {
    this.cryptoki = cryptoki;
    this.settings = settings;
    module = ModuleUse.acquire(cryptoki, settings.module(), settings.environment());
    try {
      awaitToken(cryptoki, module, settings.tokenLabel());
      state = begin(1);
    } catch (RuntimeException e) {
      module.release(cryptoki, true);
      throw e;
    }
    recovery = Thread.ofPlatform().daemon().name("hsm-recovery").start(this::recoverForEver);
    for (var lane : Lane.values()) {
      lanes.put(
          lane, new TurnQueue(lane.name(), settings.lane(lane).bounds(), Session::unavailable));
    }
    try {
      for (var lane : Lane.values()) {
        startWorkers(lane);
      }
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  /**
   * Loads the module, finds the token by its label, logs in and opens all sessions.
   *
   * @throws PinRefusedException if the token does not take the PIN, or it was not offered because a
   *     wrong one would lock it
   * @throws HsmOpenException if any of that fails; the message is for the operator
   */
  public static Hsm open(HsmSettings settings) {
    return open(NativeCryptoki.load(settings.module()), settings);
  }

  /** The same over functions that a test has wrapped. */
  public static Hsm open(Cryptoki cryptoki, HsmSettings settings) {
    return new Hsm(cryptoki, settings);
  }

  /**
   * Ends the process at once, while calls may still run in a PKCS #11 module: after everything else
   * has been closed.
   */
  public static void endProcess(int status) {
    NativeCryptoki.exit(status);
  }

  public TokenInfo tokenInfo() {
    return state.slot().info();
  }

  /** What the token offers, by mechanism number. */
  public Map<Long, MechanismInfo> mechanisms() {
    return state.mechanisms();
  }

  /**
   * Whether session keys with CKA_PRIVATE false can be made SENSITIVE and used; tried at start, not
   * assumed. Such keys avoid the token-wide lock under which SoftHSM decrypts private attributes.
   */
  public boolean publicSessionObjects() {
    return state.publicSessionObjects();
  }

  /** The current epoch; it may have ended, while its successor is not there yet. */
  public Epoch epoch() {
    return state.epoch();
  }

  /**
   * Runs the work on a thread of the lane, which owns a session.
   *
   * @param caller whose turn and bound it counts against
   * @param deadlineNanos by {@link System#nanoTime}; work that has not begun by then is not run
   * @return fails with {@link dev.grep11.gateway.pkcs11.OverloadedException} when a bound is
   *     reached or the deadline passes in the queue, or with what the work threw
   */
  public <T> CompletableFuture<T> submit(
      Lane lane, String caller, long deadlineNanos, Callable<T> work) {
    return queue(lane).submit(caller, deadlineNanos, work);
  }

  /** Work that waits in the lane. */
  public int queued(Lane lane) {
    return queue(lane).queued();
  }

  /** As {@link TurnQueue#measureWaits}, of one lane. */
  public void measureWaits(Lane lane, LongConsumer nanos) {
    queue(lane).measureWaits(nanos);
  }

  /** Sessions that are open. */
  public long sessions() {
    return sessions(session -> !session.closed());
  }

  /** Sessions in which a call runs. */
  public long sessionsInUse() {
    return sessions(Session::busy);
  }

  private long sessions(Predicate<Session> which) {
    return Stream.concat(
            owners.values().stream().map(owner -> owner.session), Stream.of(state.holder()))
        .filter(which)
        .count();
  }

  /** What calls of the token gave other than CKR_OK, since the start; {@link ReturnValues}. */
  public Map<String, Long> failures() {
    return failures.counts();
  }

  private TurnQueue queue(Lane lane) {
    var queue = lanes.get(lane);
    if (queue == null) {
      throw new IllegalStateException(lane.name());
    }
    return queue;
  }

  /**
   * Gives the current thread a session of its own, for good. For threads that live as long as the
   * server, such as event loops; while the token is lost the session comes with the recovery.
   */
  public void adoptCurrentThread() {
    synchronized (lifecycle) {
      if (closed) {
        throw new IllegalStateException("the HSM is closed");
      }
      if (owner.get() == null) {
        adopt(Thread.currentThread());
      }
    }
    owner.set(owners.get(Thread.currentThread()));
  }

  private void adopt(Thread thread) {
    var current = state;
    var session =
        current.epoch().live()
            ? openSession(current.epoch(), current.slot(), false)
            : session(current.epoch(), current.slot(), 0, false);
    owners.put(thread, new Owner(session));
  }

  /** Closes the session of the current thread. */
  public void releaseCurrentThread() {
    owner.remove();
    synchronized (lifecycle) {
      var released = owners.remove(Thread.currentThread());
      if (released != null) {
        released.session.discard();
      }
    }
  }

  public boolean ownsSession() {
    return owner.get() != null;
  }

  /**
   * The session of the current thread in the current epoch.
   *
   * @throws IllegalStateException if the thread owns none
   * @throws HsmUnavailableException while the token is lost
   */
  public Session session() {
    var current = owner.get();
    if (current == null) {
      throw new IllegalStateException(Thread.currentThread().getName() + " owns no session");
    }
    var session = current.session;
    if (!session.epoch().live()) {
      throw Session.unavailable();
    }
    return session;
  }

  /**
   * Runs the work with the session that holds the working copies of keys, one at a time. Session
   * objects die with the session that made them, so nothing that is to live longer than a call is
   * made in another one.
   *
   * @throws HsmUnavailableException while the token is lost
   */
  public <T extends @Nullable Object> T withHolder(Function<Session, T> work) {
    holderLock.lock();
    try {
      return work.apply(state.holder());
    } finally {
      holderLock.unlock();
    }
  }

  private Session openSession(Epoch epoch, Slot slot, boolean holdsObjects) {
    return session(epoch, slot, slot.openSession(), holdsObjects);
  }

  private Session session(Epoch epoch, Slot slot, long handle, boolean holdsObjects) {
    return new Session(cryptoki, epoch, slot, failures::count, handle, holdsObjects);
  }

  /**
   * SoftHSM passes over a token whose file another process is writing, which every login does, and
   * looks for it no more until it is initialised anew: of two programs that start together, one
   * found no token. Gives up after half a second, for {@link Slot#find} to say what is there.
   */
  private static void awaitToken(Cryptoki cryptoki, ModuleUse module, String label) {
    for (int look = 1; look < LOOKS_FOR_TOKEN && !Slot.isThere(cryptoki, label); look++) {
      try {
        Thread.sleep(BETWEEN_LOOKS);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        return;
      }
      module.enterRecovery();
      try {
        module.renew(cryptoki);
      } finally {
        module.leaveRecovery();
      }
    }
  }

  private State begin(long number) {
    var slot = Slot.find(cryptoki, settings.tokenLabel());
    var epoch = new Epoch(number, this::lose);
    var holder = openSession(epoch, slot, true);
    try {
      slot.login(holder.handle(), settings.pin());
      return new State(
          epoch,
          slot,
          holder,
          Collections.unmodifiableMap(slot.mechanisms()),
          probePublicSessionObjects(holder));
    } catch (RuntimeException e) {
      holder.discard();
      throw e;
    }
  }

  private static boolean probePublicSessionObjects(Session session) {
    var template =
        Template.builder()
            .put(CKA_TOKEN, false)
            .put(CKA_PRIVATE, false)
            .put(CKA_SENSITIVE, true)
            .put(CKA_EXTRACTABLE, false)
            .put(CKA_ENCRYPT, true)
            .put(CKA_VALUE_LEN, 32)
            .build();
    try {
      long key = session.generateKey(Mechanism.of(CKM_AES_KEY_GEN), template);
      try {
        var _ = session.encrypt(Mechanism.of(CKM_AES_ECB), key, ByteBuffer.wrap(new byte[16]));
        var made = session.attributes(key, CKA_PRIVATE, CKA_SENSITIVE);
        return !made.isTrue(CKA_PRIVATE) && made.isTrue(CKA_SENSITIVE);
      } finally {
        session.destroyObject(key);
      }
    } catch (HsmUnavailableException e) {
      throw e;
    } catch (Pkcs11Exception e) {
      return false;
    }
  }

  private void startWorkers(Lane lane) {
    var queue = queue(lane);
    for (int i = 1; i <= settings.lane(lane).threads(); i++) {
      var thread =
          Thread.ofPlatform()
              .daemon()
              .name("hsm-" + lane.name().toLowerCase(java.util.Locale.ROOT) + "-" + i)
              .unstarted(() -> {
                owner.set(owners.get(Thread.currentThread()));
                NativeCryptoki.yieldToOthers(lane.niceness());
                queue.serve();
              });
      adopt(thread);
      workers.add(thread);
      thread.start();
    }
  }

  /** Called by whoever first noticed; the recovery thread does the rest. */
  private void lose(String reason) {
    synchronized (lifecycle) {
      lost = reason;
      lifecycle.notifyAll();
    }
  }

  private void recoverForEver() {
    while (true) {
      String reason;
      synchronized (lifecycle) {
        if (closed) {
          return;
        }
        if (lost == null) {
          try {
            lifecycle.wait(WATCH_INTERVAL.toMillis());
          } catch (InterruptedException e) {
            return;
          }
        }
        reason = lost;
      }
      try {
        if (reason == null) {
          watch();
        } else {
          recover(reason);
        }
      } catch (InterruptedException e) {
        return;
      }
    }
  }

  /** Session keys of SoftHSM outlive their token, so nobody might notice for long. */
  private void watch() {
    var current = state;
    if (current.epoch().live() && !current.slot().answers(current.holder().handle())) {
      current.epoch().end("the token does not answer");
    }
  }

  private void recover(String reason) throws InterruptedException {
    long since = System.nanoTime();
    var old = state;
    LOG.warn("token \"{}\" lost in {}: {}", settings.tokenLabel(), old.epoch(), reason);
    old.epoch().announce().forEach(Hsm::runListener);
    awaitCallsInFlight();
    synchronized (lifecycle) {
      owners.values().forEach(o -> discard(o.session));
      discard(old.holder());
    }
    module.enterRecovery();
    try {
      reopen(old, since);
    } catch (InterruptedException e) {
      module.leaveRecovery();
      throw e;
    }
  }

  private void reopen(State old, long since) throws InterruptedException {
    var backoff = FIRST_BACKOFF;
    var last = "";
    for (int attempt = 1; ; attempt++) {
      try {
        if (attempt(attempt > 1, old.epoch().number() + 1)) {
          LOG.info(
              "token \"{}\" is back after {} ms: {}",
              settings.tokenLabel(),
              Duration.ofNanos(System.nanoTime() - since).toMillis(),
              state.epoch());
        }
        return;
      } catch (PinRefusedException e) {
        LOG.error("{}; next attempt in {}", e.getMessage(), BACKOFF_AFTER_REFUSED_PIN);
        backoff = BACKOFF_AFTER_REFUSED_PIN;
      } catch (RuntimeException e) {
        var message = String.valueOf(e.getMessage());
        if (!message.equals(last)) {
          LOG.warn("token \"{}\" is not back: {}", settings.tokenLabel(), message);
          last = message;
        }
        backoff = backoff.multipliedBy(2);
        backoff = backoff.compareTo(LONGEST_BACKOFF) > 0 ? LONGEST_BACKOFF : backoff;
      }
      Thread.sleep(backoff);
    }
  }

  private boolean attempt(boolean renew, long number) {
    module.attempts().lock();
    try {
      if (renew && nothingHangs()) {
        module.renew(cryptoki);
      }
      boolean opened = next(number);
      // Under the lock: another user must not renew the module under the sessions just opened.
      module.leaveRecovery();
      return opened;
    } finally {
      module.attempts().unlock();
    }
  }

  /** Opens everything for a new epoch and publishes it. */
  private boolean next(long number) {
    synchronized (lifecycle) {
      if (closed) {
        return false;
      }
      lost = null;
      var begun = begin(number);
      var opened = new ArrayList<Session>();
      try {
        owners.keySet().removeIf(thread -> thread.getState() == Thread.State.TERMINATED);
        for (int i = 0; i < owners.size(); i++) {
          opened.add(openSession(begun.epoch(), begun.slot(), false));
        }
        if (!begun.epoch().live()) {
          throw Session.unavailable();
        }
      } catch (RuntimeException e) {
        opened.forEach(Session::discard);
        begun.holder().discard();
        throw e;
      }
      var sessions = opened.iterator();
      owners.values().forEach(o -> o.session = sessions.next());
      state = begun;
      return true;
    }
  }

  private void awaitCallsInFlight() throws InterruptedException {
    long limit = System.nanoTime() + LONGEST_CALL_IN_FLIGHT.toNanos();
    while (owners.values().stream().anyMatch(o -> o.session.busy()) || state.holder().busy()) {
      if (System.nanoTime() - limit > 0) {
        LOG.warn("a call hangs in the module; its session is left behind");
        return;
      }
      Thread.sleep(1);
    }
  }

  private void discard(Session session) {
    session.discard();
    if (!session.closed()) {
      leftBehind.add(session);
    }
  }

  /** Finalising the module under a running call would crash the process. */
  private boolean nothingHangs() {
    leftBehind.removeIf(Session::closed);
    return leftBehind.isEmpty();
  }

  private static void runListener(Runnable listener) {
    try {
      listener.run();
    } catch (RuntimeException e) {
      LOG.error("a listener for the end of an epoch failed", e);
    }
  }

  /** Finishes queued work, closes all sessions, and finalises the module if it was the last use. */
  @Override
  public void close() {
    synchronized (lifecycle) {
      if (closed) {
        return;
      }
      closed = true;
      lifecycle.notifyAll();
    }
    recovery.interrupt();
    lanes.values().forEach(TurnQueue::close);
    try {
      recovery.join(LONGEST_CALL_IN_FLIGHT);
      for (var worker : workers) {
        worker.join(LONGEST_CALL_IN_FLIGHT);
      }
      state.epoch().end("closed");
      awaitCallsInFlight();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    state.epoch().announce().forEach(Hsm::runListener);
    synchronized (lifecycle) {
      owners.values().forEach(o -> discard(o.session));
      owners.clear();
      discard(state.holder());
    }
    module.release(cryptoki, nothingHangs());
  }
}
