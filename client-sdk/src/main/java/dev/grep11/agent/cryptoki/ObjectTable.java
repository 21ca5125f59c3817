package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Cka.CKA_PRIVATE;
import static dev.grep11.client.Cka.CKA_TOKEN;
import static dev.grep11.client.Ckr.CKR_DEVICE_MEMORY;
import static dev.grep11.client.Ckr.CKR_IBM_GREP11_CONFLICT;
import static dev.grep11.client.Ckr.CKR_IBM_WKID_MISMATCH;
import static dev.grep11.client.Ckr.CKR_OBJECT_HANDLE_INVALID;
import static dev.grep11.client.Ckr.CKR_SESSION_READ_ONLY;
import static dev.grep11.client.Ckr.CKR_USER_NOT_LOGGED_IN;

import dev.grep11.agent.cryptoki.Slot.Role;
import dev.grep11.agent.store.Attributes;
import dev.grep11.agent.store.Store;
import dev.grep11.agent.store.StoredObject;
import dev.grep11.client.KeyBlob;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The objects of one slot as one application sees them. Used by several threads.
 *
 * <p>The handle of a token object follows from its id, so that it is the same in every application
 * and after a restart of the agent: what an application remembers stays good. Session objects are
 * counted from a random number on: a module that lost its connection finds a new table behind the
 * same session, and a handle from before must name nothing there, rather than another key.
 */
final class ObjectTable {
  /** Above the handles of session objects. */
  private static final long TOKEN_HANDLES = 1L << 62;

  /** Of session objects, which are in the agent's memory. */
  static final int MOST_OBJECTS = 10_000;

  static final long MOST_BYTES = 32 << 20;

  /**
   * After a handle that names nothing, keystores are not read again for others for so long, and for
   * so many times as long as that look took: who asks for handles at random costs little.
   */
  private static final long MISSED = TimeUnit.SECONDS.toNanos(1);

  private static final int SHARE = 20;

  private final Slot slot;
  private final Supplier<GatewayUser> user;
  private final AtomicLong next = new AtomicLong(1 + (new SecureRandom().nextLong() >>> 3));
  private final Map<Long, CkObject> objects = new ConcurrentHashMap<>();

  /** By {@link System#nanoTime}; guarded by {@link #missLock}. */
  private long looksAgainAt = System.nanoTime();

  private final Object missLock = new Object();

  /** Of session objects; guarded by {@link #roomLock}. */
  private int count;

  private long bytes;
  private final Object roomLock = new Object();

  /**
   * @param user who the application is at present
   */
  ObjectTable(Slot slot, Supplier<GatewayUser> user) {
    this.slot = slot;
    this.user = user;
  }

  /**
   * Keeps a new object where its attributes say (pkcs11-client.md, 4).
   *
   * @param readWrite whether the session may make token objects
   */
  CkObject add(
      long session, boolean readWrite, Role role, Attributes attributes, List<byte[]> blobs) {
    requirePlace(attributes, readWrite, role);
    if (!attributes.isTrue(CKA_TOKEN)) {
      var object =
          new CkObject(
              next.getAndIncrement(), slot.number(), session, Optional.empty(), attributes, blobs);
      takeRoom(1, object.size());
      objects.put(object.handle(), object);
      return object;
    }
    boolean isPrivate = attributes.isTrue(CKA_PRIVATE);
    return known(slot.stored(() -> store(isPrivate).create(attributes, blobs)), isPrivate);
  }

  /** Refused before the HSM is asked to make what could not be kept. */
  static void requirePlace(Attributes attributes, boolean readWrite, Role role) {
    if (attributes.isTrue(CKA_PRIVATE) && role != Role.NORMAL) {
      throw new Refusal(
          CKR_USER_NOT_LOGGED_IN, "private objects are the normal user's, who is not logged in");
    }
    if (attributes.isTrue(CKA_TOKEN) && !readWrite) {
      throw new Refusal(CKR_SESSION_READ_ONLY, "token objects are made in read-write sessions");
    }
  }

