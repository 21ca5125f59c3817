package dev.grep11.gateway.store;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.grep11.gateway.store.Restoration.Leave;
import dev.grep11.gateway.store.SealingKeyGeneration.State;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Backups of a store, and their way back, on both databases. */
@ParameterizedClass
@EnumSource
class RestorationTest {
  enum Kind {
    SQLITE,
    POSTGRESQL
  }

  private static final UUID INSTANCE = UUID.fromString("6f6a3f0e-52d5-4d1e-9d1c-0a7b1f0c2d3e");
  private static final Subject BILLING = new Subject("https://issuer.example", "billing-canary");
  private static final Grant GRANT = Grant.ofRole(BILLING, INSTANCE, "Manager");
  private static final Instant NOON = Instant.parse("2026-11-21T12:00:00Z");
  private static final BackupManifest.Token TOKEN =
      new BackupManifest.Token("token", "0001", "maker", "model", "aa", "bb");
  private static final BackupSample SAMPLE =
      new BackupSample(INSTANCE, "0a", "canary-blob".getBytes(UTF_8), new byte[] {1, 2});
  private static final Leave REPLACE = new Leave(true, Set.of(), Set.of(), Set.of());
  private static final byte[] CONTENT = "canary-content".getBytes(UTF_8);

  private final SoftwareEnvelope envelope = new SoftwareEnvelope();
  private SoftwareAnchor anchor = new SoftwareAnchor();
  @Parameter Kind kind = Kind.SQLITE;
  @TempDir Path temporary;
  private StoreLocation location;
  private Store store;
  private Path file;

  @BeforeEach
  void fill() throws SQLException {
    location = place(kind);
    file = temporary.resolve("backup");
    store = Store.create(location, envelope, anchor);
    store.createInstance(StoreTest.instance(INSTANCE, "payments"));
    store.addGrant(GRANT);
    store.addApiKey(new ApiKeyRecord(UUID.randomUUID(), "ci", new byte[32], BILLING, NOON));
  }

  @AfterEach
  void close() {
    store.close();
  }

  private StoreLocation place(Kind of) throws SQLException {
    return switch (of) {
      case SQLITE -> new StoreLocation.Directory(temporary.resolve("store-" + UUID.randomUUID()));
      case POSTGRESQL -> PostgresServer.shared().createDatabase();
    };
  }

  private BackupManifest backUp() {
    return backUp(file, false);
  }

  private BackupManifest backUp(Path to, boolean overwrite) {
    try (var made = store.backUp(to, overwrite, envelope, TOKEN, NOON, _ -> List.of(SAMPLE))) {
      made.publish(overwrite);
      return made.manifest();
    }
  }

  /** What there is now is lost. */
  private void lose() throws SQLException {
    store.close();
    location = place(kind);
  }

  private Restoration restoration() {
    return restoration(connection -> connection);
  }

  private Restoration restoration(UnaryOperator<Connection> connections) {
    return new Restoration(location, envelope, anchor, connections);
  }

  private long restore() {
    return restore(restoration(), false);
  }

  private long restore(Restoration restoration, boolean replace) {
    return restore(restoration, new Leave(replace, Set.of(), Set.of(), Set.of()), NOON);
  }

  private long restore(Restoration restoration, Leave leave, Instant now) {
    try (var backup = BackupFile.open(file)) {
      return restoration.restore(
          backup.verify(envelope), backup.manifest().generation(), leave, now, _ -> {});
    }
  }

  private Store open() {
    store = Store.open(location, envelope, anchor);
    return store;
  }

  private KeystoreRecord keystore(String name) {
    var made = KeystoreRecord.empty(INSTANCE, UUID.randomUUID(), name, NOON, Optional.empty());
    assertThat(store.keystores().<Boolean>change(INSTANCE, change -> change.add(made))).isTrue();
    return made;
  }

  private UUID key(KeystoreRecord in) {
    return key(store, in);
  }

  private static UUID key(Store store, KeystoreRecord in) {
    var id = UUID.randomUUID();
    var key = new KeyRecord(id, 0, UUID.randomUUID(), List.of("aa"), CONTENT);
    boolean added =
        store
            .keystores()
            .change(
                INSTANCE,
                change -> {
                  var present = change.find(in.id()).orElseThrow();
                  return change.begin(present, key.transaction(), Instant.now())
                      && change.add(
                          present, key, Map.of(Searched.LABEL, id.toString().getBytes(UTF_8)));
                });
    assertThat(added).isTrue();
    return id;
  }

