package dev.grep11.gateway.keystore;

import static dev.grep11.gateway.pkcs11.Ckr.CKR_ARGUMENTS_BAD;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_ATTRIBUTE_SENSITIVE;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_ATTRIBUTE_TYPE_INVALID;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_ATTRIBUTE_VALUE_INVALID;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_DATA_LEN_RANGE;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_DEVICE_MEMORY;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_IBM_GREP11_CONFLICT;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_IBM_GREP11_DBINTERNAL;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_IBM_GREP11_MISSING;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_IBM_GREP11_REPLAY;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_TEMPLATE_INCOMPLETE;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_TEMPLATE_INCONSISTENT;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_USER_PIN_NOT_INITIALIZED;

import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.gateway.store.KeyRecord;
import dev.grep11.gateway.store.KeystoreRecord;
import dev.grep11.gateway.store.KeystoreTables;
import dev.grep11.gateway.store.PasswordEnvelope;
import dev.grep11.gateway.store.SealingKeyGeneration;
import dev.grep11.gateway.store.SealingKeyGeneration.State;
import dev.grep11.gateway.store.Searched;
import dev.grep11.gateway.store.Snapshot;
import dev.grep11.gateway.store.StoreException;
import dev.grep11.gateway.store.StoreTamperedException;
import dev.grep11.gateway.store.UncertainChangeException;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.UUID;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The keystores of instances (pkcs11-client.md, 4 and 9). Who may what is decided before; here are
 * the rules of keystores, keys and passwords. Calls wait for the database and the token. Safe for
 * use by several threads, and by several gateways on one store.
 */
public final class Keystores {
  public static final int MOST_KEYS = 20_000;
  public static final int MOST_WITH_PASSWORD = 5;
  public static final int MOST_KEYSTORES = 1_000;
  public static final int LONGEST_NAME = 32;
  public static final int MOST_BLOBS = 2;
  public static final int LONGEST_RECORD = 64 * 1024;
  public static final int LARGEST_PAGE = 500;
  public static final int USUAL_PAGE = 100;

  /** Bytes of a page, so that every client's limit on messages holds it: grpc's own is 4 MiB. */
  static final int LONGEST_PAGE = 1024 * 1024;

  /** Rows that one call looks through for attributes that are no column. */
  static final int MOST_EXAMINED = 2_000;

  private static final int BATCH = 200;

  /** Of a deletion: far more than the keys and transactions that a keystore can have need. */
  private static final int MOST_STEPS = 1_000;

  private static final Logger LOG = LoggerFactory.getLogger(Keystores.class);

  /**
   * Those of attribute certificates, which no header of ours names: AC_ISSUER, OWNER, ATTR_TYPES.
   */
  private static final Set<Long> MORE_ATTRIBUTES = Set.of(0x83L, 0x84L, 0x85L);

  /** They hold the key itself, which has no place outside of its blob. */
  private static final Set<Long> VALUES_OF_KEYS =
      Set.of(
          Cka.CKA_VALUE,
          Cka.CKA_PRIVATE_EXPONENT,
          Cka.CKA_PRIME_1,
          Cka.CKA_PRIME_2,
          Cka.CKA_EXPONENT_1,
          Cka.CKA_EXPONENT_2,
          Cka.CKA_COEFFICIENT);

  private final KeystoreTables tables;
  private final KeyBlobs blobs;
  private final Passwords passwords;
  private final Supplier<Optional<Snapshot>> current;
  private final InstantSource clock;

  /**
   * @param current the instances and their generations of sealing keys, as far as that is known
   */
  public Keystores(
      KeystoreTables tables,
      KeyBlobs blobs,
      Supplier<Optional<Snapshot>> current,
      InstantSource clock) {
    this.tables = tables;
    this.blobs = blobs;
    this.current = current;
    this.passwords = new Passwords(clock);
    this.clock = clock;
  }

  Passwords passwords() {
    return passwords;
  }

  Instant now() {
    return clock.instant();
  }

  // ---- Keystores

