package dev.grep11.gateway.key;

import dev.grep11.gateway.hsm.Epoch;
import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.Session;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.HsmUnavailableException;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The sealing keys of every instance, as handles of the current HSM epoch, and how often each
 * generation is used. Somebody who follows the store says which generations live, and for how long
 * that may be believed; later every call is refused. Thread-safe; a lookup that finds its keys not
 * yet loaded in this epoch loads them in the calling thread's session.
 */
public final class Keyring {

  /**
   * The generations of one instance that open blobs.
   *
   * @param active seals
   * @param next will seal once it is activated
   * @param nextOpensEverywhere whether every gateway has shown that it opens the next one, so that
   *     blobs may be re-wrapped under it
   * @param previous open only
   * @param closed those that open nothing, by their master-key ids in hexadecimal
   * @param constantRoot CKA_ID of the key that answers are drawn from which must stay the same when
   *     the master key changes: the derivation root of the instance's first generation
   */
  public record Generations(
      SealingKeyIds active,
      Optional<SealingKeyIds> next,
      boolean nextOpensEverywhere,
      List<SealingKeyIds> previous,
      Map<String, Closed> closed,
      byte[] constantRoot) {
    public Generations {
      previous = List.copyOf(previous);
      closed = Map.copyOf(closed);
    }

    /** The first one seals, the others open. */
    public Generations(List<SealingKeyIds> ids) {
      this(
          ids.getFirst(),
          Optional.empty(),
          false,
          ids.subList(1, ids.size()),
          Map.of(),
          ids.getFirst().root());
    }

    private Stream<SealingKeyIds> all() {
      return Stream.concat(Stream.concat(Stream.of(active), next.stream()), previous.stream());
    }

    private Optional<SealingKeyIds> find(byte[] masterKeyId) {
      // Without a stream: this is on the path of every call that opens a state.
      if (is(active, masterKeyId)) {
        return Optional.of(active);
      }
      if (next.isPresent() && is(next.get(), masterKeyId)) {
        return next;
      }
      for (var each : previous) {
        if (is(each, masterKeyId)) {
          return Optional.of(each);
        }
      }
      return Optional.empty();
    }

    private boolean isNext(SealingKeys keys) {
      return next.isPresent() && is(next.get(), keys.masterKeyId());
    }

    private static boolean is(SealingKeyIds ids, byte[] masterKeyId) {
      return Arrays.equals(ids.masterKeyId(), masterKeyId);
    }
  }

  /** Why a generation opens nothing. */
  public enum Closed {
    RETIRED,
    DESTROYED
  }

  /** Names a generation of an instance. */
  public record GenerationName(UUID instance, ByteBuffer masterKeyId) {
    public GenerationName(UUID instance, byte[] masterKeyId) {
      this(instance, ByteBuffer.wrap(masterKeyId.clone()).asReadOnlyBuffer());
    }
  }

  private record Loaded(
      Epoch epoch, Map<GenerationName, SealingKeys> keys, Map<GenerationName, Long> roots) {}

  /** What lives, with a counter of uses for each generation. */
  private record Living(Map<UUID, Generations> instances, Map<GenerationName, LongAdder> uses) {}

  private static final String FIRST_ROOT = "first derivation root";

  private final Hsm hsm;
  private final BooleanSupplier lease;
  private volatile Living living = new Living(Map.of(), Map.of());
  // Counters outlive their generation, so that no use is lost when it is retired.
  private final Map<GenerationName, LongAdder> uses = new ConcurrentHashMap<>();
  private volatile @Nullable Loaded loaded;

  /** A keyring that stays as it is. */
  public Keyring(Hsm hsm, Map<UUID, Generations> instances) {
    this(hsm, () -> true);
    replace(instances);
  }

  /**
   * A keyring that is empty until it is told what lives.
   *
   * @param lease whether what it was told may be believed; calls are refused while not
   */
  public static Keyring leased(Hsm hsm, BooleanSupplier lease) {
    return new Keyring(hsm, lease);
  }

  private Keyring(Hsm hsm, BooleanSupplier lease) {
    this.hsm = hsm;
    this.lease = lease;
  }

