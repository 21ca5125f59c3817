package dev.grep11.gateway.token;

import dev.grep11.gateway.hsm.Epoch;
import dev.grep11.gateway.hsm.Session;
import dev.grep11.gateway.key.Keyring;
import dev.grep11.gateway.key.Keyring.GenerationName;
import dev.grep11.gateway.key.Keys;
import dev.grep11.gateway.key.SealingKeyException;
import dev.grep11.gateway.key.SealingKeyIds;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.store.FollowSettings;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.ReplicaRecord;
import dev.grep11.gateway.store.SealingKeyGeneration;
import dev.grep11.gateway.store.SealingKeyGeneration.State;
import dev.grep11.gateway.store.SealingKeyUse;
import dev.grep11.gateway.store.Snapshot;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.StoreException;
import dev.grep11.gateway.store.StoreFollower;
import dev.grep11.gateway.store.StoreTamperedException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Keeps the keyring of a running gateway at what the store says, and says in the store which
 * generations of sealing keys this gateway has shown to open. So no gateway seals under a new key
 * before every living one opens it (security rules 9), in this order: a generation's keys are found
 * in the token and tried; then the gateway opens with them; then it says so, in a transaction that
 * sees the same generations; then its lease is renewed. Re-wrapping under a next one begins after
 * it was said, and ends before that is taken back. A gateway that could not say so for as long as
 * its lease refuses every call with a sealed key, and must find all keys before it goes on.
 *
 * <p>The {@link Lease} is that of everything which this gateway knows of the store, the {@link
 * StoreFollower}'s state too: it is said after both have followed, in a transaction that asks the
 * token whether this database is still the newest, and counts from before that look.
 *
 * <p>Uses are counted here too: written within seconds of the first use of a generation that no
 * longer seals. One thread; safe for use by several.
 */