  /**
   * Makes an empty keystore.
   *
   * @param password empty for one without
   * @throws Pkcs11Exception CKR_IBM_GREP11_CONFLICT when the id is taken, CKR_DEVICE_MEMORY when
   *     there are too many
   */
  public Keystore create(UUID instance, UUID id, String name, byte[] password) {
    requireName(name);
    boolean guarded = password.length > 0;
    if (guarded) {
      // Before the password costs anything; what counts is asked again below.
      stored(() -> tables.read(instance, view -> requireRoom(view, id, guarded)));
    }
    var envelope =
        guarded ? Optional.of(sealedNewKey(password)) : Optional.<PasswordEnvelope>empty();
    var made = KeystoreRecord.empty(instance, id, name, clock.instant(), envelope);
    return stored(() ->
        tables.change(
            instance,
            change -> {
              var _ = requireRoom(change, id, guarded);
              if (!change.add(made)) {
                throw taken();
              }
              return shown(made);
            }));
  }

  private static boolean requireRoom(KeystoreTables.View view, UUID id, boolean guarded) {
    var others = view.keystores();
    if (others.stream().anyMatch(other -> other.id().equals(id))) {
      throw taken();
    }
    if (others.size() >= MOST_KEYSTORES) {
      throw full("more than %d keystores".formatted(MOST_KEYSTORES));
    }
    long guardedOnes = others.stream().filter(other -> other.password().isPresent()).count();
    if (guarded && guardedOnes >= MOST_WITH_PASSWORD) {
      throw full("more than %d keystores with a password".formatted(MOST_WITH_PASSWORD));
    }
    return true;
  }

  private static Pkcs11Exception taken() {
    return new Pkcs11Exception(CKR_IBM_GREP11_CONFLICT, "there is this keystore already");
  }

  private PasswordEnvelope sealedNewKey(byte[] password) {
    var key = Passwords.newKey();
    try {
      return passwords.envelope(key, password);
    } finally {
      Arrays.fill(key, (byte) 0);
    }
  }

  private static Pkcs11Exception full(String what) {
    return new Pkcs11Exception(CKR_DEVICE_MEMORY, what + " are not kept per instance");
  }

  /**
   * Removes a keystore with all its keys, in several steps where it has many: who stops in between,
   * or fails, which is then said, leaves a keystore with fewer keys.
   */
  public void delete(UUID instance, UUID id) {
    var keystore =
        stored(() -> tables.read(instance, view -> view.find(id).orElseThrow(Keystores::missing)));
    for (int step = 0; step < MOST_STEPS; step++) {
      boolean first = step == 0;
      boolean gone;
      try {
        gone =
            stored(() ->
                tables.change(
                    instance,
                    change -> {
                      var present = found(change, keystore);
                      if (present.isEmpty() && first) {
                        throw missing();
                      }
                      return present.map(change::remove).orElse(true);
                    }));
      } catch (Pkcs11Exception e) {
        if (first || !e.retry()) {
          throw e;
        }
        throw Pkcs11Exception.forNow(
            e.returnValue(), "some of its keys are gone, delete it again: " + e.detail());
      }
      if (gone) {
        passwords.forget(keystore);
        return;
      }
    }
    throw Pkcs11Exception.forNow(
        CKR_IBM_GREP11_DBINTERNAL, "more is stored in it while it is deleted; delete it again");
  }

  /** All of an instance. */
  public List<Keystore> all(UUID instance) {
    return stored(() ->
        tables.read(instance, view -> view.keystores().stream().map(Keystores::shown).toList()));
  }

  /** Whether there is one with this id. */
  public Optional<Keystore> find(UUID instance, UUID id) {
    return stored(() -> tables.read(instance, view -> view.find(id).map(Keystores::shown)));
  }

  /**
   * Gives a keystore another password; {@code access} has the old one. Its keys stay as they are:
   * what changes is what opens the keystore's own key.
   */
  public Keystore changePassword(Access access, byte[] newPassword) {
    var keystore = required(access);
    if (keystore.password().isEmpty()) {
      throw new Pkcs11Exception(
          CKR_USER_PIN_NOT_INITIALIZED, "this keystore has no password to be changed");
    }
    var key = passwords.key(keystore, access.caller(), access.password());
    try {
      var envelope = passwords.envelope(key, newPassword);
      return stored(() ->
          tables.change(
              access.instance(),
              change -> {
                var present = same(change, keystore);
                if (!Arrays.equals(
                    present.password().orElseThrow().salt(),
                    keystore.password().orElseThrow().salt())) {
                  throw new Pkcs11Exception(
                      CKR_IBM_GREP11_CONFLICT, "the password was changed at the same moment");
                }
                change.replace(present.with(envelope));
                passwords.forget(keystore);
                return shown(present);
              }));
    } finally {
      Arrays.fill(key, (byte) 0);
    }
  }

