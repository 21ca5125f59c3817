package dev.grep11.gateway.keystore;

import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.KeyRecord;
import dev.grep11.gateway.store.KeystoreRecord;
import dev.grep11.gateway.store.KeystoreTables;
import dev.grep11.gateway.store.KeystoreTables.Blob;
import dev.grep11.gateway.store.SealingKeyGeneration;
import dev.grep11.gateway.store.Snapshot;
import dev.grep11.gateway.store.StoreTamperedException;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What a gateway does with keystores unasked, on a thread of its own: adds up their keys, so that
 * one that was removed or put back in the database is noticed; re-wraps keys when the master keys
 * of their instance were rotated; and wipes passwords' keys whose time is over.
 */
public final class KeystoreKeeper implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(KeystoreKeeper.class);
  private static final Duration LOOK = Duration.ofSeconds(1);

  /** How soon a keystore that was changed is added up; one that was not, ten times later. */
  static final Duration VERIFIED_WITHIN = Duration.ofMinutes(1);

  private static final int UNCHANGED_ROUNDS = 10;

  /**
   * How soon it is looked again whether a key is under older sealing keys, when none was: one may
   * be stored in the moment of an activation, or while the token has no time to re-wrap it.
   */
  static final Duration ROTATED_WITHIN = Duration.ofMinutes(1);

  /** After a rotation that left something; doubled up to the second. */
  private static final Duration NEXT_ATTEMPT = Duration.ofSeconds(2);

  private static final Duration LONGEST_PAUSE = Duration.ofMinutes(2);
  private static final int BATCH = 100;
  private static final int MOST_TROUBLES = 20;
  private static final Duration CLOSE_WITHIN = Duration.ofSeconds(5);

  /** Whose share of the token the rotation takes. */
  private static final String CALLER = "rotation of keystores";

  private final Keystores keystores;
  private final KeystoreTables tables;
  private final Supplier<Optional<Snapshot>> current;
  private final Thread thread;
  private volatile boolean closed;

  /** As they were at the latest rotation. */
  private List<InstanceRecord> attempted = List.of();

  private Duration pause = NEXT_ATTEMPT;
  private long rotateAt = System.nanoTime();
  private long verifyAt = System.nanoTime() + VERIFIED_WITHIN.toNanos();
  private int round;

  /** Whether this rotation is over, as the token or the store has no time or is away. */
  private boolean stopped;

  /** The revisions of keystores that added up. */
  private Map<UUID, Long> verified = Map.of();

  private final Set<String> troubles = new HashSet<>();

  private KeystoreKeeper(
      Keystores keystores, KeystoreTables tables, Supplier<Optional<Snapshot>> current) {
    this.keystores = keystores;
    this.tables = tables;
    this.current = current;
    this.thread = Thread.ofPlatform().daemon().name("keystore-keeper").unstarted(this::keep);
  }

  /**
   * Begins.
   *
   * @param current the instances and their generations of sealing keys
   */
  public static KeystoreKeeper start(
      Keystores keystores, KeystoreTables tables, Supplier<Optional<Snapshot>> current) {
    var keeper = new KeystoreKeeper(keystores, tables, current);
    keeper.thread.start();
    return keeper;
  }

  private void keep() {
    while (!closed) {
      try {
        Thread.sleep(LOOK);
        look();
      } catch (InterruptedException e) {
        return;
      } catch (RuntimeException e) {
        report("keystores cannot be looked after: " + e.getMessage());
      }
    }
  }

  /** One that fails stops no other: of tasks, of instances, of keystores. */
  private boolean attempt(String what, BooleanSupplier task) {
    try {
      return task.getAsBoolean();
    } catch (RuntimeException e) {
      report("%s: %s".formatted(what, e.getMessage()));
      return false;
    }
  }

  private void look() {
    var instances = current.get().map(Snapshot::instances).orElse(List.of());
    guard(instances);
    if (!instances.equals(attempted)) {
      attempted = instances;
      pause = NEXT_ATTEMPT;
      rotateAt = System.nanoTime();
    }
    if (System.nanoTime() - rotateAt >= 0) {
      stopped = false;
      boolean complete = true;
      for (var instance : instances) {
        complete &=
            attempt(
                "keystores of instance %s stay under old master keys".formatted(instance.id()),
                () -> rotate(instance));
      }
      if (complete) {
        pause = NEXT_ATTEMPT;
        rotateAt = System.nanoTime() + ROTATED_WITHIN.toNanos();
      } else {
        rotateAt = System.nanoTime() + pause.toNanos();
        pause = pause.compareTo(LONGEST_PAUSE) < 0 ? pause.multipliedBy(2) : LONGEST_PAUSE;
      }
    }
  }

  /** What no rotation holds up, however long it takes. */
  private void guard(List<InstanceRecord> instances) {
    keystores.passwords().forgetOld();
    long now = System.nanoTime();
    if (now - verifyAt < 0) {
      return;
    }
    verifyAt = now + VERIFIED_WITHIN.toNanos();
    troubles.clear();
    Map<UUID, Long> added = new HashMap<>();
    for (var instance : instances) {
      var _ =
          attempt(
              "keystores of instance %s cannot be added up".formatted(instance.id()),
              () -> verify(instance.id(), added));
    }
    verified = added;
    round++;
  }

  /** Adds up every keystore of an instance that is due, and forgets its old transactions. */
  private boolean verify(UUID instance, Map<UUID, Long> added) {
    for (var keystore : tables.read(instance, KeystoreTables.View::keystores)) {
      if (closed) {
        return false;
      }
      long before = verified.getOrDefault(keystore.id(), -1L);
      if (keystore.revision() == before && round % UNCHANGED_ROUNDS != 0) {
        added.put(keystore.id(), before);
        continue;
      }
      var _ =
          attempt(
              "keystore %s cannot be added up".formatted(keystore.id()),
              () -> verify(keystore, added));
      var _ =
          attempt(
              "old transactions of keystore %s stay".formatted(keystore.id()),
              () -> forgetTransactions(keystore));
    }
    return true;
  }

  private boolean verify(KeystoreRecord keystore, Map<UUID, Long> added) {
    try {
      long revision =
          tables.read(
              keystore.instance(),
              view ->
                  view.find(keystore.id())
                      .map(found -> {
                        view.verify(found);
                        return found.revision();
                      })
                      .orElse(-1L));
      added.put(keystore.id(), revision);
      return true;
    } catch (StoreTamperedException e) {
      LOG.error("keystore {} is refused from now on: {}", keystore.id(), e.getMessage());
      return false;
    }
  }

  private boolean forgetTransactions(KeystoreRecord keystore) {
    while (!closed && tables.forgetTransactions(keystore, keystores.now())) {
      // In small steps: others write in between.
    }
    return true;
  }

  /** Whether nothing of an instance is left to re-wrap, as far as that needs no password. */
  private boolean rotate(InstanceRecord instance) {
    boolean complete = true;
    for (var generation : instance.generations()) {
      complete &=
          switch (generation.state()) {
            case PREVIOUS -> rotate(instance.id(), generation, Blob.FIRST);
            case RETIRED, DESTROYED -> {
              boolean first = rotate(instance.id(), generation, Blob.FIRST_OF_TWO);
              boolean second = rotate(instance.id(), generation, Blob.SECOND);
              yield first && second;
            }
            case NEXT, ACTIVE -> true;
          };
    }
    return complete;
  }

  private boolean rotate(UUID instance, SealingKeyGeneration generation, Blob blob) {
    boolean complete = true;
    for (var keystore : tables.read(instance, view -> view.keystoresUnder(generation.id(), blob))) {
      if (stopped) {
        return false;
      }
      if (keystore.password().isEmpty()) {
        complete &=
            attempt(
                "keys of keystore %s stay under old master keys".formatted(keystore.id()),
                () -> rewrap(keystore, generation, blob));
      }
    }
    return complete;
  }

  /**
   * One pass over the keys of a keystore.
   *
   * @param blob which of their blobs is under this generation
   */
  private boolean rewrap(KeystoreRecord keystore, SealingKeyGeneration generation, Blob blob) {
    int done = 0;
    boolean complete = true;
    var after = Optional.of(new byte[0]);
    try {
      while (after.isPresent()) {
        byte[] from = after.get();
        var page =
            tables.read(
                keystore.instance(),
                view ->
                    view.find(keystore.id())
                        .map(found -> view.under(found, generation.id(), blob, from, BATCH))
                        .orElse(new KeystoreTables.Page(List.of(), Optional.empty())));
        for (var key : page.keys()) {
          if (closed || stopped) {
            return false;
          }
          if (tidied(keystore, key)) {
            done++;
          } else {
            complete = false;
          }
        }
        after = page.next();
        guard(attempted);
      }
    } finally {
      if (done > 0) {
        LOG.info(
            "{} keys of keystore {} {} master key {}",
            done,
            keystore.id(),
            blob == Blob.SECOND
                ? "no longer keep a blob under"
                : "have a newer blob in the place of, or before, that under",
            generation.id());
      }
    }
    return complete;
  }

  private boolean tidied(KeystoreRecord keystore, KeyRecord key) {
    try {
      return keystores.tidy(keystore, key, CALLER);
    } catch (Pkcs11Exception e) {
      // What may be repeated has nothing to do with this key: others would wait for it as long.
      stopped = e.retry();
      report(
          "key %s of keystore %s stays under an old master key: %s"
              .formatted(key.id(), keystore.id(), e.getMessage()));
      return false;
    }
  }

  /** Once within a minute, not at every look. */
  private void report(String problem) {
    if (troubles.size() < MOST_TROUBLES && troubles.add(problem)) {
      LOG.error("{}", problem);
    }
  }

  @Override
  public void close() {
    closed = true;
    thread.interrupt();
    try {
      thread.join(CLOSE_WITHIN);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