  /** The object, if this user sees it. */
  CkObject get(long handle, Role role) {
    var object = objects.get(handle);
    if (object == null && handle >= TOKEN_HANDLES) {
      object = remembered(handle, role);
    }
    if (object == null || (object.isPrivate() && role != Role.NORMAL)) {
      throw new Refusal(CKR_OBJECT_HANDLE_INVALID, "object " + handle);
    }
    return object;
  }

  /** From before a restart of the agent, or from another application: the stores know. */
  private @Nullable CkObject remembered(long handle, Role role) {
    WouldWait.unlessElsewhere();
    synchronized (missLock) {
      // Read by another session of the application meanwhile, perhaps.
      var object = objects.get(handle);
      long begin = System.nanoTime();
      if (object != null || begin - looksAgainAt < 0) {
        return object;
      }
      refresh(role);
      object = objects.get(handle);
      if (object == null) {
        long end = System.nanoTime();
        looksAgainAt = end + Math.max(MISSED, SHARE * (end - begin));
      }
      return object;
    }
  }

  /** Whether {@link #get} has its answer without a store. */
  boolean knows(long handle) {
    return handle < TOKEN_HANDLES || objects.containsKey(handle);
  }

  /** Handles of what matches and is seen, session objects first. */
  List<Long> find(Attributes template, Role role) {
    var found = new ArrayList<Long>();
    for (var object : objects.values()) {
      if (object.stored().isEmpty()
          && (!object.isPrivate() || role == Role.NORMAL)
          && object.attributes().match(template)) {
        found.add(object.handle());
      }
    }
    found.sort(null);
    boolean onlySessionObjects = template.has(CKA_TOKEN) && !template.isTrue(CKA_TOKEN);
    if (!onlySessionObjects) {
      // Where an object is says both, also of one that another client stored without them.
      var rest = template.without(CKA_TOKEN).without(CKA_PRIVATE);
      for (boolean isPrivate : stores(role)) {
        if (template.has(CKA_PRIVATE) && template.isTrue(CKA_PRIVATE) != isPrivate) {
          continue;
        }
        for (var object : slot.stored(() -> store(isPrivate).find(rest))) {
          found.add(known(object, isPrivate).handle());
        }
      }
    }
    return found;
  }

  private void refresh(Role role) {
    for (boolean isPrivate : stores(role)) {
      for (var object : slot.stored(() -> store(isPrivate).find(Attributes.empty()))) {
        known(object, isPrivate);
      }
    }
  }

  /** A token object as its store has it now; as it is known where it is no longer there. */
  CkObject reread(CkObject object) {
    var place = object.stored();
    if (place.isEmpty()) {
      return object;
    }
    boolean isPrivate = place.get().inPrivateStore();
    return slot.stored(() -> store(isPrivate).read(place.get().id()))
        .map(now -> known(now, isPrivate))
        .orElse(object);
  }

  /**
   * Work with a key, by whichever of its blobs the gateway opens. An application may hold a handle
   * through rotations of master keys, after which the blob that was read first opens no more; and a
   * gateway that is a moment behind opens the older of two. So the key's other blobs are tried,
   * those of its present record last.
   */
  <T> T opened(CkObject key, Function<KeyBlob, T> work) {
    try {
      return work.apply(key.key());
    } catch (Refusal e) {
      if (e.returnValue() != CKR_IBM_WKID_MISMATCH) {
        throw e;
      }
      byte[] tried = key.blobs().get(0);
      var others = Stream.concat(key.blobs().stream(), reread(key).blobs().stream());
      for (byte[] blob : others.filter(other -> !Arrays.equals(other, tried)).toList()) {
        try {
          return work.apply(key.key(blob));
        } catch (Refusal again) {
          if (again.returnValue() != CKR_IBM_WKID_MISMATCH) {
            throw again;
          }
        }
      }
      throw e;
    }
  }