  /** Ids of all keys of a keystore, which is verified; each is found by its label too. */
  private Set<UUID> keys(KeystoreRecord in) {
    return store
        .keystores()
        .read(
            INSTANCE,
            view -> {
              var present = view.find(in.id()).orElseThrow();
              view.verify(present);
              var found = new HashSet<UUID>();
              for (var each : view.search(present, Map.of(), new byte[0], 100_000).keys()) {
                assertThat(each.content()).isEqualTo(CONTENT);
                found.add(each.id());
              }
              for (var id : found.stream().limit(3).toList()) {
                assertThat(
                        view.search(
                                present,
                                Map.of(Searched.LABEL, id.toString().getBytes(UTF_8)),
                                new byte[0],
                                2)
                            .keys())
                    .extracting(KeyRecord::id)
                    .containsExactly(id);
              }
              return found;
            });
  }

  @ParameterizedTest
  @EnumSource
  void everythingIsThereAgainAlsoInTheOtherDatabase(Kind to) throws Exception {
    var keystore = keystore("canary-keystore");
    var first = key(keystore);
    var second = key(keystore);
    var keys = Set.of(first, second);
    keystore("empty");
    var before = store.snapshot();
    var manifest = backUp();
    assertThat(manifest.generation()).isEqualTo(before.generation());
    assertThat(manifest.rows())
        .containsEntry("access_grant", 1L)
        .containsEntry("keystore", 2L)
        .containsEntry("keystore_key", 2L)
        .containsEntry("keystore_transaction", 2L);
    lose();
    location = place(to);

    long generation = restore();

    assertThat(generation).isGreaterThan(before.generation());
    assertThat(anchor.highest()).isEqualTo(generation);
    var after = open().snapshot();
    assertThat(after.generation()).isEqualTo(generation);
    assertThat(after.instances()).isEqualTo(before.instances());
    assertThat(after.grants()).isEqualTo(before.grants());
    assertThat(after.apiKeys()).isEqualTo(before.apiKeys());
    assertThat(after.registries()).isEqualTo(before.registries());
    assertThat(keys(keystore)).isEqualTo(keys);
    assertThat(key(keystore)).isNotNull();
    assertThat(store.addGrant(Grant.ofRole(BILLING, INSTANCE, "Reader"))).isTrue();
  }

  @Test
  void samplesAreMadeForTheStateThatIsWrittenAndComeBackAsTheyWere() {
    var of = new ArrayList<Snapshot>();
    try (var made =
        store.backUp(
            file,
            false,
            envelope,
            TOKEN,
            NOON,
            snapshot -> {
              of.add(snapshot);
              return List.of(SAMPLE, SAMPLE);
            })) {
      made.publish(false);
      assertThat(made.samples()).isEqualTo(2);
      assertThat(of).extracting(Snapshot::generation).containsExactly(made.manifest().generation());
    }
    try (var backup = BackupFile.open(file)) {
      assertThat(backup.verify(envelope).samples().orElseThrow())
          .usingRecursiveFieldByFieldElementComparator()
          .containsExactly(SAMPLE, SAMPLE);
    }
  }

  @Test
  void aBackupOfTheFormatBeforeComesBackAndHasNoSamples() throws Exception {
    var keystore = keystore("canary-keystore");
    var key = key(keystore);
    int before = 1;
    try (var made =
        store.backUp(file, false, envelope, TOKEN, NOON, _ -> List.of(SAMPLE), before)) {
      made.publish(false);
      assertThat(made.samples()).isZero();
    }
    lose();
    try (var backup = BackupFile.open(file)) {
      assertThat(backup.manifest().format()).isEqualTo(before);
      assertThat(backup.verify(envelope).samples()).isEmpty();
    }
    restore();
    assertThat(open().grants()).containsExactly(GRANT);
    assertThat(keys(keystore)).containsExactly(key);
  }

  @Test
  void aBackupOfALaterFormatIsLeftToALaterProgram() {
    try (var made =
        store.backUp(
            file, false, envelope, TOKEN, NOON, _ -> List.of(), BackupManifest.FORMAT + 1)) {
      made.publish(false);
    }
    assertThatThrownBy(() -> BackupFile.open(file))
        .isInstanceOf(StoreException.class)
        .hasMessageContaining("use the program that made it, or a later one");
  }

