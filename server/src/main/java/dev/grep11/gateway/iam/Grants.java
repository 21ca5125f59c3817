package dev.grep11.gateway.iam;

import dev.grep11.gateway.store.ApiKeyRecord;
import dev.grep11.gateway.store.Grant;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.Snapshot;
import dev.grep11.gateway.store.StoreFollower;
import dev.grep11.gateway.store.Subject;
import java.security.MessageDigest;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;

/**
 * Decides what callers may do, from verified state of the store held in memory. Without state
 * within its lease everything is refused. No decision waits or touches the database. Safe for use
 * by several threads.
 */
public final class Grants {
  /** Beyond it rights are worked out for each call: more askers than tokens are remembered. */
  private static final int MAX_KNOWN = 20_000;

  private static final String KEYSTORE = "keystore:";
  private static final String KEY_OF = "key:";

  /** The resource of a request about some keystore, as long as it is not known which. */
  static final String SOME_KEYSTORE = KEYSTORE + "*";

  /** The same of a request about keys of some keystore. */
  static final String SOME_KEY = KEY_OF + "*";

  private final StoreFollower follower;
  private final Roles roles;
  private volatile State state = State.of(Snapshot.EMPTY);

  /**
   * What is asked on every call, so that its answer is worked out once.
   *
   * @param roles of the token
   */
  private record Question(
      Subject subject, UUID instance, Set<String> roles, Optional<String> resource) {}

  /**
   * @param joinSeparateDuties whether nobody may hold them together (security rules 6.2)
   */
  private record Rights(Set<String> actions, boolean joinSeparateDuties) {}

  /**
   * @param rights found so far, of those who have any; they go with the state they were found in
   */
  private record State(
      long generation,
      Set<UUID> instances,
      Map<Subject, List<Grant>> grants,
      Map<UUID, ApiKeyRecord> apiKeys,
      Map<Question, Rights> rights) {
    static State of(Snapshot snapshot) {
      Map<UUID, ApiKeyRecord> apiKeys = new HashMap<>();
      // One that is disabled opens nothing, as if it were not there; nor do its tokens.
      snapshot.apiKeys().stream()
          .filter(apiKey -> apiKey.disabled().isEmpty())
          .forEach(apiKey -> apiKeys.put(apiKey.id(), apiKey));
      return new State(
          snapshot.generation(),
          snapshot.instances().stream()
              .map(InstanceRecord::id)
              .collect(Collectors.toUnmodifiableSet()),
          snapshot.grants().stream().collect(Collectors.groupingBy(Grant::subject)),
          apiKeys,
          new ConcurrentHashMap<>());
    }
  }

  public Grants(StoreFollower follower, Roles roles) {
    this.follower = follower;
    this.roles = roles;
    follower.onChange(snapshot -> state = State.of(snapshot));
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
   * @param resource {@code key}, {@code keystore}, or as {@link #keystore} and its like say: grants
   *     limited to it count too
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
            Decision.Reason.API_KEY_DELETED,
            "API key " + token.apiKey().get() + " was deleted, or is disabled");
      }
    }
    Rights rights = rights(now, new Question(subject, instance, token.roles(), resource));
    if (rights.actions().isEmpty()) {
      return new Decision.Denied(Decision.Reason.NO_GRANT, "no grant in instance " + instance);
    }
    if (rights.joinSeparateDuties()) {
      return new Decision.Denied(
          Decision.Reason.SEPARATION_OF_DUTIES, "both manages certificates and uses keys");
    }
    if (!rights.actions().containsAll(actions)) {
      Set<String> missing = new TreeSet<>(actions);
      missing.removeAll(rights.actions());
      return new Decision.Denied(
          Decision.Reason.MISSING_ACTION, "not granted: " + String.join(", ", missing));
    }
    return new Decision.Allowed(
        new Caller(
            subject,
            token.name(),
            instance,
            rights.actions(),
            token.expires(),
            token.certificateThumbprint(),
            now.generation()));
  }

  private Rights rights(State now, Question question) {
    Rights known = now.rights().get(question);
    if (known != null) {
      return known;
    }
    Set<String> granted = new HashSet<>();
    if (now.instances().contains(question.instance())) {
      for (Grant grant : now.grants().getOrDefault(question.subject(), List.of())) {
        if (grant.instance().equals(question.instance())
            && covers(grant.resource(), question.resource())) {
          granted.addAll(roles.actions(grant.entitlement()));
        }
      }
      // The verifier lets roles through only where they count, in the instance that the token
      // names.
      question.roles().forEach(role -> granted.addAll(roles.actions(role)));
    }
    Rights found = new Rights(Set.copyOf(granted), Actions.joinSeparateDuties(granted));
    // Nobody without a grant takes up memory, however many instances they ask for; and nobody with
    // one, however many keystores.
    if (!granted.isEmpty() && question.resource().isEmpty() && now.rights().size() < MAX_KNOWN) {
      now.rights().put(question, found);
    }
    return found;
  }

  /**
   * Whether a grant with this limit counts for a request about this resource. One on all keystores
   * covers each and its keys; one on keys covers those of every keystore (pkcs11-client.md, 8).
   */
  private static boolean covers(Optional<String> limit, Optional<String> resource) {
    if (limit.isEmpty() || resource.isEmpty()) {
      return limit.isEmpty();
    }
    String of = resource.get();
    boolean isKey = of.startsWith(KEY_OF);
    boolean isKeystore = of.startsWith(KEYSTORE);
    return switch (limit.get()) {
      case "key" -> isKey || of.equals("key");
      case "keystore" -> isKey || isKeystore || of.equals("keystore");
      default ->
          of.equals(limit.get())
              || of.equals(SOME_KEYSTORE)
              || of.equals(SOME_KEY)
              || (isKey && limit.get().equals(KEYSTORE + of.substring(KEY_OF.length())));
    };
  }

  /** The resource of a request about a keystore. */
  static String keystore(UUID id) {
    return KEYSTORE + id;
  }

  /** The resource of a request about keys of a keystore. */
  static String keyOf(UUID keystore) {
    return KEY_OF + keystore;
  }

  /**
   * The API key with this SHA-256. All keys are compared, each in constant time. A key that is
   * unknown so far is looked for in the store, if that has moved; so this may wait for the
   * database.
   */
  Optional<ApiKeyRecord> apiKey(byte[] hash) {
    Optional<ApiKeyRecord> known = knownApiKey(hash);
    if (known.isEmpty()) {
      follower.refreshQuietly();
      known = knownApiKey(hash);
    }
    return known;
  }

  /** As {@link #apiKey}, and by what is in memory alone: it never waits. */
  Optional<ApiKeyRecord> knownApiKey(byte[] hash) {
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
    // Two reads: the state may be newer than what was confirmed, never older.
    return follower.current().map(_ -> state);
  }
}