  private static Keystore shown(KeystoreRecord keystore) {
    return new Keystore(
        keystore.id(),
        keystore.name(),
        keystore.password().isPresent(),
        keystore.keys(),
        keystore.created());
  }

  private static void requireName(String name) {
    int length = name.codePointCount(0, name.length());
    if (name.isBlank()
        || length > LONGEST_NAME
        || name.codePoints().anyMatch(Character::isISOControl)) {
      throw new Pkcs11Exception(
          CKR_ARGUMENTS_BAD,
          "the name of a keystore has 1 to %d characters, none of them a control character"
              .formatted(LONGEST_NAME));
    }
  }

  // ---- Keys

  /**
   * Adds a key.
   *
   * @throws Pkcs11Exception CKR_IBM_GREP11_REPLAY when the transaction was carried out before,
   *     CKR_IBM_GREP11_CONFLICT when the id is taken, CKR_DEVICE_MEMORY beyond {@link #MOST_KEYS}
   */
  public StoredKey store(Access access, StoredKey key) {
    requireForm(key);
    if (key.version() != 0) {
      throw new Pkcs11Exception(CKR_ARGUMENTS_BAD, "a new key has version 0");
    }
    var keystore = required(access);
    try (var seal = new Seal(passwords.open(keystore, access.caller(), access.password()))) {
      var proven = proven(access, key);
      return stored(() ->
          tables.change(
              access.instance(),
              change -> {
                var present = same(change, keystore);
                requireFirst(change, present, key.transaction());
                long all = change.keystores().stream().mapToLong(KeystoreRecord::keys).sum();
                if (all >= MOST_KEYS) {
                  throw full("more than %,d keys".formatted(MOST_KEYS));
                }
                var record = seal.record(present, key, 0, proven);
                if (!change.add(present, record, seal.searched(key.attributes()))) {
                  throw new Pkcs11Exception(CKR_IBM_GREP11_CONFLICT, "there is this key already");
                }
                return shown(key, 0, proven);
              }));
    }
  }

  /**
   * Puts attributes and blobs in the place of those that a key has.
   *
   * @param key with the version that it was made from
   * @throws Pkcs11Exception CKR_IBM_GREP11_CONFLICT when that is not the present one
   */
  public StoredKey update(Access access, StoredKey key) {
    requireForm(key);
    var keystore = required(access);
    try (var seal = new Seal(passwords.open(keystore, access.caller(), access.password()))) {
      var proven = proven(access, key);
      return stored(() ->
          tables.change(
              access.instance(),
              change -> {
                var present = same(change, keystore);
                requireFirst(change, present, key.transaction());
                var before = change.key(present, key.id()).orElseThrow(Keystores::missingKey);
                requireVersion(before, key.version());
                long version = Math.addExact(before.version(), 1);
                var record = seal.record(present, key, version, proven);
                change.replace(present, record, seal.searched(key.attributes()));
                return shown(key, version, proven);
              }));
    }
  }

  /**
   * Removes a key.
   *
   * @param version empty for any
   */
  public void delete(Access access, UUID key, OptionalLong version) {
    var keystore = required(access);
    try (var _ = new Seal(passwords.open(keystore, access.caller(), access.password()))) {
      stored(() ->
          tables.change(
              access.instance(),
              change -> {
                var present = same(change, keystore);
                var before = change.key(present, key).orElseThrow(Keystores::missingKey);
                version.ifPresent(expected -> requireVersion(before, expected));
                change.remove(present, key);
                return true;
              }));
    }
  }

  /** The keys with these ids, in their order; CKR_IBM_GREP11_MISSING when one is not there. */
  public List<StoredKey> byIds(Access access, List<UUID> ids) {
    var keystore = required(access);
    try (var seal = new Seal(passwords.open(keystore, access.caller(), access.password()))) {
      List<KeyRecord> records =
          stored(() -> tables.read(access.instance(), view -> records(view, keystore, ids)));
      tidy(access, keystore, records, seal);
      return records.stream().map(record -> seal.open(keystore, record)).toList();
    }
  }