  @Test
  void aRestoredStoreIsBackedUpAndRestoredAgain() throws Exception {
    backUp();
    lose();
    restore();
    open();
    backUp(file, true);
    lose();
    restore();
    assertThat(open().grants()).containsExactly(GRANT);
  }

  @Test
  void whatWasRemovedSinceComesBackAndTheLostStoreIsTheOlderOneFromThenOn() throws Exception {
    var lost = location;
    backUp();
    store.removeGrant(GRANT);
    assertThat(anchor.highest()).isGreaterThan(store.generation() - 1);
    lose();

    restore();

    assertThat(open().grants()).containsExactly(GRANT);
    assertThatThrownBy(() -> Store.open(lost, envelope, anchor))
        .isInstanceOf(StoreTamperedException.class)
        .hasMessageContaining("an older database was put back");
  }

  @Test
  void whoStillRunsByTheStoreThatWasThereBelievesNothingMore() {
    backUp();
    restore(restoration(), true);

    assertThatThrownBy(() -> store.snapshot()).isInstanceOf(StoreTamperedException.class);
    assertThatThrownBy(() -> store.addGrant(Grant.ofRole(BILLING, INSTANCE, "Reader")))
        .isInstanceOf(StoreTamperedException.class);
    store.close();
    assertThat(open().grants()).containsExactly(GRANT);
  }

  @Test
  void whatComesBackIsChangedBeforeItCounts() throws Exception {
    backUp();
    lose();
    try (var backup = BackupFile.open(file)) {
      restoration()
          .restore(
              backup.verify(envelope),
              backup.manifest().generation(),
              Leave.NONE,
              NOON,
              change -> change.remove(GRANT));
    }
    assertThat(open().grants()).isEmpty();
  }

  @Test
  void anotherGenerationThanThatOfTheBackupIsNotAccepted() throws Exception {
    backUp();
    lose();
    try (var backup = BackupFile.open(file)) {
      var verified = backup.verify(envelope);
      assertThatThrownBy(() ->
              restoration()
                  .restore(verified, backup.manifest().generation() + 1, REPLACE, NOON, _ -> {}))
          .hasMessageContaining("the backup is of generation");
    }
    assertThat(Store.exists(location)).isFalse();
  }

  @Test
  void aStoreIsNotReplacedUnaskedAndNeverWhileAGatewayServesByIt() {
    backUp();
    store.addGrant(Grant.ofRole(BILLING, INSTANCE, "Reader"));
    var present = store.snapshot().grants();

    assertThatThrownBy(() -> restore()).hasMessageContaining("Give --replace");
    serveUntil(NOON.plusSeconds(60));
    assertThatThrownBy(() -> restore(restoration(), true))
        .hasMessageContaining("a gateway is serving by the store", "gateway-canary");
    assertThat(store.snapshot().grants()).isEqualTo(present);

    serveUntil(NOON.minusSeconds(60));
    restore(restoration(), true);
    store.close();
    assertThat(open().grants()).containsExactly(GRANT);
  }

  private void serveUntil(Instant end) {
    store.change(change -> {
      change.put(
          new ReplicaRecord(
              INSTANCE, "gateway-canary", end.minusSeconds(60), end, Set.of(), Set.of(), Set.of()));
      return true;
    });
  }

  @Test
  void aStoreThatServesNobodyIsReplacedUnasked() throws Exception {
    backUp();
    lose();
    Store.create(location, envelope, new SoftwareAnchor()).close();
    restore();
    assertThat(open().grants()).containsExactly(GRANT);
  }

  @Test
  void theJournalOfADatabaseThatIsGoneIsInTheWay() throws Exception {
    assumeTrue(kind == Kind.SQLITE, "about files of SQLite");
    backUp();
    var directory = ((StoreLocation.Directory) location).path();
    // As a process leaves it that was killed.
    var journal = Files.readAllBytes(directory.resolve("store.db-wal"));
    assertThat(journal).isNotEmpty();
    store.close();
    Files.delete(directory.resolve("store.db"));
    Files.write(directory.resolve("store.db-wal"), journal);
    assertThatThrownBy(() -> restore())
        .isInstanceOf(StoreException.class)
        .hasMessageContaining("is left of a database that is gone");
    Files.delete(directory.resolve("store.db-wal"));
    restore();
    assertThat(open().grants()).containsExactly(GRANT);
  }

