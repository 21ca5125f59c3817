package dev.grep11.gateway.keystore;

import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.KeyRecord;
import dev.grep11.gateway.store.KeystoreRecord;
import dev.grep11.gateway.store.KeystoreTables;
import dev.grep11.gateway.store.SealingKeyGeneration;
import dev.grep11.gateway.store.Snapshot;
import dev.grep11.gateway.store.StoreException;
import dev.grep11.gateway.store.StoreTamperedException;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
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

  /** After a rotation that left something; doubled up to the second. */
  private static final Duration NEXT_ATTEMPT = Duration.ofSeconds(2);

  private static final Duration LONGEST_PAUSE = Duration.ofMinutes(2);
  private static final int BATCH = 50;
  private static final Duration CLOSE_WITHIN = Duration.ofSeconds(5);

  /** Whose share of the token the rotation takes. */
  private static final String CALLER = "rotation of keystores";

  private final Keystores keystores;
  private final KeystoreTables tables;
  private final Supplier<Optional<Snapshot>> current;
  private final Thread thread;
  private volatile boolean closed;

  /** The generations of all instances that everything was re-wrapped for. */
  private List<InstanceRecord> rotated = List.of();

  private List<InstanceRecord> attempted = List.of();
  private Duration pause = NEXT_ATTEMPT;
  private long rotateAt = System.nanoTime();
  private long verifyAt = System.nanoTime() + VERIFIED_WITHIN.toNanos();
  private int round;
  private final Map<UUID, Long> verified = new HashMap<>();
  private String trouble = "";

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
        trouble = "";
      } catch (InterruptedException e) {
        return;
      } catch (RuntimeException e) {
        report("keystores cannot be looked after: " + e.getMessage());
      }
    }
  }

  private void look() {
    keystores.passwords().forgetOld();
    var snapshot = current.get();
    if (snapshot.isEmpty()) {
      return;
    }
    var instances = snapshot.get().instances();
    long now = System.nanoTime();
    if (!instances.equals(attempted)) {
      pause = NEXT_ATTEMPT;
      rotateAt = now;
    }
    if (!instances.equals(rotated) && now - rotateAt >= 0) {
      attempted = instances;
      boolean complete = true;
      for (var instance : instances) {
        complete &= rotate(instance);
      }
      if (complete) {
        rotated = instances;
      }
      rotateAt = System.nanoTime() + pause.toNanos();
      pause = pause.compareTo(LONGEST_PAUSE) < 0 ? pause.multipliedBy(2) : LONGEST_PAUSE;
    }
    if (now - verifyAt >= 0) {
      verifyAt = now + VERIFIED_WITHIN.toNanos();
      instances.forEach(instance -> verify(instance.id()));
      round++;
    }
  }

  /** Adds up every keystore of an instance that is due. */
  private void verify(UUID instance) {
    for (var keystore : all(instance)) {
      if (closed) {
        return;
      }
      boolean unchanged = keystore.revision() == verified.getOrDefault(keystore.id(), -1L);
      if (unchanged && round % UNCHANGED_ROUNDS != 0) {
        continue;
      }
      try {
        long revision =
            tables.read(
                instance,
                view ->
                    view.find(keystore.id())
                        .map(found -> {
                          view.verify(found);
                          return found.revision();
                        })
                        .orElse(-1L));
        verified.put(keystore.id(), revision);
      } catch (StoreTamperedException e) {
        LOG.error("keystore {} is refused from now on: {}", keystore.id(), e.getMessage());
      }
    }
  }

  private List<KeystoreRecord> all(UUID instance) {
    return tables.read(instance, KeystoreTables.View::keystores);
  }

  /** Whether nothing of an instance is left to re-wrap, as far as that needs no password. */
  private boolean rotate(InstanceRecord instance) {
    boolean complete = true;
    for (var keystore : all(instance.id())) {
      if (keystore.password().isPresent()) {
        continue;
      }
      for (var generation : instance.generations()) {
        complete &=
            switch (generation.state()) {
              case PREVIOUS -> rewrap(keystore, generation, false);
              case RETIRED, DESTROYED -> rewrap(keystore, generation, true);
              case NEXT, ACTIVE -> true;
            };
      }
    }
    return complete;
  }

  /**
   * @param second whether it is the second blobs that are under this generation
   */
  private boolean rewrap(KeystoreRecord keystore, SealingKeyGeneration generation, boolean second) {
    Set<UUID> failed = new HashSet<>();
    int done = 0;
    while (!closed) {
      int most = BATCH + failed.size();
      List<KeyRecord> some =
          tables.read(
              keystore.instance(),
              view ->
                  view.find(keystore.id())
                      .map(found -> view.under(found, generation.id(), second, most))
                      .orElse(List.of()));
      var left = some.stream().filter(key -> !failed.contains(key.id())).toList();
      if (left.isEmpty()) {
        break;
      }
      for (var key : left) {
        if (closed) {
          return false;
        }
        if (tidied(keystore, key)) {
          done++;
        } else {
          failed.add(key.id());
        }
      }
    }
    if (done > 0) {
      LOG.info(
          "{} keys of keystore {} {} master key {}",
          done,
          keystore.id(),
          second ? "no longer keep a blob under" : "have a newer blob before that under",
          generation.id());
    }
    return failed.isEmpty() && !closed;
  }

  private boolean tidied(KeystoreRecord keystore, KeyRecord key) {
    try {
      return keystores.tidy(keystore, key, CALLER);
    } catch (Pkcs11Exception | StoreException e) {
      report(
          "key %s of keystore %s stays under an old master key: %s"
              .formatted(key.id(), keystore.id(), e.getMessage()));
      return false;
    }
  }

  /** Once, not at every look. */
  private void report(String problem) {
    if (!trouble.equals(problem)) {
      trouble = problem;
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
