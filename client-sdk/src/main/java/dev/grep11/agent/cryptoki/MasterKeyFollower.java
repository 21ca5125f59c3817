package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Cka.CKA_CLASS;
import static dev.grep11.client.Ckr.CKR_IBM_BLOB_ERROR;
import static dev.grep11.client.Ckr.CKR_IBM_STATIC_POLICY;
import static dev.grep11.client.Ckr.CKR_IBM_WKID_MISMATCH;
import static dev.grep11.client.Ckr.CKR_IBM_WK_NOT_INITIALIZED;

import dev.grep11.agent.log.Log;
import dev.grep11.agent.store.Attributes;
import dev.grep11.agent.store.LocalStore;
import dev.grep11.agent.store.StoreException;
import dev.grep11.agent.store.StoredObject;
import dev.grep11.client.Cko;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.KeyBlob;
import dev.grep11.client.PrivateKeyBlob;
import dev.grep11.client.PublicKeyBlob;
import dev.grep11.client.SecretKeyBlob;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * Brings keys of keystores that the agent keeps itself under the newest master key of the gateway,
 * which cannot see them. Looks again and again; what it costs while nothing is rotated is one call
 * for each master key that blobs are under.
 *
 * <p>No key is lost by it: the blob before stays behind the new one, until the next rotation, so
 * that a next master key may also be withdrawn; a record is changed only as long as it is the one
 * that was read, so that agents of one keystore and their applications do not undo each other's
 * work.
 */
final class MasterKeyFollower implements AutoCloseable {
  private static final Duration FIRST = Duration.ofSeconds(5);

  /** Of this one key: a public key that was stored bare, one that policy keeps from being moved. */
  private static final Set<Long> MAKES_NO_OTHER = Set.of(CKR_IBM_BLOB_ERROR, CKR_IBM_STATIC_POLICY);

  /** What became of one record. */
  private enum Outcome {
    /** Its new blob is written. */
    MOVED,
    /** It is under the newest master key, and so are all that are under the same. */
    NEWEST,
    /** There is a next master key, which gateways are still taking up. */
    SOON,
    /** Somebody changed or deleted it, or the gateway makes no other blob of it. */
    LEFT,
    /** None of its blobs opens. */
    LOST
  }

  private final TokenStores stores;
  private final Supplier<GatewayUser> user;
  private final String slot;
  private final Log log;
  private final ScheduledExecutorService looks;

  /** Told of once; one thread looks. */
  private final Set<UUID> lost = new HashSet<>();

  private String trouble = "";

  /**
   * @param user who re-wraps; a blob is all that it takes
   * @param pause from one look to the next
   */
  MasterKeyFollower(
      long slot, TokenStores stores, Supplier<GatewayUser> user, Duration pause, Log log) {
    this.slot = "slot %d: ".formatted(slot);
    this.stores = stores;
    this.user = user;
    this.log = log;
    this.looks =
        Executors.newSingleThreadScheduledExecutor(task -> {
          var thread = new Thread(task, "agent-master-keys");
          thread.setDaemon(true);
          return thread;
        });
    var first = pause.compareTo(FIRST) < 0 ? pause : FIRST;
    var unused =
        looks.scheduleWithFixedDelay(
            this::look, first.toMillis(), pause.toMillis(), TimeUnit.MILLISECONDS);
  }

  /** Nothing may pass through: it would be the last look. */
  private void look() {
    try {
      for (boolean isPrivate : new boolean[] {true, false}) {
        stores.localIfItOpens(isPrivate).ifPresent(this::follow);
      }
      trouble = "";
    } catch (Grep11Exception e) {
      tell(
          e.answered()
              ? "keys are not re-wrapped: " + e.detail()
              : "keys are not looked after: " + e.detail());
    } catch (StatusRuntimeException | Refusal | StoreException e) {
      tell("keys are not looked after: " + e.getMessage());
    } catch (RuntimeException | Error e) {
      log.error(slot + "a fault of the agent: " + e);
    }
  }

  /** Once, until it is over or another. */
  private void tell(String problem) {
    if (!problem.equals(trouble)) {
      log.warning(slot + problem);
    }
    trouble = problem;
  }

  private void follow(LocalStore store) {
    Map<String, List<StoredObject>> byMasterKey = new LinkedHashMap<>();
    for (var object : store.find(Attributes.empty())) {
      if (!object.blobs().isEmpty()) {
        byMasterKey
            .computeIfAbsent(MasterKeyId.of(object.blobs().get(0)), id -> new ArrayList<>())
            .add(object);
      }
    }
    int moved = 0;
    for (var group : byMasterKey.values()) {
      moved += follow(store, group);
    }
    if (moved > 0) {
      log.info(slot + "%d keys of %s were re-wrapped".formatted(moved, store));
    }
  }

  /** How many of those under one master key were brought under another. */
  private int follow(LocalStore store, Collection<StoredObject> group) {
    int moved = 0;
    for (var object : group) {
      switch (follow(store, object)) {
        case MOVED -> moved++;
        case NEWEST, SOON -> {
          return moved;
        }
        case LEFT -> {}
        case LOST -> {
          if (lost.add(object.id())) {
            log.error(
                slot
                    + "the key of object %s opens no more: its master key was retired; have the operator reinstate it"
                        .formatted(object.id()));
          }
        }
      }
    }
    return moved;
  }

  private Outcome follow(LocalStore store, StoredObject object) {
    for (byte[] blob : object.blobs()) {
      try {
        byte[] next = user.get().ask(client -> client.rewrap(key(object, blob))).bytes();
        return replaced(store, object, List.of(next, blob));
      } catch (Grep11Exception e) {
        if (e.returnValue() == CKR_IBM_WKID_MISMATCH) {
          continue;
        }
        if (MAKES_NO_OTHER.contains(e.returnValue())) {
          log.debug(slot + "object %s is not re-wrapped: %s".formatted(object.id(), e.detail()));
          return Outcome.LEFT;
        }
        if (e.returnValue() != CKR_IBM_WK_NOT_INITIALIZED) {
          throw e;
        }
        if (e.retry()) {
          return Outcome.SOON;
        }
        // A next master key was withdrawn, if it is not the first: what opens comes to the front.
        // The
        // other stays, since one gateway that is behind would say the same.
        return Arrays.equals(blob, object.blobs().get(0))
            ? Outcome.NEWEST
            : replaced(store, object, withFirst(blob, object.blobs()));
      }
    }
    return Outcome.LOST;
  }

  private static List<byte[]> withFirst(byte[] first, List<byte[]> blobs) {
    var ordered = new ArrayList<byte[]>(blobs);
    ordered.removeIf(blob -> Arrays.equals(blob, first));
    ordered.add(0, first);
    return ordered;
  }

  private static Outcome replaced(LocalStore store, StoredObject object, List<byte[]> blobs) {
    try {
      return store.rewrapped(object, blobs) ? Outcome.MOVED : Outcome.LEFT;
    } catch (StoreException e) {
      if (e.reason() == StoreException.Reason.MISSING) {
        return Outcome.LEFT;
      }
      throw e;
    }
  }

  private static KeyBlob key(StoredObject object, byte[] blob) {
    long objectClass = object.attributes().number(CKA_CLASS).orElse(-1);
    if (objectClass == Cko.CKO_SECRET_KEY) {
      return new SecretKeyBlob(blob);
    }
    return objectClass == Cko.CKO_PRIVATE_KEY ? new PrivateKeyBlob(blob) : new PublicKeyBlob(blob);
  }

  /** A look that runs ends after the call that it makes. */
  @Override
  public void close() {
    looks.shutdownNow();
  }
}