  @Test
  void aStoreOfAnotherGatewayIsNeverReplaced() throws Exception {
    backUp();
    lose();
    var others = new SoftwareEnvelope();
    var othersAnchor = new SoftwareAnchor();
    try (var other = Store.create(location, others, othersAnchor)) {
      other.addGrant(GRANT);
    }
    assertThat(restoration().inPlace()).isInstanceOf(Restoration.InPlace.Unreadable.class);
    for (boolean replace : List.of(false, true)) {
      assertThatThrownBy(() -> restore(restoration(), replace))
          .isInstanceOf(StoreException.class)
          .hasMessageContaining("does not open, and such a one is never replaced")
          .hasMessageContaining(location.toString())
          .hasMessageContaining("into another, empty database")
          .hasMessageNotContaining(PostgresServer.PASSWORD);
    }
    try (var other = Store.open(location, others, othersAnchor)) {
      assertThat(other.grants()).containsExactly(GRANT);
    }
  }

  @Test
  void aMasterKeyThatTheBackupLacksIsLostByItsNameOnly() {
    backUp();
    var instance = store.findInstance(INSTANCE).orElseThrow();
    var before = instance.generations().getFirst();
    var made = generation(20);
    var withdrawn = generation(30).in(State.RETIRED, NOON);
    var gone = generation(40).in(State.DESTROYED, NOON);
    var present =
        instance.with(before.in(State.RETIRED, NOON)).with(made).with(withdrawn).with(gone);
    replace(present);

    assertThatThrownBy(() -> restore(restoration(), true))
        .isInstanceOf(StoreException.class)
        .hasMessageContaining("--drop-masterkey " + made.id())
        .hasMessageContaining("--drop-masterkey " + withdrawn.id())
        .hasMessageContaining("--revert-masterkey " + before.id())
        .hasMessageContaining("is RETIRED and would come back ACTIVE")
        .hasMessageNotContaining(gone.id());
    refused(Set.of(made.id()), Set.of(before.id()), withdrawn);
    refused(Set.of(made.id(), withdrawn.id()), Set.of(), before);
    refused(Set.of(made.id(), withdrawn.id(), before.id()), Set.of(), before);
    refused(Set.of(withdrawn.id()), Set.of(made.id(), before.id()), made);
    assertThat(store.findInstance(INSTANCE)).hasValue(present);

    restore(
        restoration(),
        new Leave(true, Set.of(made.id(), withdrawn.id()), Set.of(before.id()), Set.of()),
        NOON);
    store.close();
    assertThat(open().findInstance(INSTANCE)).hasValue(instance);
  }

  @Test
  void aReplacedOrRemovedKeyOfAnAdministratorCountsAgainByNameOnly() {
    var alice = administrator("alice", 1);
    var bob = administrator("bob", 2);
    var carol = administrator("carol", 3);
    put(alice, bob, carol);
    backUp();
    put(administrator("alice", 4), administrator("dave", 5));
    put(new AdministratorRecord(INSTANCE, carol.subject(), carol.publicKey(), 9, carol.since()));
    store.<Boolean>change(change -> {
      change.remove(bob);
      return true;
    });

    assertThatThrownBy(() -> restore(restoration(), true))
        .isInstanceOf(StoreException.class)
        .hasMessageContaining("alice of instance " + INSTANCE + " was replaced since")
        .hasMessageContaining("--readmit-administrator " + alice.fingerprint())
        .hasMessageContaining("bob of instance " + INSTANCE + " was removed since")
        .hasMessageContaining("--readmit-administrator " + bob.fingerprint())
        .hasMessageNotContaining("carol");
    for (var other : List.of("alice", administrator("alice", 4).fingerprint())) {
      assertThatThrownBy(() ->
              restore(restoration(), new Leave(true, Set.of(), Set.of(), Set.of(other)), NOON))
          .as("a subject, and the key in place")
          .hasMessageContaining(alice.fingerprint());
    }
    var one = new Leave(true, Set.of(), Set.of(), Set.of(alice.fingerprint()));
    assertThatThrownBy(() -> restore(restoration(), one, NOON))
        .isInstanceOf(StoreException.class)
        .hasMessageContaining("bob")
        .hasMessageNotContaining("alice");
    assertThat(store.snapshot().administrator(INSTANCE, bob.subject())).isEmpty();

    restore(
        restoration(),
        new Leave(true, Set.of(), Set.of(), Set.of(alice.fingerprint(), bob.fingerprint())),
        NOON);
    store.close();
    assertThat(open().snapshot().administrators(INSTANCE))
        .containsExactlyInAnyOrder(alice, bob, carol);
  }

