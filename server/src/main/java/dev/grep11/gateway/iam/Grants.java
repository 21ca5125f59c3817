package dev.grep11.gateway.iam;

import dev.grep11.gateway.store.ApiKeyRecord;
import dev.grep11.gateway.store.Grant;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.Snapshot;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.StoreException;
import dev.grep11.gateway.store.StoreTamperedException;
import dev.grep11.gateway.store.Subject;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.LongSupplier;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Decides what callers may do, from verified state of the store held in memory.
 *
 * <p>A thread looks at the store's generation every few seconds and reads everything again when it
 * has moved. State that could not be confirmed for as long as the lease refuses everything; a store
 * that was tampered with does so at once. No decision waits or touches the database. Safe for use
 * by several threads.
 */
public final class Grants implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(Grants.class);

  /**
   * How often everything is read and verified, moved or not, so that tampering is reported soon.
   */
  private static final Duration FULL_READ = Duration.ofSeconds(30);

  private final Store store;
  private final Roles roles;
  private final GrantsSettings settings;
  private final LongSupplier nanoClock;
  private final ReentrantLock refreshing = new ReentrantLock();
  private final Thread poller;
  private volatile @Nullable State state;
  private volatile boolean closed;
  private volatile String trouble = "";

  /**
   * @param readAt when the rows were read
   * @param confirmedAt when the store was last seen to be at this generation
   */
  private record State(
      long generation,
      Set<UUID> instances,
      Map<Subject, List<Grant>> grants,
      Map<UUID, ApiKeyRecord> apiKeys,
      long readAt,
      long confirmedAt) {
    State confirmed(long at) {
      return new State(generation, instances, grants, apiKeys, readAt, at);
    }
  }

  /**
   * Reads the store and begins to follow it.
   *
   * @throws StoreException when it cannot be read now
   */
  public static Grants follow(Store store, Roles roles, GrantsSettings settings) {
    return new Grants(store, roles, settings, System::nanoTime);
  }

  Grants(Store store, Roles roles, GrantsSettings settings, LongSupplier nanoClock) {
    this.store = store;
    this.roles = roles;
    this.settings = settings;
    this.nanoClock = nanoClock;
    refresh();
    poller = Thread.ofPlatform().daemon().name("grants-poller").start(this::poll);
  }

  /**
   * What a token's subject may do in an instance, for a request that concerns no particular
   * resource.
   */
  public Decision authorize(VerifiedToken token, UUID instance, Set<String> actions) {
    return authorize(token, instance, actions, Optional.empty());
  }

  /**
   * What a token's subject may do in an instance.
   *
   * @param actions all of them are needed
   * @param resource {@code key}, {@code keystore}, or {@code keystore:<UUID>}: grants limited to it
   *     count too
   */
  public Decision authorize(
      VerifiedToken token, UUID instance, Set<String> actions, Optional<String> resource) {
    Optional<State> current = current();
    if (current.isEmpty()) {
      return new Decision.Denied(
          Decision.Reason.GRANTS_UNAVAILABLE, "the grants could not be confirmed within the lease");
    }
    State now = current.get();
    Subject subject = token.subject();
    if (token.instance().isPresent() && !token.instance().get().equals(instance)) {
      return new Decision.Denied(
          Decision.Reason.TOKEN, "the token is for instance " + token.instance().get());
    }
    if (token.apiKey().isPresent()) {
      ApiKeyRecord apiKey = now.apiKeys().get(token.apiKey().get());
      if (apiKey == null || !apiKey.subject().equals(subject)) {
        return new Decision.Denied(
            Decision.Reason.API_KEY_DELETED, "API key " + token.apiKey().get() + " was deleted");
      }
    }
    Set<String> granted = new TreeSet<>();
    if (now.instances().contains(instance)) {
      for (Grant grant : now.grants().getOrDefault(subject, List.of())) {
        if (grant.instance().equals(instance) && covers(grant.resource(), resource)) {
          granted.addAll(roles.actions(grant.entitlement()));
        }
      }
      // The verifier lets roles through only where they count, in the instance that the token
      // names.
      token.roles().forEach(role -> granted.addAll(roles.actions(role)));
    }
    if (granted.isEmpty()) {
      return new Decision.Denied(Decision.Reason.NO_GRANT, "no grant in instance " + instance);
    }
    if (Actions.joinSeparateDuties(granted)) {
      return new Decision.Denied(
          Decision.Reason.SEPARATION_OF_DUTIES, "both manages certificates and uses keys");
    }
    if (!granted.containsAll(actions)) {
      Set<String> missing = new TreeSet<>(actions);
      missing.removeAll(granted);
      return new Decision.Denied(
          Decision.Reason.MISSING_ACTION, "not granted: " + String.join(", ", missing));
    }
    return new Decision.Allowed(
        new Caller(
            subject,
            token.name(),
            instance,
            Set.copyOf(granted),
            token.expires(),
            token.certificateThumbprint(),
            now.generation()));
  }

  /** A grant on all keystores covers each. */
  private static boolean covers(Optional<String> limit, Optional<String> resource) {
    return limit.isEmpty()
        || limit.equals(resource)
        || (limit.get().equals("keystore")
            && resource.filter(name -> name.startsWith("keystore:")).isPresent());
  }

  /**
   * The API key with this SHA-256. All keys are compared, each in constant time. A key that is
   * unknown so far is looked for in the store, if that has moved; so this may wait for the
   * database.
   */
  Optional<ApiKeyRecord> apiKey(byte[] hash) {
    Optional<ApiKeyRecord> known = knownApiKey(hash);
    if (known.isEmpty()) {
      refreshQuietly();
      known = knownApiKey(hash);
    }
    return known;
  }

  private Optional<ApiKeyRecord> knownApiKey(byte[] hash) {
    ApiKeyRecord found = null;
    for (ApiKeyRecord apiKey : current().map(State::apiKeys).orElse(Map.of()).values()) {
      if (MessageDigest.isEqual(apiKey.hash(), hash)) {
        found = apiKey;
      }
    }
    return Optional.ofNullable(found);
  }

  /** Whether there is state within the lease; without it every call is refused. */
  public boolean available() {
    return current().isPresent();
  }

  private Optional<State> current() {
    return Optional.ofNullable(state)
        .filter(now -> nanoClock.getAsLong() - now.confirmedAt() < settings.lease().toNanos());
  }

  /**
   * Follows the store now instead of at the next poll.
   *
   * @throws StoreException when it cannot be read; what is in memory then lasts until the end of
   *     its lease, or, if the store was tampered with, no longer
   */
  public void refresh() {
    refreshing.lock();
    try {
      // The lease counts from before the read: what is committed meanwhile may not be in it.
      long begin = nanoClock.getAsLong();
      State now = state;
      boolean due = now == null || begin - now.readAt() >= FULL_READ.toNanos();
      if (!due && now != null && store.generation() == now.generation()) {
        state = now.confirmed(begin);
      } else {
        state = read(store.snapshot(), begin);
      }
    } catch (StoreTamperedException e) {
      state = null;
      throw e;
    } finally {
      refreshing.unlock();
    }
  }

  private static State read(Snapshot snapshot, long at) {
    Map<UUID, ApiKeyRecord> apiKeys = new HashMap<>();
    snapshot.apiKeys().forEach(apiKey -> apiKeys.put(apiKey.id(), apiKey));
    return new State(
        snapshot.generation(),
        snapshot.instances().stream()
            .map(InstanceRecord::id)
            .collect(Collectors.toUnmodifiableSet()),
        snapshot.grants().stream().collect(Collectors.groupingBy(Grant::subject)),
        apiKeys,
        at,
        at);
  }

  private void refreshQuietly() {
    try {
      refresh();
      trouble = "";
    } catch (StoreException e) {
      // Once, not at every poll.
      if (!trouble.equals(e.getMessage())) {
        trouble = String.valueOf(e.getMessage());
        log.error(
            e instanceof StoreTamperedException
                ? "every call is refused: {}"
                : "the grants cannot be confirmed, calls are refused when the lease ends: {}",
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
        log.error("the grants cannot be confirmed", e);
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