  /** What lives from now on. Handles of generations that do not are forgotten. */
  public void replace(Map<UUID, Generations> instances) {
    var counters = new HashMap<GenerationName, LongAdder>();
    instances.forEach((instance, generations) ->
        generations
            .all()
            .forEach(ids -> {
              var name = new GenerationName(instance, ids.masterKeyId());
              counters.put(name, uses.computeIfAbsent(name, _ -> new LongAdder()));
            }));
    living = new Living(Map.copyOf(instances), Map.copyOf(counters));
    var current = loaded;
    if (current != null) {
      current.keys().keySet().retainAll(counters.keySet());
    }
  }

  /** Whether the lease lasts. */
  public boolean available() {
    return lease.getAsBoolean();
  }

  /**
   * Finds every key of every generation, so that a gateway with a missing one does not start.
   *
   * @throws SealingKeyException naming the key
   */
  public void loadAll() {
    living
        .instances()
        .forEach((instance, generations) -> {
          generations.all().forEach(ids -> load(instance, ids));
          constantRoot(instance, generations);
        });
  }

  /**
   * Shows that this gateway opens a generation, before it is told to: finds its keys, and makes a
   * MAC with one.
   *
   * @throws SealingKeyException naming the key that is missing
   */
  public static void requireOpens(Session session, UUID instance, SealingKeyIds ids) {
    KeySealer.requireWorks(session, SealingKeys.load(session, instance, ids));
  }

  /**
   * Shows that the key is there which answers are drawn from that must stay the same.
   *
   * @param root its CKA_ID
   * @throws SealingKeyException when it is missing
   */
  public static void requireConstantRoot(Session session, UUID instance, byte[] root) {
    var _ = SealingKeys.find(session, instance, FIRST_ROOT, root);
  }

  /** The uses of each generation since the last call of this. */
  public Map<GenerationName, Long> takeUses() {
    var taken = new HashMap<GenerationName, Long>();
    uses.forEach((name, counter) -> {
      long count = counter.sumThenReset();
      if (count > 0) {
        taken.put(name, count);
      }
    });
    return taken;
  }

  /** The keys that seal new blobs; counts as a use. */
  SealingKeys active(UUID instance) {
    return toSeal(instance, Generations::active);
  }

  /**
   * Chosen again when what lives has changed meanwhile. So whoever replaces what lives, and then
   * takes the uses, has every use by a choice that was made before.
   */
  @SuppressWarnings("ReferenceEquality") // Whether it was replaced, by an equal one or not.
  private SealingKeys toSeal(UUID instance, Function<Generations, SealingKeyIds> choice) {
    while (true) {
      var before = living;
      var ids = choice.apply(generations(before, instance));
      var keys = load(instance, ids);
      var counter = before.uses().get(name(keys));
      if (counter != null) {
        counter.increment();
      }
      if (living == before) {
        return keys;
      }
    }
  }

  /**
   * The keys that a blob is sealed with again when its attributes change: a blob that was
   * re-wrapped under the next generation stays there. Counts as a use.
   */
  SealingKeys activeOrNewer(SealingKeys ofBlob) {
    return toSeal(
        ofBlob.instance(),
        generations ->
            generations
                .next()
                .filter(_ -> generations.isNext(ofBlob))
                .orElse(generations.active()));
  }

  /**
   * The keys of a newer generation than the blob's, which every gateway opens; counts as a use.
   *
   * @throws Pkcs11Exception CKR_IBM_WK_NOT_INITIALIZED when there is none; with retry when there
   *     soon will be
   */
  SealingKeys newer(SealingKeys ofBlob) {
    return toSeal(ofBlob.instance(), generations -> newer(generations, ofBlob));
  }

  private static SealingKeyIds newer(Generations generations, SealingKeys ofBlob) {
    boolean old = !generations.isNext(ofBlob);
    if (old && generations.next().isPresent() && generations.nextOpensEverywhere()) {
      return generations.next().get();
    }
    if (old && !Generations.is(generations.active(), ofBlob.masterKeyId())) {
      return generations.active();
    }
    if (!old) {
      throw new Pkcs11Exception(
          Ckr.CKR_IBM_WK_NOT_INITIALIZED,
          "the blob is under the newest master key already, the next one");
    }
    if (generations.next().isPresent()) {
      throw Pkcs11Exception.forNow(
          Ckr.CKR_IBM_WK_NOT_INITIALIZED,
          "there is a next master key, which not every gateway has shown to open yet");
    }
    throw new Pkcs11Exception(
        Ckr.CKR_IBM_WK_NOT_INITIALIZED,
        "there is no newer master key: the blob is under the one that seals, and there is no next"
            + " one");
  }