  private static AdministratorRecord administrator(String name, int key) {
    return new AdministratorRecord(
        INSTANCE, new Subject("https://issuer.example", name), new byte[] {(byte) key}, 0, NOON);
  }

  private void put(AdministratorRecord... administrators) {
    store.<Boolean>change(change -> {
      for (var each : administrators) {
        change.put(each);
      }
      return true;
    });
  }

  private void refused(Set<String> dropped, Set<String> reverted, SealingKeyGeneration names) {
    assertThatThrownBy(
            () -> restore(restoration(), new Leave(true, dropped, reverted, Set.of()), NOON))
        .isInstanceOf(StoreException.class)
        .hasMessageContaining("-masterkey " + names.id());
  }

  private void replace(InstanceRecord instance) {
    assertThat(store.<Boolean>change(change -> change.replace(instance))).isTrue();
  }

  private static SealingKeyGeneration generation(int number) {
    var ids = new ArrayList<byte[]>();
    for (int i = 0; i < 6; i++) {
      var id = new byte[SealingKeyGeneration.ID_LENGTH];
      id[0] = (byte) (number + i);
      ids.add(id);
    }
    return new SealingKeyGeneration(
        ids.get(0), State.ACTIVE, ids.get(1), ids.get(2), ids.get(3), ids.get(4), ids.get(5), NOON);
  }

  @Test
  void nothingIsRecordedOfARestoreThatWouldLoseAMasterKey() {
    backUp();
    replace(store.findInstance(INSTANCE).orElseThrow().with(generation(20).in(State.NEXT, NOON)));
    var recorded = new ArrayList<Setback>();
    var work =
        new Restoration.Work() {
          @Override
          public void settle(Store.Change change) {
            change.remove(GRANT);
          }

          @Override
          public void record(Store.Change change, List<Setback> setbacks) {
            recorded.addAll(setbacks);
          }
        };
    try (var backup = BackupFile.open(file)) {
      var verified = backup.verify(envelope);
      long accepted = backup.manifest().generation();
      assertThatThrownBy(() -> restoration().restore(verified, accepted, REPLACE, NOON, work))
          .hasMessageContaining("--drop-masterkey");
      assertThat(recorded).isEmpty();
      assertThat(store.grants()).containsExactly(GRANT);
      restoration()
          .restore(
              verified,
              accepted,
              new Leave(true, Set.of(generation(20).id()), Set.of(), Set.of()),
              NOON,
              work);
    }
    assertThat(recorded).singleElement().isInstanceOf(Setback.Dropped.class);
  }

  @Test
  void noNumberOfALostHistoryIsGivenOnceMoreWhenTheTokenForgotItToo() throws Exception {
    backUp();
    long remembered = anchor.highest();
    for (int i = 0; i < 5; i++) {
      store.addGrant(Grant.ofRole(BILLING, INSTANCE, "Reader" + i));
    }
    long lost = store.generation();
    lose();
    long first = restoredWithTheTokenAt(remembered, NOON);
    assertThat(first).isGreaterThan(lost).isEqualTo(NOON.toEpochMilli() + 1);

    // Again by the same two backups, a moment later.
    open();
    for (int i = 0; i < 5; i++) {
      store.addGrant(Grant.ofRole(BILLING, INSTANCE, "Reader" + i));
    }
    lost = store.generation();
    lose();
    assertThat(restoredWithTheTokenAt(remembered, NOON.plusSeconds(1))).isGreaterThan(lost);

    // A clock that was put back does not lead below what is known.
    long known = anchor.highest();
    lose();
    assertThat(restore(restoration(), Leave.NONE, Instant.EPOCH)).isEqualTo(known + 1);
  }

  private long restoredWithTheTokenAt(long remembered, Instant now) {
    var token = new SoftwareAnchor();
    token.advance(remembered);
    anchor = token;
    return restore(restoration(), Leave.NONE, now);
  }

  @Test
  void aRestoredStoreIsExaminedAsEveryOther() throws Exception {
    backUp();
    lose();
    long generation = restore();
    open().close();
    var seen = Store.look(location, envelope, anchor);
    assertThat(seen.snapshot().generation()).isEqualTo(generation);
    assertThat(seen.snapshot().grants()).containsExactly(GRANT);
  }