public final class KeyringFollower implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(KeyringFollower.class);
  private static final Duration LONGEST_POLL = Duration.ofMillis(500);

  /** How long uses of a generation that still opens may wait to be written. */
  public static final Duration USES_WRITTEN_WITHIN = Duration.ofSeconds(5);

  /** How long the end waits for a look under way, and then for its lock. */
  private static final Duration CLOSE_WITHIN = Duration.ofSeconds(2);

  private static final int CONFIRMATIONS_PER_LEASE = 3;

  private final Store store;
  private final HsmCalls calls;
  private final Lease lease;
  private final Keyring keyring;
  private final Keys keys;
  private final FollowSettings settings;
  private final String name;
  private final StoreFollower state;
  private final Optional<ReplicaRecord.Rules> rules;
  private final LongSupplier nanoClock;
  private final InstantSource clock;
  private final UUID id = UUID.randomUUID();
  private final ReentrantLock refreshing = new ReentrantLock();
  private final Set<String> proven = new HashSet<>();
  private final Set<String> missing = new HashSet<>();
  private final Set<String> unsure = new HashSet<>();
  private @Nullable Epoch provenIn;
  private final Map<GenerationName, Long> unwritten = new HashMap<>();
  private final Thread poller;
  private @Nullable ReplicaRecord said;
  private long saidAt;
  private volatile boolean closed;
  private String trouble = "";

  /**
   * Reads the store, finds every key, and begins to follow.
   *
   * @param lease renewed here, and ended
   * @param keyring one that goes by the lease
   * @param settings how often to look, and how long what was read may be believed
   * @param name of this gateway for people
   * @param state one that goes by the lease. It follows before this gateway says anything of
   *     itself: that tells an administrator that it acts on the change which asked for it
   * @param rules of this gateway's operator
   * @throws SealingKeyException when a key of a generation that opens is not in the token
   */
  public static KeyringFollower start(
      Store store,
      HsmCalls calls,
      Lease lease,
      Keyring keyring,
      Keys keys,
      FollowSettings settings,
      String name,
      StoreFollower state,
      ReplicaRecord.Rules rules,
      InstantSource clock) {
    return new KeyringFollower(
        store,
        calls,
        lease,
        keyring,
        keys,
        settings,
        name,
        state,
        Optional.of(rules),
        System::nanoTime,
        clock,
        true);
  }

  /**
   * @param polls false leaves every look to {@link #refresh}
   */
  public KeyringFollower(
      Store store,
      HsmCalls calls,
      Lease lease,
      Keyring keyring,
      Keys keys,
      FollowSettings settings,
      String name,
      StoreFollower state,
      Optional<ReplicaRecord.Rules> rules,
      LongSupplier nanoClock,
      InstantSource clock,
      boolean polls) {
    this.state = state;
    this.rules = rules;
    this.store = store;
    this.calls = calls;
    this.lease = lease;
    this.keyring = keyring;
    this.keys = keys;
    this.settings = settings;
    this.name = name;
    this.nanoClock = nanoClock;
    this.clock = clock;
    refresh();
    poller = Thread.ofPlatform().daemon().name("keyring-poller").unstarted(this::poll);
    if (polls) {
      poller.start();
    }
  }

  /** Of this gateway's own record. */
  public UUID id() {
    return id;
  }

  /**
   * Follows the store now instead of at the next poll.
   *
   * @throws StoreException when it cannot be read or written; the lease then is not renewed, and
   *     ends at once if the store was tampered with
   * @throws SealingKeyException when the lease has ended and a key is missing
   */
  public void refresh() {
    refreshing.lock();
    try {
      // The lease counts from before the read: what is committed meanwhile may not be in it.
      long begin = nanoClock.getAsLong();
      Instant now = clock.instant();
      Snapshot snapshot;
      ReplicaRecord saying;
      do {
        snapshot = state.refresh();
        prove(snapshot);
        keyring.replace(living(snapshot, now));
        keys.purge();
        takeUses();
        saying = saying(snapshot, now);
      } while (due(snapshot, saying, begin) && !confirm(snapshot, saying, begin));
      // What was just said may be done from now on.
      keyring.replace(living(snapshot, now));
    } catch (StoreTamperedException e) {
      lease.end();
      throw e;
    } finally {
      refreshing.unlock();
    }
  }

  /** Finds the keys that this gateway has not found yet, or not since the token was lost. */
  private void prove(Snapshot snapshot) {
    var epoch = calls.epoch();
    if (!epoch.equals(provenIn)) {
      // What came back may be an older copy of the token.
      unsure.addAll(proven);
      provenIn = epoch;
    }
    Set<String> open = new HashSet<>();
    for (var instance : snapshot.instances()) {
      for (var generation : instance.generations()) {
        if (generation.state().opens()) {
          open.add(generation.id());
          if (!isProven(generation) || unsure.contains(generation.id())) {
            prove(instance, generation);
          }
        }
      }
    }
    // One that comes back must be found again.
    proven.retainAll(open);
    unsure.retainAll(open);
  }

  private void prove(InstanceRecord instance, SealingKeyGeneration generation) {
    try {
      calls.call(session -> {
        requireOpens(session, instance, generation);
        return true;
      });
      proven.add(generation.id());
      unsure.remove(generation.id());
      missing.remove(generation.id());
    } catch (SealingKeyException | Pkcs11Exception e) {
      if (e instanceof SealingKeyException) {
        proven.remove(generation.id());
        unsure.remove(generation.id());
      }
      // Others may have gone on without this gateway, so that it must open everything.
      if (!keyring.available()) {
        throw e;
      }
      if (missing.add(generation.id())) {
        LOG.error("master key {} is not confirmed: {}", generation.id(), e.getMessage());
      }
    }
  }

  /**
   * Shows that a generation opens, and that the root which the instance's answers are drawn from is
   * there: that of its first generation, also when that one is destroyed.
   */
  public static void requireOpens(
      Session session, InstanceRecord instance, SealingKeyGeneration generation) {
    Keyring.requireOpens(session, instance.id(), ids(generation));
    Keyring.requireConstantRoot(
        session, instance.id(), instance.generations().getFirst().stateRoot());
  }

  private Map<UUID, Keyring.Generations> living(Snapshot snapshot, Instant now) {
    Map<UUID, Keyring.Generations> living = new HashMap<>();
    for (var instance : snapshot.instances()) {
      var active = instance.active().filter(this::isProven);
      if (active.isPresent()) {
        var next = instance.first(State.NEXT).filter(this::isProven);
        living.put(
            instance.id(),
            new Keyring.Generations(
                ids(active.get()),
                next.map(KeyringFollower::ids),
                next.filter(each -> saidToRewrapUnder(each) && opensEverywhere(snapshot, each, now))
                    .isPresent(),
                instance.generations().stream()
                    .filter(generation -> generation.state() == State.PREVIOUS)
                    .filter(this::isProven)
                    .map(KeyringFollower::ids)
                    .toList(),
                closed(instance),
                instance.generations().getFirst().stateRoot()));
      }
    }
    return living;
  }

  private static Map<String, Keyring.Closed> closed(InstanceRecord instance) {
    Map<String, Keyring.Closed> closed = new HashMap<>();
    for (var generation : instance.generations()) {
      switch (generation.state()) {
        case RETIRED -> closed.put(generation.id(), Keyring.Closed.RETIRED);
        case DESTROYED -> closed.put(generation.id(), Keyring.Closed.DESTROYED);
        case NEXT, ACTIVE, PREVIOUS -> {
          // These open.
        }
      }
    }
    return closed;
  }

  private boolean isProven(SealingKeyGeneration generation) {
    return proven.contains(generation.id());
  }

  /** Said before it is done, since a next one is retired when nobody says so. */
  private boolean saidToRewrapUnder(SealingKeyGeneration next) {
    var last = said;
    return last != null && last.rewrapsUnder().contains(next.id());
  }

  private boolean opensEverywhere(Snapshot snapshot, SealingKeyGeneration generation, Instant now) {
    return isProven(generation)
        && snapshot.live(now).stream()
            .allMatch(other -> other.id().equals(id) || other.opens().contains(generation.id()));
  }

  private ReplicaRecord saying(Snapshot snapshot, Instant now) {
    Set<String> rewrapsUnder = new TreeSet<>();
    Set<String> seals = new TreeSet<>();
    for (var instance : snapshot.instances()) {
      instance
          .first(State.NEXT)
          .filter(next -> opensEverywhere(snapshot, next, now))
          .ifPresent(next -> rewrapsUnder.add(next.id()));
      instance.active().filter(this::isProven).ifPresent(active -> seals.add(active.id()));
    }
    return new ReplicaRecord(
        id, name, now, now.plus(settings.lease()), proven, rewrapsUnder, seals, rules);
  }

  private boolean due(Snapshot snapshot, ReplicaRecord saying, long begin) {
    var last = said;
    if (last == null
        || !keyring.available()
        // Taken for dead, by a clock that jumped; or asked to say it again.
        || own(snapshot)
            .filter(record -> record.equals(last) && record.live(clock.instant()))
            .isEmpty()
        || !last.opens().equals(saying.opens())
        || !last.rewrapsUnder().equals(saying.rewrapsUnder())
        || !last.seals().equals(saying.seals())) {
      return true;
    }
    var age = Duration.ofNanos(begin - saidAt);
    return age.multipliedBy(CONFIRMATIONS_PER_LEASE).compareTo(settings.lease()) >= 0
        || (age.compareTo(USES_WRITTEN_WITHIN) >= 0
            && unwritten.keySet().stream().anyMatch(use -> !last.seals().contains(hex(use))));
  }

  /** What others read of this gateway. */
  private Optional<ReplicaRecord> own(Snapshot snapshot) {
    return snapshot.replicas().stream().filter(each -> each.id().equals(id)).findFirst();
  }

  /** Says what this gateway opens; false says nothing, since the store has moved meanwhile. */
  private boolean confirm(Snapshot snapshot, ReplicaRecord saying, long begin) {
    if (closed) {
      // A look that hung until now: nothing is served any more.
      return true;
    }
    boolean confirmed =
        store.change(change -> {
          var current = change.snapshot();
          // A command that asks means the uses until now, and these were taken before. A change of
          // client CAs asks too, and this gateway has not followed one that came after the look.
          if (!current.instances().equals(snapshot.instances())
              || !current.registries().equals(snapshot.registries())
              || !own(current).equals(own(snapshot))) {
            return false;
          }
          requireEverythingOpens(current);
          change.put(saying);
          writeUses(change);
          forgetDead(change, clock.instant());
          return true;
        });
    if (!confirmed) {
      return false;
    }
    if (closed) {
      // By somebody who did not wait for this look.
      return true;
    }
    if (said == null) {
      reportOtherRules(snapshot, saying.seen());
    }
    unwritten.clear();
    said = saying;
    saidAt = begin;
    lease.until(begin + settings.lease().toNanos(), saying.until());
    return true;
  }

  private void reportOtherRules(Snapshot snapshot, Instant now) {
    for (var other : snapshot.live(now)) {
      if (!other.id().equals(id) && !other.rules().equals(rules)) {
        LOG.error(
            "gateway {} on the same store goes by {}, this one by {}: commands are held to the"
                + " strictest of both; give all the same clientCertificates and enrolment",
            other.name(),
            words(other.rules()),
            words(rules));
      }
    }
  }

  private static String words(Optional<ReplicaRecord.Rules> rules) {
    return rules
        .map(each ->
            "clientCertificates: %s, enrolment: %s"
                .formatted(
                    each.certificatesRequired() ? "required" : "optional",
                    each.enrolment().toLowerCase(Locale.ROOT)))
        .orElse("settings that it does not say");
  }

  /** Others may have gone on without a gateway that they took for dead: it must open everything. */
  private void requireEverythingOpens(Snapshot current) {
    if (own(current).filter(record -> record.live(clock.instant())).isPresent()) {
      return;
    }
    for (var instance : current.instances()) {
      for (var generation : instance.generations()) {
        if (generation.state().opens() && !isProven(generation)) {
          throw new SealingKeyException(
              "master key %s is not confirmed, and others may use it already"
                  .formatted(generation.id()));
        }
      }
    }
  }

  private void takeUses() {
    keyring
        .takeUses()
        .forEach((generation, count) -> unwritten.merge(generation, count, Long::sum));
  }

  private void writeUses(Store.Change change) {
    var until = clock.instant();
    unwritten.forEach((generation, count) ->
        change.add(new SealingKeyUse(generation.instance(), hex(generation), count, until)));
  }

  /**
   * Forgets gateways that ended without a word. What they used since they last wrote is not known:
   * it is taken for a use of everything they opened, until the end of their lease.
   */
  public static void forgetDead(Store.Change change, Instant now) {
    var snapshot = change.snapshot();
    for (var replica : snapshot.replicas()) {
      if (!replica.live(now)) {
        for (var instance : snapshot.instances()) {
          for (var generation : instance.generations()) {
            if (replica.opens().contains(generation.id())) {
              change.add(new SealingKeyUse(instance.id(), generation.id(), 0, replica.until()));
            }
          }
        }
        change.remove(replica);
      }
    }
  }

  private static String hex(GenerationName generation) {
    ByteBuffer bytes = generation.masterKeyId().duplicate();
    byte[] id = new byte[bytes.remaining()];
    bytes.get(id);
    return HexFormat.of().formatHex(id);
  }

  public static SealingKeyIds ids(SealingKeyGeneration generation) {
    return new SealingKeyIds(
        generation.masterKeyId(),
        generation.kekN(),
        generation.kekX(),
        generation.macKey(),
        generation.valueKey(),
        generation.stateRoot());
  }

  private void poll() {
    var pause = LONGEST_POLL.compareTo(settings.poll()) < 0 ? LONGEST_POLL : settings.poll();
    while (!closed) {
      try {
        Thread.sleep(pause);
        refresh();
        trouble = "";
      } catch (InterruptedException e) {
        return;
      } catch (StoreTamperedException e) {
        report("every call with a key is refused: " + e.getMessage());
      } catch (RuntimeException e) {
        report(
            "sealing keys are not confirmed, and refused when the lease ends: " + e.getMessage());
      }
    }
  }

  /** Once, not at every poll. */
  private void report(String problem) {
    if (!trouble.equals(problem)) {
      trouble = problem;
      LOG.error("{}", problem);
    }
  }

  /** Stops following, writes the last uses, and takes back what this gateway said of itself. */
  @Override
  public void close() {
    closed = true;
    poller.interrupt();
    lease.end();
    boolean quiet = false;
    try {
      // A look that hangs in the token or the store is not to keep a gateway from stopping.
      poller.join(CLOSE_WITHIN.toMillis());
      quiet = refreshing.tryLock(CLOSE_WITHIN.toMillis(), TimeUnit.MILLISECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    if (!quiet) {
      LOG.warn(
          "others wait for this gateway until its lease ends: it hangs in a look at the store");
      return;
    }
    try {
      lease.end();
      takeUses();
      store.change(change -> {
        writeUses(change);
        List.copyOf(change.snapshot().replicas()).stream()
            .filter(replica -> replica.id().equals(id))
            .forEach(change::remove);
        return true;
      });
    } catch (StoreException e) {
      LOG.warn("others wait for this gateway until its lease ends: {}", e.getMessage());
    } finally {
      refreshing.unlock();
    }
  }
}