  private static List<KeyRecord> records(
      KeystoreTables.View view, KeystoreRecord keystore, List<UUID> ids) {
    var present = same(view, keystore);
    List<KeyRecord> found = new ArrayList<>();
    long bytes = 0;
    for (var id : ids) {
      var record = view.key(present, id).orElseThrow(Keystores::missingKey);
      bytes += record.content().length;
      if (bytes > LONGEST_PAGE) {
        throw new Pkcs11Exception(
            CKR_DATA_LEN_RANGE, "these keys are too long for one answer; ask for fewer");
      }
      found.add(record);
    }
    return found;
  }

  /**
   * A page of keys.
   *
   * @param next where the next page begins; empty when these are the last
   */
  public record Page(List<StoredKey> keys, Optional<byte[]> next) {}

  /**
   * The keys that have all of these attributes, each with this value; every key when none is given.
   * A page may be short, even empty, and still have a next one.
   *
   * @param after where the page before ended; empty for the first
   * @param size 0 for the usual one
   */
  public Page byAttributes(Access access, Template attributes, byte[] after, int size) {
    if (size < 0 || size > LARGEST_PAGE) {
      throw new Pkcs11Exception(
          CKR_ARGUMENTS_BAD, "a page has at most %d keys".formatted(LARGEST_PAGE));
    }
    if (after.length > 64) {
      throw new Pkcs11Exception(CKR_ARGUMENTS_BAD, "not the next_page of an answer");
    }
    attributes.values().keySet().forEach(Keystores::requireKnown);
    var keystore = required(access);
    try (var seal = new Seal(passwords.open(keystore, access.caller(), access.password()))) {
      var found =
          stored(() ->
              tables.read(
                  access.instance(),
                  view ->
                      page(
                          view,
                          same(view, keystore),
                          seal,
                          attributes,
                          after,
                          size == 0 ? USUAL_PAGE : size)));
      tidy(access, keystore, found.records(), seal);
      return new Page(found.keys(), found.next());
    }
  }

  private record Found(List<StoredKey> keys, List<KeyRecord> records, Optional<byte[]> next) {}

  private static Found page(
      KeystoreTables.View view,
      KeystoreRecord keystore,
      Seal seal,
      Template attributes,
      byte[] after,
      int size) {
    var values = seal.searched(attributes);
    List<StoredKey> found = new ArrayList<>();
    List<KeyRecord> records = new ArrayList<>();
    long bytes = 0;
    int examined = 0;
    byte[] position = after;
    while (true) {
      var rows = view.search(keystore, values, position, Math.min(BATCH, size + 1));
      for (var record : rows.keys()) {
        if (found.size() == size || bytes > LONGEST_PAGE || examined == MOST_EXAMINED) {
          return new Found(found, records, Optional.of(position));
        }
        examined++;
        position = view.position(keystore, record.id());
        var key = seal.open(keystore, record);
        // Also what the database found: it may find what it likes.
        if (matches(key.shownAttributes(), attributes)) {
          found.add(key);
          records.add(record);
          bytes += record.content().length;
        }
      }
      if (rows.next().isEmpty()) {
        return new Found(found, records, Optional.empty());
      }
    }
  }

  private static boolean matches(Template has, Template wanted) {
    return wanted.values().entrySet().stream()
        .allMatch(each ->
            has.get(each.getKey()).filter(value -> value.equals(each.getValue())).isPresent());
  }

  // ---- Rules

  private KeystoreRecord required(Access access) {
    return stored(() ->
        tables.read(
            access.instance(),
            view -> {
              var found = view.find(access.keystore()).orElseThrow(Keystores::missing);
              view.requireTrusted(found);
              return found;
            }));
  }

  /** The same keystore, as it is now; not a later one with its id. */
  private static KeystoreRecord same(KeystoreTables.View view, KeystoreRecord keystore) {
    return found(view, keystore).orElseThrow(Keystores::missing);
  }

  private static Optional<KeystoreRecord> found(KeystoreTables.View view, KeystoreRecord keystore) {
    return view.find(keystore.id())
        .filter(found -> Arrays.equals(found.origin(), keystore.origin()));
  }