  @Test
  void aBackupOfAnotherTokenIsRefusedAndSaysWhichKeyItNeeds() {
    backUp();
    try (var backup = BackupFile.open(file)) {
      assertThatThrownBy(() -> backup.verify(new SoftwareEnvelope()))
          .isInstanceOf(StoreTamperedException.class)
          .hasMessageContaining("the store key " + TOKEN.storeKey());
    }
  }

  @Test
  void everyByteOfABackupCountsAndNoneMayBeMissingOrAdded() throws Exception {
    var keystore = keystore("canary-keystore");
    for (int i = 0; i < 40; i++) {
      key(keystore);
    }
    backUp();
    var whole = Files.readAllBytes(file);
    lose();
    var random = new Random(20261122);
    var offsets = new TreeSet<Integer>();
    for (int i = 0; i < 64; i++) {
      offsets.add(i);
      offsets.add(whole.length - 1 - i);
    }
    random.ints(300, 0, whole.length).forEach(offsets::add);
    for (int offset : offsets) {
      var changed = whole.clone();
      changed[offset] ^= (byte) (1 << random.nextInt(8));
      refused("bit at " + offset, changed);
      if (offset % 3 == 0) {
        refused("cut to " + offset, Arrays.copyOf(whole, offset));
      }
    }
    refused("one byte more", Arrays.copyOf(whole, whole.length + 1));
    refused("nothing", new byte[0]);
    assertThat(Store.exists(location)).isFalse();
    Files.write(file, whole);
    restore();
    open();
    assertThat(keys(keystore)).hasSize(40);
  }

  private void refused(String how, byte[] content) throws IOException {
    Files.write(file, content);
    assertThatThrownBy(() -> restore()).as(how).isInstanceOf(StoreException.class);
  }