  /** Changes attributes and, for a key, the blob that holds them. */
  CkObject update(CkObject object, Attributes attributes, List<byte[]> blobs) {
    var place = object.stored();
    if (place.isEmpty()) {
      return updateSessionObject(object, object.with(attributes, blobs));
    }
    var changed =
        object.with(
            slot.stored(() ->
                store(place.get().inPrivateStore())
                    .update(place.get().id(), place.get().version(), attributes, blobs)),
            place.get().inPrivateStore());
    objects.put(object.handle(), changed);
    return changed;
  }

  private CkObject updateSessionObject(CkObject object, CkObject changed) {
    takeRoom(0, changed.size() - object.size());
    if (!objects.replace(object.handle(), object, changed)) {
      takeRoom(0, object.size() - changed.size());
      long returnValue =
          objects.containsKey(object.handle())
              ? CKR_IBM_GREP11_CONFLICT
              : CKR_OBJECT_HANDLE_INVALID;
      throw new Refusal(returnValue, "object " + object.handle() + " was changed meanwhile");
    }
    return changed;
  }

  /** For so many more session objects and bytes; negative numbers give room back. */
  private void takeRoom(int more, long moreBytes) {
    synchronized (roomLock) {
      boolean grows = more > 0 || moreBytes > 0;
      if (grows && (count + more > MOST_OBJECTS || bytes + moreBytes > MOST_BYTES)) {
        throw new Refusal(
            CKR_DEVICE_MEMORY,
            "an application has at most %d session objects and %d bytes of them"
                .formatted(MOST_OBJECTS, MOST_BYTES));
      }
      count += more;
      bytes += moreBytes;
    }
  }

  /** Exactly once for each session object, whoever removes it. */
  private void forget(CkObject object) {
    var removed = objects.remove(object.handle());
    if (removed != null && removed.stored().isEmpty()) {
      takeRoom(-1, -removed.size());
    }
  }

  void remove(CkObject object) {
    object
        .stored()
        .ifPresent(place ->
            slot.stored(() -> {
              store(place.inPrivateStore()).delete(place.id());
              return place;
            }));
    forget(object);
  }

  /** Session objects die with their session. */
  void endOfSession(long session) {
    for (var object : objects.values()) {
      if (object.stored().isEmpty() && object.session() == session) {
        forget(object);
      }
    }
  }

  /** Who logged in sees more: a handle that named nothing before may be one of theirs. */
  void beginOfLogin() {
    synchronized (missLock) {
      looksAgainAt = System.nanoTime();
    }
  }

  /** Private objects are gone with the login (PKCS #11 v2.40, C_Logout). */
  void endOfLogin() {
    for (var object : objects.values()) {
      if (object.isPrivate()) {
        forget(object);
      }
    }
  }

  private CkObject known(StoredObject object, boolean isPrivate) {
    long handle = handle(object.id());
    return objects.compute(
        handle,
        (ignored, before) -> {
          var stored = new CkObject.Stored(object.id(), object.version(), isPrivate);
          // A rotation of master keys brings other blobs in the same version.
          return before != null
                  && before.stored().equals(Optional.of(stored))
                  && before.hasBlobs(object.blobs())
              ? before
              : new CkObject(
                  handle,
                  slot.number(),
                  0,
                  Optional.of(stored),
                  ObjectTemplates.withDefaults(
                      object.attributes().with(CKA_TOKEN, true).with(CKA_PRIVATE, isPrivate),
                      isPrivate),
                  object.blobs());
        });
  }

  private static long handle(UUID id) {
    return TOKEN_HANDLES | ((id.getMostSignificantBits() ^ id.getLeastSignificantBits()) >>> 2);
  }

  private static List<Boolean> stores(Role role) {
    return role == Role.NORMAL ? List.of(true, false) : List.of(false);
  }

  private Store store(boolean isPrivate) {
    return slot.store(isPrivate, user);
  }
}