  private void requireFirst(
      KeystoreTables.Change change, KeystoreRecord keystore, UUID transaction) {
    if (!change.begin(keystore, transaction, clock.instant())) {
      throw new Pkcs11Exception(
          CKR_IBM_GREP11_REPLAY, "this transaction was carried out before; nothing was done again");
    }
  }

  private static void requireVersion(KeyRecord present, long version) {
    if (present.version() != version) {
      throw new Pkcs11Exception(
          CKR_IBM_GREP11_CONFLICT,
          "the key has version %d, not %d: read it and try again"
              .formatted(present.version(), version));
    }
  }

  /** The one answer to who may not and to what is not there. */
  public static Pkcs11Exception missing() {
    return new Pkcs11Exception(CKR_IBM_GREP11_MISSING, "no such keystore");
  }

  private static Pkcs11Exception missingKey() {
    return new Pkcs11Exception(CKR_IBM_GREP11_MISSING, "no such key");
  }

  private static void requireKnown(long type) {
    if (type == Cka.CKA_GREP11_KEYSTORE_PASSWORD
        || (Cka.name(type).startsWith("0x") && !MORE_ATTRIBUTES.contains(type))) {
      throw new Pkcs11Exception(
          CKR_ATTRIBUTE_TYPE_INVALID, Cka.name(type) + " is not kept in keystores");
    }
  }

  private static void requireForm(StoredKey key) {
    var attributes = key.attributes();
    attributes.values().keySet().forEach(Keystores::requireKnown);
    long objectClass =
        attributes
            .ulong(Cka.CKA_CLASS)
            .orElseThrow(() -> new Pkcs11Exception(CKR_TEMPLATE_INCOMPLETE, "CKA_CLASS is absent"));
    boolean secret = objectClass == Cko.CKO_PRIVATE_KEY || objectClass == Cko.CKO_SECRET_KEY;
    boolean isKey = secret || objectClass == Cko.CKO_PUBLIC_KEY;
    if (!isKey && objectClass != Cko.CKO_CERTIFICATE && objectClass != Cko.CKO_DATA) {
      throw new Pkcs11Exception(
          CKR_ATTRIBUTE_VALUE_INVALID, "objects of this class are not kept in keystores");
    }
    if (isKey ? key.blobs().isEmpty() || key.blobs().size() > MOST_BLOBS : !key.blobs().isEmpty()) {
      throw new Pkcs11Exception(
          CKR_TEMPLATE_INCONSISTENT,
          isKey
              ? "a key has 1 or %d blobs".formatted(MOST_BLOBS)
              : "a certificate or data object has no blob");
    }
    if (secret) {
      VALUES_OF_KEYS.stream()
          .filter(attributes::has)
          .findFirst()
          .ifPresent(type -> {
            throw new Pkcs11Exception(
                CKR_ATTRIBUTE_SENSITIVE,
                Cka.name(type) + " of a secret or private key has no place outside of its blob");
          });
    }
    if (isKey) {
      attributes.bytes(Cka.CKA_LABEL).ifPresent(Keystores::requireLabel);
    }
    long length =
        attributes.values().values().stream()
                .mapToLong(value -> Long.BYTES + KeyContent.bytes(value).length)
                .sum()
            + key.blobs().stream().mapToLong(blob -> blob.length).sum();
    if (length > LONGEST_RECORD) {
      throw new Pkcs11Exception(
          CKR_DATA_LEN_RANGE, "longer than %d bytes".formatted(LONGEST_RECORD));
    }
  }

  /** Names of keys have up to 32 characters (pkcs11-client.md, 4); none is no name. */
  private static void requireLabel(byte[] label) {
    var text = new String(label, StandardCharsets.UTF_8);
    if (text.codePointCount(0, text.length()) > LONGEST_NAME) {
      throw new Pkcs11Exception(
          CKR_ATTRIBUTE_VALUE_INVALID,
          "CKA_LABEL of a key has at most %d characters".formatted(LONGEST_NAME));
    }
  }