  @Test
  void aBackupHoldsNothingInClearAndIsTheOwnersAlone() throws Exception {
    keystore("canary-keystore");
    var manifest = backUp();
    var content = Files.readString(file, ISO_8859_1);
    assertThat(content)
        .startsWith("grep11 backup 1\n")
        .contains(manifest.token().storeKey(), INSTANCE.toString())
        .doesNotContain("canary", "issuer.example", "payments");
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file)))
        .isEqualTo("rw-------");
  }

  @Test
  void aFileThatIsThereIsOverwrittenOnlyWhenThatIsAskedAndNothingElseIsLeftBehind()
      throws Exception {
    Files.writeString(file, "precious");
    assertThatThrownBy(() -> backUp()).hasMessageContaining("is there already");
    assertThat(file).hasContent("precious");
    // One that came while the backup was written.
    var late = temporary.resolve("late");
    try (var made = store.backUp(late, false, envelope, TOKEN, NOON, _ -> List.of(SAMPLE))) {
      Files.writeString(late, "precious");
      assertThatThrownBy(() -> made.publish(false)).hasMessageContaining("is there already");
    }
    assertThat(late).hasContent("precious");
    backUp(file, true);
    var never = temporary.resolve("never");
    try (var _ = store.backUp(never, false, envelope, TOKEN, NOON, _ -> List.of(SAMPLE))) {
      // Not published.
    }
    try (Stream<Path> left = Files.list(temporary)) {
      assertThat(left.filter(Files::isRegularFile).map(path -> path.getFileName().toString()))
          .containsExactlyInAnyOrder("backup", "late");
    }
  }

  @Test
  void aBackupUnderLoadHoldsAllThatWasStoredBeforeItBegan() throws Exception {
    var keystore = keystore("busy");
    var busy = store;
    var stored = ConcurrentHashMap.<UUID>newKeySet();
    var stop = new AtomicBoolean();
    var failures = new ConcurrentLinkedQueue<Throwable>();
    var writers = new ArrayList<Thread>();
    for (int i = 0; i < 2; i++) {
      writers.add(
          Thread.ofVirtual()
              .start(() -> {
                try {
                  while (!stop.get()) {
                    stored.add(key(busy, keystore));
                  }
                } catch (RuntimeException | AssertionError e) {
                  failures.add(e);
                }
              }));
    }
    writers.add(
        Thread.ofVirtual()
            .start(() -> {
              for (int i = 0; !stop.get(); i++) {
                busy.addGrant(
                    Grant.ofRole(new Subject("https://issuer.example", "s" + i), INSTANCE, "R"));
                // SQLite's lock is not fair: who never rests keeps others from it for its 5 s.
                LockSupport.parkNanos(Duration.ofMillis(2).toNanos());
              }
            }));
    var restored = new ArrayList<Integer>();
    for (int round = 0; round < 3; round++) {
      int least = stored.size();
      await().atMost(Duration.ofSeconds(60)).until(() -> stored.size() > least);
      var before = Set.copyOf(stored);
      var grants = store.grants();
      backUp(temporary.resolve("busy-" + round), false);
      file = temporary.resolve("busy-" + round);
      var busyAt = location;
      location = place(kind);
      restoreWithAnotherAnchor();
      try (var opened = Store.open(location, envelope, new SoftwareAnchor())) {
        store = opened;
        assertThat(keys(keystore)).containsAll(before);
        assertThat(opened.grants()).containsAll(grants);
        restored.add(before.size());
      } finally {
        store = busy;
        location = busyAt;
      }
    }
    stop.set(true);
    for (var writer : writers) {
      writer.join();
    }
    assertThat(failures).isEmpty();
    assertThat(restored).last().isNotEqualTo(restored.getFirst());
  }

  /** So that the store under load stays the newest. */
  private void restoreWithAnotherAnchor() {
    try (var backup = BackupFile.open(file)) {
      new Restoration(location, envelope, new SoftwareAnchor())
          .restore(
              backup.verify(envelope), backup.manifest().generation(), Leave.NONE, NOON, _ -> {});
    }
  }

  // ---- Faults

  /** Calls of a connection that can lose it. */
  private static final Set<String> STEPS =
      Set.of("execute", "executeQuery", "executeUpdate", "executeBatch", "commit", "setAutoCommit");

  private static final class Crash extends SQLException {
    private static final long serialVersionUID = 1;
  }

  /** Counts the steps of a connection, and fails at one of them: before it, or after it. */
  private static final class Failing {
    private final int at;
    private final boolean after;
    private int step;

    Failing(int at, boolean after) {
      this.at = at;
      this.after = after;
    }

    Connection around(Connection connection) {
      return (Connection) proxy(Connection.class, connection);
    }

    private Object proxy(Class<?> type, Object target) {
      return Proxy.newProxyInstance(
          type.getClassLoader(),
          new Class<?>[] {type},
          (_, method, arguments) -> {
            boolean counts = STEPS.contains(method.getName());
            if (counts) {
              step++;
              if (step == at && !after) {
                throw new Crash();
              }
            }
            Object result;
            try {
              result = method.invoke(target, arguments);
            } catch (InvocationTargetException e) {
              throw e.getCause();
            }
            if (counts && step == at) {
              throw new Crash();
            }
            return switch (result) {
              case PreparedStatement prepared -> proxy(PreparedStatement.class, prepared);
              case Statement statement -> proxy(Statement.class, statement);
              case null -> null;
              default -> result;
            };
          });
    }
  }

  @ParameterizedTest
  @Tag("load")
  @EnumSource
  void aCrashAtAnyStepLeavesTheOldStoreOrTheNewOne(Existing existing) throws Exception {
    var keystore = keystore("canary-keystore");
    var first = key(keystore);
    var second = key(keystore);
    var keys = Set.of(first, second);
    backUp();
    if (existing == Existing.NONE) {
      lose();
    } else {
      store.removeGrant(GRANT);
    }
    store.close();
    int outcomes = 0;
    for (int step = 1; ; step++) {
      for (boolean after : List.of(false, true)) {
        var failing = new Failing(step, after);
        boolean crashed = true;
        try {
          restore(restoration(failing::around), true);
          crashed = false;
        } catch (StoreException e) {
          assertThat(e).hasCauseInstanceOf(Crash.class);
          outcomes++;
        }
        if (!crashed) {
          assertThat(failing.step).isLessThan(step);
          assertThat(outcomes).as("steps that were made to fail").isGreaterThan(40);
          assertThat(open().grants()).containsExactly(GRANT);
          assertThat(keys(keystore)).isEqualTo(keys);
          return;
        }
        if (existing == Existing.NONE && !Store.exists(location)) {
          continue;
        }
        try (var _ = open()) {
          // Either: but whole, and each with its own keys.
          assertThat(keys(keystore)).isEqualTo(keys);
          if (store.grants().isEmpty()) {
            assertThat(existing).isEqualTo(Existing.OLD);
          } else {
            assertThat(store.grants()).containsExactly(GRANT);
            // The crash came after the commit; begin again from the store that was there.
            assertThat(after).isTrue();
            if (existing == Existing.OLD) {
              store.removeGrant(GRANT);
            }
          }
        }
      }
    }
  }

  @Test
  void aNewStoreWhoseCommitFailsIsNotToldAsNothingChanged() throws Exception {
    backUp();
    lose();
    assertThatThrownBy(() -> restore(restoration(this::withoutAnEnd), false))
        .isInstanceOf(UncertainChangeException.class)
        .hasMessageContaining("it is not known whether the store in " + location + " was restored")
        .hasMessageNotContaining("nothing was changed");
  }

  /** Can be filled in, and then neither be committed nor get its name. */
  private Connection withoutAnEnd(Connection connection) {
    try {
      switch (location) {
        case StoreLocation.Directory directory -> {
          try (var made = Files.newDirectoryStream(directory.path(), "store.db.creating-*")) {
            for (var each : made) {
              Files.delete(each);
            }
          }
        }
        case StoreLocation.Postgresql _ -> {
          try (var statement = connection.createStatement()) {
            statement.execute("CREATE TABLE late (n INTEGER UNIQUE DEFERRABLE INITIALLY DEFERRED)");
            statement.execute("INSERT INTO late VALUES (1), (1)");
          }
        }
      }
    } catch (IOException | SQLException e) {
      throw new AssertionError(e);
    }
    return connection;
  }

  enum Existing {
    NONE,
    OLD
  }

  @Test
  void aTokenThatForgetsToBeToldOfTheRestoreIsToldByTheNextOpening() throws Exception {
    backUp();
    lose();
    anchor.broken(true);
    assertThatThrownBy(() -> restore())
        .isInstanceOf(StoreException.class)
        .hasMessageContaining("the store is restored, but the token does not remember");
    anchor.broken(false);
    long before = anchor.highest();
    assertThat(open().grants()).containsExactly(GRANT);
    assertThat(anchor.highest()).isGreaterThan(before).isEqualTo(store.generation());
  }

  @Test
  void aTokenThatIsAwayForAMomentIsNoReasonToTakeTheStoreForLost() throws Exception {
    backUp();
    serveUntil(NOON.plusSeconds(60));
    var calls = new AtomicInteger();
    var away =
        new Envelope() {
          @Override
          public byte[] seal(byte[] plaintext, byte[] aad) {
            return envelope.seal(plaintext, aad);
          }

          @Override
          public byte[] open(byte[] sealed, byte[] aad) {
            if (calls.incrementAndGet() == 1) {
              throw new IllegalStateException("away for a moment");
            }
            return envelope.open(sealed, aad);
          }
        };
    try (var backup = BackupFile.open(file)) {
      var verified = backup.verify(envelope);
      assertThatThrownBy(() ->
              new Restoration(location, away, anchor)
                  .restore(verified, backup.manifest().generation(), REPLACE, NOON, _ -> {}))
          .hasMessageContaining("a gateway is serving by the store");
    }
    assertThat(store.grants()).containsExactly(GRANT);
  }

  @Test
  @Tag("load")
  void twentyThousandKeysAreStreamed() throws Exception {
    var keystore = keystore("large");
    for (int i = 0; i < 20; i++) {
      store
          .keystores()
          .change(
              INSTANCE,
              change -> {
                var present = change.find(keystore.id()).orElseThrow();
                for (int j = 0; j < 1_000; j++) {
                  var id = UUID.randomUUID();
                  change.add(
                      change.find(keystore.id()).orElse(present),
                      new KeyRecord(id, 0, UUID.randomUUID(), List.of("aa"), CONTENT),
                      Map.of(Searched.LABEL, id.toString().getBytes(UTF_8)));
                }
                return true;
              });
    }
    long start = System.nanoTime();
    backUp();
    long backedUp = System.nanoTime();
    lose();
    restore();
    long done = System.nanoTime();
    open();
    assertThat(keys(keystore)).hasSize(20_000);
    System.out.printf(
        "%s: 20,000 keys, %,d bytes: backup %d ms, restore %d ms%n",
        kind, Files.size(file), (backedUp - start) / 1_000_000, (done - backedUp) / 1_000_000);
  }
}