  /** HMAC key that stays when the master key changes. */
  long constantRoot(UUID instance) {
    return constantRoot(instance, generations(instance));
  }

  /**
   * The keys that a blob was sealed with; counts as a use. A blob of another instance gets the same
   * answer as one of an unknown or a retired master key; the audit tells them apart.
   */
  SealingKeys find(UUID instance, UUID ofBlob, byte[] masterKeyId) {
    if (instance.equals(ofBlob)) {
      var ids = generations(instance).find(masterKeyId);
      if (ids.isPresent()) {
        var keys = load(instance, ids.get());
        count(keys);
        return keys;
      }
    }
    throw mismatch(instance, ofBlob, masterKeyId);
  }

  /**
   * Counts the use of a working copy that was loaded earlier.
   *
   * @throws Pkcs11Exception CKR_IBM_WKID_MISMATCH when its generation lives no more
   */
  void use(SealingKeys keys) {
    requireLease();
    count(keys);
  }

  /**
   * Asked after something was sealed and before it is given away: a call may have waited for the
   * token since it chose the keys.
   *
   * @throws HsmUnavailableException when nothing says that it would open; the call may be repeated
   */
  void requireStillOpens(SealingKeys keys) {
    requireLease();
    if (!lives(keys)) {
      throw new HsmUnavailableException(
          "the master key was retired while the call sealed under it");
    }
  }

  /** Whether blobs of this generation open. */
  boolean lives(SealingKeys keys) {
    return living.uses().containsKey(name(keys));
  }

  private void count(SealingKeys keys) {
    var counter = living.uses().get(name(keys));
    if (counter == null) {
      throw mismatch(keys.instance(), keys.instance(), keys.masterKeyId());
    }
    counter.increment();
  }

  private static GenerationName name(SealingKeys keys) {
    return new GenerationName(keys.instance(), ByteBuffer.wrap(keys.masterKeyId()));
  }

  /** What a blob or a state says of itself is not authenticated here, and only the audit's. */
  private Pkcs11Exception mismatch(UUID instance, UUID ofBlob, byte[] masterKeyId) {
    return Pkcs11Exception.recorded(
        Ckr.CKR_IBM_WKID_MISMATCH,
        "not sealed under a master key that is in use here",
        instance.equals(ofBlob)
            ? "it names master key " + standing(instance, HexFormat.of().formatHex(masterKeyId))
            : "it names instance " + ofBlob);
  }

  private String standing(UUID instance, String masterKey) {
    var generations = living.instances().get(instance);
    var closed = generations == null ? null : generations.closed().get(masterKey);
    return masterKey
        + switch (closed) {
          case null -> " of this instance, which does not have it";
          case RETIRED ->
              " of this instance, which is retired (grep11 masterkey reinstate undoes it)";
          case DESTROYED -> " of this instance, whose keys were destroyed";
        };
  }

  private void requireLease() {
    if (!available()) {
      throw new HsmUnavailableException("the sealing keys could not be confirmed within the lease");
    }
  }

  private Generations generations(UUID instance) {
    return generations(living, instance);
  }

  private Generations generations(Living living, UUID instance) {
    requireLease();
    var generations = living.instances().get(instance);
    if (generations == null) {
      throw new Pkcs11Exception(Ckr.CKR_IBM_WK_NOT_INITIALIZED, "unknown instance");
    }
    return generations;
  }

  private long constantRoot(UUID instance, Generations generations) {
    var session = hsm.session();
    var roots = loaded(session).roots();
    var name = new GenerationName(instance, generations.constantRoot());
    var root = roots.get(name);
    if (root == null) {
      root = SealingKeys.find(session, instance, FIRST_ROOT, generations.constantRoot());
      roots.put(name, root);
    }
    return root;
  }

  private SealingKeys load(UUID instance, SealingKeyIds ids) {
    var session = hsm.session();
    var current = loaded(session);
    var name = new GenerationName(instance, ByteBuffer.wrap(ids.masterKeyId()));
    var keys = current.keys().get(name);
    if (keys == null) {
      keys = SealingKeys.load(session, instance, ids);
      current.keys().put(name, keys);
    }
    return keys;
  }

  private Loaded loaded(Session session) {
    var current = loaded;
    if (current == null || current.epoch() != session.epoch()) {
      current = new Loaded(session.epoch(), new ConcurrentHashMap<>(), new ConcurrentHashMap<>());
      loaded = current;
    }
    return current;
  }
}