  /**
   * The blobs that are to be kept: those given, and before them the first one under the sealing
   * keys of now, if it was under older ones. So no rotation has to wait for what is stored later.
   */
  private List<KeyBlobs.Proven> proven(Access access, StoredKey key) {
    List<KeyBlobs.Proven> proven = new ArrayList<>();
    for (var blob : key.blobs()) {
      var one = blobs.prove(access.instance(), access.caller(), blob);
      if (one.objectClass() != key.attributes().ulong(Cka.CKA_CLASS).orElseThrow()) {
        throw new Pkcs11Exception(
            CKR_TEMPLATE_INCONSISTENT, "CKA_CLASS is not that of the key in the blob");
      }
      proven.add(one);
    }
    if (!proven.isEmpty() && isOld(access.instance(), proven.getFirst().generation())) {
      resealed(access.instance(), access.caller(), proven.getFirst())
          .ifPresent(newer -> {
            var older = proven.getFirst();
            proven.clear();
            proven.addAll(List.of(newer, older));
          });
    }
    return proven;
  }

  /** Empty where that is not necessary, or not possible: {@link KeystoreKeeper} finds it later. */
  private Optional<KeyBlobs.Proven> resealed(UUID instance, String caller, KeyBlobs.Proven blob) {
    try {
      return blob.generation().isEmpty()
          ? Optional.empty()
          : blobs.reseal(instance, caller, blob.blob());
    } catch (Pkcs11Exception e) {
      LOG.debug("a blob stays under older sealing keys: {}", e.getMessage());
      return Optional.empty();
    }
  }

  // ---- Rotation of master keys

  /** Whether a generation of sealing keys opens, and seals no more. */
  private boolean isOld(UUID instance, String generation) {
    return state(instance, generation).filter(State.PREVIOUS::equals).isPresent();
  }

  /** Whether a blob of this generation opens; not, when that is not known. */
  private boolean opens(UUID instance, String generation) {
    return generation.isEmpty() || state(instance, generation).filter(State::opens).isPresent();
  }

  /** Whether a blob of this generation is known to open nothing. */
  private boolean isClosed(UUID instance, String generation) {
    return state(instance, generation).filter(state -> !state.opens()).isPresent();
  }

  private Optional<State> state(UUID instance, String generation) {
    return current
        .get()
        .flatMap(snapshot -> snapshot.instance(instance))
        .flatMap(record ->
            record.generations().stream().filter(each -> each.id().equals(generation)).findFirst())
        .map(SealingKeyGeneration::state);
  }

  /** Keys of a keystore with a password can be re-wrapped only when somebody gives it. */
  private void tidy(Access access, KeystoreRecord keystore, List<KeyRecord> records, Seal seal) {
    if (keystore.password().isEmpty()) {
      return;
    }
    for (var record : records) {
      try {
        var _ = tidy(keystore, record, seal, access.caller());
      } catch (Pkcs11Exception e) {
        LOG.debug("key {} stays under older sealing keys: {}", record.id(), e.getMessage());
      }
    }
  }

  /** As the rotation does with a key of a keystore without a password. */
  boolean tidy(KeystoreRecord keystore, KeyRecord record, String caller) {
    return tidy(keystore, record, new Seal(Optional.empty()), caller);
  }

  /**
   * Puts a blob under the sealing keys of now before one under older ones, which stays until these
   * are retired, and then goes. The version stays: to the key's users nothing has changed.
   *
   * <p>A blob goes only while another one opens: after a forced retirement the second may be the
   * only one that does, and is then what the new one is made from.
   *
   * @return whether the key was rewritten
   */
  private boolean tidy(KeystoreRecord keystore, KeyRecord record, Seal seal, String caller) {
    var generations = record.generations();
    if (generations.isEmpty()) {
      return false;
    }
    var key = seal.open(keystore, record);
    var instance = keystore.instance();
    var first = new KeyBlobs.Proven(key.blobs().getFirst(), generations.getFirst(), -1);
    var last = new KeyBlobs.Proven(key.blobs().getLast(), generations.getLast(), -1);
    boolean one = generations.size() == 1;
    List<KeyBlobs.Proven> proven;
    if (isOld(instance, first.generation())) {
      var newer = blobs.reseal(instance, caller, first.blob());
      if (newer.isEmpty()) {
        return false;
      }
      proven = List.of(newer.get(), first);
    } else if (!one
        && isClosed(instance, first.generation())
        && opens(instance, last.generation())) {
      // A bare public key is under no sealing keys, and stays so.
      var newer =
          last.generation().isEmpty()
              ? Optional.<KeyBlobs.Proven>empty()
              : blobs.reseal(instance, caller, last.blob());
      proven = newer.map(sealed -> List.of(sealed, last)).orElse(List.of(last));
    } else if (!one
        && opens(instance, first.generation())
        && isClosed(instance, last.generation())) {
      proven = List.of(first);
    } else {
      return false;
    }
    return stored(() ->
        tables.change(
            keystore.instance(),
            change -> {
              var present = same(change, keystore);
              boolean unchanged =
                  change
                      .key(present, record.id())
                      .filter(now -> Arrays.equals(now.content(), record.content()))
                      .isPresent();
              if (unchanged) {
                change.rewrite(present, seal.record(present, key, record.version(), proven));
              }
              return unchanged;
            }));
  }

