package dev.grep11.gateway.key;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import com.github.benmanes.caffeine.cache.Scheduler;
import dev.grep11.gateway.hsm.Epoch;
import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.Session;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.HsmUnavailableException;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Working copies of keys in the token, by blob. Unwrapping costs ten times a signature, so a blob
 * is opened once and kept: per instance, bounded in number, under instance and SHA-256 of the whole
 * blob. A hit therefore is a MAC check, and no instance can push out another's keys.
 *
 * <p>Thread-safe. Objects belong to the token's holder session and to one epoch.
 */
public final class Keys {
  // So many given-up objects are destroyed with each load: one in, at most these out.
  private static final int DESTROYED_PER_LOAD = 8;

  private record Entry(BlobDigest blob, KeyForm form) {}

  private final Hsm hsm;
  private final KeySealer sealer;
  private final int entriesPerInstance;
  private final Map<UUID, Cache<Entry, WorkingKey>> caches = new ConcurrentHashMap<>();
  private final Queue<WorkingKey> givenUp = new ConcurrentLinkedQueue<>();
  private final AtomicInteger givenUpCount = new AtomicInteger();
  private final AtomicLong loads = new AtomicLong();
  private volatile Epoch watched;

  public Keys(Hsm hsm, KeySealer sealer, int entriesPerInstance) {
    this.hsm = hsm;
    this.sealer = sealer;
    this.entriesPerInstance = entriesPerInstance;
    this.watched = hsm.epoch();
    watch(watched);
  }

  /**
   * Lends the working copy of a key; the caller closes it.
   *
   * @throws Pkcs11Exception as {@link KeySealer#open}
   */
  public WorkingKey borrow(UUID instance, byte[] blob, KeyForm form) {
    if (form == KeyForm.EXPORT) {
      throw new IllegalArgumentException("extractable copies are never cached");
    }
    SealedKey.requireLength(blob);
    var digest =
        BlobDigest.of(blob)
            .orElseThrow(() -> new Pkcs11Exception(Ckr.CKR_IBM_BLOB_ERROR, "empty blob"));
    var cache = cacheOf(instance);
    var entry = new Entry(digest, form);
    // A second round is needed only when eviction or the end of an epoch comes in between.
    for (int round = 0; round < 100; round++) {
      var epoch = hsm.session().epoch();
      // Null when the key is not there yet: opening its blob then counts as the use.
      var present = cache.getIfPresent(entry);
      var key = present != null ? present : cache.get(entry, ignored -> load(instance, blob, form));
      if (present != null) {
        sealer.requireLiving(present);
      }
      if (key.epoch() != epoch || !epoch.live()) {
        cache.asMap().remove(entry, key);
        if (!epoch.live()) {
          throw new HsmUnavailableException("the token was lost");
        }
      } else if (key.borrow()) {
        return key;
      }
    }
    throw new HsmUnavailableException("keys are evicted faster than they are used");
  }

  /**
   * Forgets the keys of generations that live no more, and destroys in the token what nobody uses.
   * May be called from any thread; a copy in use is destroyed by a later call.
   */
  public void purge() {
    caches.values().forEach(cache -> cache.asMap().values().removeIf(key -> !sealer.lives(key)));
    if (givenUpCount.get() > 0) {
      hsm.withHolder(holder -> {
        destroyGivenUp(holder, Integer.MAX_VALUE);
        return true;
      });
    }
  }

  /** Whether a call with this blob finds its key loaded, so that it will be cheap. */
  public boolean isLoaded(UUID instance, BlobDigest blob, KeyForm form) {
    return attributesIfLoaded(instance, blob, form).isPresent();
  }

  /** The attributes of a key that is loaded. */
  public Optional<Template> attributesIfLoaded(UUID instance, BlobDigest blob, KeyForm form) {
    return Optional.ofNullable(cacheOf(instance).getIfPresent(new Entry(blob, form)))
        .map(WorkingKey::attributes);
  }

  /** Keys loaded since the start, for metrics and tests. */
  public long loads() {
    return loads.get();
  }

  /** Working copies in the token now, borrowed ones and those still to be destroyed included. */
  public long size() {
    return caches.values().stream().mapToLong(Cache::estimatedSize).sum() + givenUpCount.get();
  }

  private WorkingKey load(UUID instance, byte[] blob, KeyForm form) {
    var opened = sealer.open(instance, blob);
    if (opened instanceof KeySealer.OpenedPublicKey && form == KeyForm.HMAC) {
      throw new Pkcs11Exception(Ckr.CKR_KEY_TYPE_INCONSISTENT, "a public key makes no MAC");
    }
    return hsm.withHolder(holder -> {
      if (holder.epoch() != watched) {
        watched = holder.epoch();
        watch(watched);
      }
      destroyGivenUp(holder, DESTROYED_PER_LOAD);
      loads.incrementAndGet();
      return new WorkingKey(
          sealer.load(holder, opened, form), opened, holder.epoch(), this::giveUp);
    });
  }

  private void destroyGivenUp(Session holder, int most) {
    for (int i = 0; i < most; i++) {
      var key = givenUp.poll();
      if (key == null) {
        break;
      }
      givenUpCount.decrementAndGet();
      if (key.epoch() == holder.epoch()) {
        holder.destroyObject(key.handle());
      }
    }
  }

  private void giveUp(WorkingKey key) {
    if (key.epoch().live()) {
      givenUp.add(key);
      givenUpCount.incrementAndGet();
    }
  }

  private Cache<Entry, WorkingKey> cacheOf(UUID instance) {
    var cache = caches.get(instance);
    return cache != null ? cache : caches.computeIfAbsent(instance, ignored -> newCache());
  }

  private Cache<Entry, WorkingKey> newCache() {
    return Caffeine.newBuilder()
        .maximumSize(entriesPerInstance)
        .executor(Runnable::run)
        .scheduler(Scheduler.disabledScheduler())
        .removalListener((entry, key, cause) -> {
          if (key instanceof WorkingKey working) {
            working.close();
          }
        })
        .build();
  }

  /** Handles of an ended epoch mean nothing: forget them before the next begins. */
  private void watch(Epoch epoch) {
    epoch.onEnd(() -> caches.values().forEach(Cache::invalidateAll));
  }
}