  private static StoredKey shown(StoredKey key, long version, List<KeyBlobs.Proven> proven) {
    return new StoredKey(
        key.id(),
        version,
        key.transaction(),
        key.attributes(),
        proven.stream().map(KeyBlobs.Proven::blob).toList());
  }

  // ---- The second seal

  /** Around content and search values of a keystore with a password; nothing without. */
  private static final class Seal implements AutoCloseable {
    private final Optional<PasswordSeal> password;

    Seal(Optional<PasswordSeal> password) {
      this.password = password;
    }

    KeyRecord record(
        KeystoreRecord keystore, StoredKey key, long version, List<KeyBlobs.Proven> proven) {
      var content =
          new KeyContent(key.attributes(), proven.stream().map(KeyBlobs.Proven::blob).toList())
              .encoded();
      return new KeyRecord(
          key.id(),
          version,
          key.transaction(),
          proven.stream().map(KeyBlobs.Proven::generation).toList(),
          password.map(seal -> seal.seal(keystore, key.id(), version, content)).orElse(content));
    }

    StoredKey open(KeystoreRecord keystore, KeyRecord record) {
      var content =
          KeyContent.decode(
              password
                  .map(seal -> seal.open(keystore, record.id(), record.version(), record.content()))
                  .orElse(record.content()));
      return new StoredKey(
          record.id(),
          record.version(),
          record.transaction(),
          content.attributes(),
          content.blobs());
    }

    Map<Searched, byte[]> searched(Template attributes) {
      Map<Searched, byte[]> values = new EnumMap<>(Searched.class);
      for (var by : Searched.values()) {
        attributes
            .get(attribute(by))
            .map(KeyContent::bytes)
            .map(value -> password.map(seal -> seal.searched(by, value)).orElse(value))
            .ifPresent(value -> values.put(by, value));
      }
      return values;
    }

    private static long attribute(Searched by) {
      return switch (by) {
        case CLASS -> Cka.CKA_CLASS;
        case KEY_TYPE -> Cka.CKA_KEY_TYPE;
        case LABEL -> Cka.CKA_LABEL;
        case ID -> Cka.CKA_ID;
        case SUBJECT -> Cka.CKA_SUBJECT;
      };
    }

    @Override
    public void close() {
      password.ifPresent(PasswordSeal::close);
    }
  }

  // ---- What goes wrong below

  private interface StoreWork<T> {
    T run();
  }

  private static <T> T stored(StoreWork<T> work) {
    try {
      return work.run();
    } catch (StoreTamperedException e) {
      LOG.error("a keystore is refused: {}", e.getMessage());
      throw new Pkcs11Exception(
          CKR_IBM_GREP11_DBINTERNAL, "the store holds what no gateway wrote; ask the operator", e);
    } catch (UncertainChangeException e) {
      LOG.error("a keystore may have been changed or not: {}", e.getMessage());
      // To be repeated with the same transaction, which is then carried out once.
      throw Pkcs11Exception.forNow(
          CKR_IBM_GREP11_DBINTERNAL,
          "it is not known whether the change was made; read what is there before you repeat it");
    } catch (StoreException e) {
      LOG.error("a keystore cannot be served: {}", e.getMessage());
      throw Pkcs11Exception.forNow(
          CKR_IBM_GREP11_DBINTERNAL, "the store cannot be used at present");
    }
  }
}
