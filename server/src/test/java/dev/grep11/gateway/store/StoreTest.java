package dev.grep11.gateway.store;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Each case on both databases. */
@ParameterizedClass
@EnumSource
class StoreTest {
  enum Kind {
    SQLITE,
    POSTGRESQL
  }

  private static final String FILES = "about files of SQLite";
  private static final UUID INSTANCE = UUID.fromString("6f6a3f0e-52d5-4d1e-9d1c-0a7b1f0c2d3e");
  private static final Subject BILLING =
      new Subject("https://issuer.canary.example", "billing-service-canary");
  private static final Grant GRANT = Grant.ofRole(BILLING, INSTANCE, "Manager");

  private static final Instant NOON = Instant.parse("2026-11-21T12:00:00Z");
  private static final ReplicaRecord REPLICA =
      new ReplicaRecord(
          UUID.fromString("0d8f5b5e-0b1c-4a55-8a55-0f0e0d0c0b0a"),
          "gateway-canary",
          NOON,
          NOON.plusSeconds(300),
          Set.of("aa", "bb"),
          Set.of("bb"),
          Set.of("aa"));
  private static final SealingKeyUse USE = new SealingKeyUse(INSTANCE, "aa", 7, NOON);

  private final SoftwareEnvelope envelope = new SoftwareEnvelope();
  private final SoftwareAnchor anchor = new SoftwareAnchor();
  @Parameter Kind kind = Kind.SQLITE;
  @TempDir Path temporary;
  private StoreLocation location;

  @BeforeEach
  void choosePlace() throws SQLException {
    location =
        switch (kind) {
          case SQLITE -> new StoreLocation.Directory(directory());
          case POSTGRESQL -> PostgresServer.shared().createDatabase();
        };
    if (kind == Kind.POSTGRESQL) {
      plainSql(
          "CREATE FUNCTION zeroblob(length int) RETURNS bytea LANGUAGE sql"
              + " AS 'SELECT decode(repeat(''00'', length), ''hex'')'");
    }
  }

  private StoreLocation location() {
    return location;
  }

  @Test
  void returnsEveryRecordAsItWasAfterOpeningAgain() {
    Grant actions =
        new Grant(
            BILLING,
            INSTANCE,
            new Entitlement.Actions(Set.of("hs-crypto.crypto.sign", "hs-crypto.ep11.use")),
            Optional.of("keystore:" + INSTANCE));
    InstanceRecord instance = instance(INSTANCE, "payments");
    ApiKeyRecord apiKey = apiKey("ci");
    try (Store store = Store.create(location(), envelope, anchor)) {
      assertThat(store.generation()).isZero();
      assertThat(store.createInstance(instance)).isTrue();
      assertThat(store.addGrant(GRANT)).isTrue();
      assertThat(store.addGrant(actions)).isTrue();
      assertThat(store.addApiKey(apiKey)).isTrue();
      assertThat(store.generation()).isEqualTo(4);
    }
    try (Store store = Store.open(location(), envelope, anchor)) {
      assertThat(store.generation()).isEqualTo(4);
      assertThat(store.instances()).containsExactly(instance);
      assertThat(store.findInstance(INSTANCE)).contains(instance);
      assertThat(store.grants()).containsExactlyInAnyOrder(GRANT, actions);
      assertThat(store.findApiKey(apiKey.hash())).contains(apiKey);
      assertThat(store.findRegistry(INSTANCE)).contains(new RegistryRecord(INSTANCE, 0, List.of()));
    }
  }

  @Test
  void keepsWhatGatewaysSayLastAndAddsUp() {
    try (Store store = populated()) {
      Instant later = NOON.plusSeconds(60);
      ReplicaRecord again =
          new ReplicaRecord(
              REPLICA.id(),
              REPLICA.name(),
              later,
              later.plusSeconds(300),
              Set.of("bb"),
              Set.of(),
              Set.of("bb"));
      store.change(change -> {
        change.put(again);
        change.add(new SealingKeyUse(INSTANCE, "aa", 3, later));
        change.add(new SealingKeyUse(INSTANCE, "aa", 1, NOON));
        return true;
      });
      Snapshot snapshot = store.snapshot();
      assertThat(snapshot.replicas()).containsExactly(again);
      assertThat(snapshot.use(INSTANCE, "aa"))
          .contains(new SealingKeyUse(INSTANCE, "aa", 11, later));
      assertThat(snapshot.live(later.plusSeconds(300))).containsExactly(again);
      assertThat(snapshot.live(later.plusSeconds(301))).isEmpty();
      assertThat(store.<Boolean>change(change -> change.remove(again))).isTrue();
      assertThat(store.snapshot().replicas()).isEmpty();
    }
  }

  @Test
  void replacesAnInstanceThatIsThereAndNoOther() {
    try (Store store = populated()) {
      InstanceRecord instance = store.findInstance(INSTANCE).orElseThrow();
      SealingKeyGeneration retired =
          instance.generations().getFirst().in(SealingKeyGeneration.State.RETIRED, NOON);
      InstanceRecord changed = instance.with(retired);
      assertThat(store.<Boolean>change(change -> change.replace(changed))).isTrue();
      assertThat(store.findInstance(INSTANCE)).contains(changed);
      assertThat(changed.generations()).containsExactly(retired);
      InstanceRecord unknown = instance(UUID.randomUUID(), "unknown");
      assertThat(store.<Boolean>change(change -> change.replace(unknown))).isFalse();
      assertThat(store.findInstance(unknown.id())).isEmpty();
    }
  }

  @Test
  void takesUpAStoreOfTheFirstSchemaVersion() throws SQLException {
    try (Store store = Store.create(location(), envelope, anchor)) {
      store.createInstance(instance(INSTANCE, "payments"));
      store.addGrant(GRANT);
    }
    plainSql(
        "DROP TABLE replica; DROP TABLE sealing_key_use; DROP TABLE administrator;"
            + " DROP TABLE enrolment; DROP TABLE event; DROP TABLE audit_head; DROP TABLE upkeep;"
            + " DROP TABLE keystore; DROP TABLE keystore_key; DROP TABLE keystore_transaction;"
            + " DELETE FROM schema_version WHERE version > 1");
    try (Store store = Store.open(location(), envelope, anchor)) {
      assertThat(store.grants()).containsExactly(GRANT);
      store.change(change -> {
        change.put(REPLICA);
        return true;
      });
      assertThat(store.snapshot().replicas()).containsExactly(REPLICA);
    }
  }

  @Test
  void readsInstancesOfTheFirstFormat() {
    InstanceRecord instance = instance(INSTANCE, "payments");
    byte[] now = RecordCodec.encode(instance);
    // The time of the last change stands before the six ids of the only generation.
    int at = now.length - 6 * (Integer.BYTES + 16) - (Long.BYTES + Integer.BYTES);
    byte[] first = new byte[now.length - (Long.BYTES + Integer.BYTES)];
    System.arraycopy(now, 0, first, 0, at);
    System.arraycopy(now, now.length - (first.length - at), first, at, first.length - at);
    first[0] = 1;
    assertThat(RecordCodec.decode(Table.INSTANCE, first)).isEqualTo(instance);
    first[0] = 3;
    assertThatThrownBy(() -> RecordCodec.decode(Table.INSTANCE, first))
        .isInstanceOf(StoreException.class)
        .hasMessageContaining("format 3");
  }

  @Test
  void readsReplicasThatDoNotSayTheirRules() {
    byte[] now = RecordCodec.encode(REPLICA);
    byte[] first = java.util.Arrays.copyOf(now, now.length - 1);
    first[0] = 1;
    assertThat(RecordCodec.decode(Table.REPLICA, first)).isEqualTo(REPLICA);

    ReplicaRecord strict =
        new ReplicaRecord(
            REPLICA.id(),
            REPLICA.name(),
            REPLICA.seen(),
            REPLICA.until(),
            REPLICA.opens(),
            REPLICA.rewrapsUnder(),
            REPLICA.seals(),
            Optional.of(new ReplicaRecord.Rules(true, "COUNTERSIGNED")));
    assertThat(RecordCodec.decode(Table.REPLICA, RecordCodec.encode(strict))).isEqualTo(strict);
    assertThat(strict.asked().rules()).isEqualTo(strict.rules());
  }

  @Test
  void hasNoRegistryForAnInstanceItDoesNotKnow() {
    try (Store store = Store.create(location(), envelope, anchor)) {
      assertThat(store.findRegistry(INSTANCE)).isEmpty();
    }
  }

  @Test
  void saysFalseToDuplicatesAndToWhatIsNotThereAndKeepsItsGeneration() {
    try (Store store = populated()) {
      long before = store.generation();
      assertThat(store.createInstance(instance(INSTANCE, "another name"))).isFalse();
      assertThat(store.createInstance(instance(UUID.randomUUID(), "payments"))).isFalse();
      assertThat(store.addGrant(GRANT)).isFalse();
      assertThat(store.addApiKey(apiKey("ci"))).isFalse();
      assertThat(store.removeGrant(Grant.ofRole(BILLING, INSTANCE, "Reader"))).isFalse();
      assertThat(store.deleteApiKey(UUID.randomUUID())).isFalse();
      assertThat(store.generation()).isEqualTo(before);
    }
  }

  @Test
  void removesGrantsAndApiKeys() {
    try (Store store = populated()) {
      ApiKeyRecord apiKey = store.apiKeys().getFirst();
      assertThat(store.removeGrant(GRANT)).isTrue();
      assertThat(store.deleteApiKey(apiKey.id())).isTrue();
      assertThat(store.grants()).isEmpty();
      assertThat(store.findApiKey(apiKey.hash())).isEmpty();
    }
  }

  @Test
  void changesNothingWhenTheWorkOfATransactionFails() {
    try (Store store = populated()) {
      Snapshot before = store.snapshot();
      assertThatThrownBy(() ->
              store.<Boolean>change(change -> {
                change.remove(GRANT);
                change.add(Grant.ofRole(BILLING, INSTANCE, "Reader"));
                throw new IllegalStateException("on purpose");
              }))
          .hasMessage("on purpose");
      assertThat(store.snapshot()).isEqualTo(before);
      assertThat(store.removeGrant(GRANT)).isTrue();
    }
  }

  @Test
  void refusesToCreateASecondStoreAndToOpenNone() {
    assertThat(Store.exists(location())).isFalse();
    assertThatThrownBy(() -> Store.open(location(), envelope, anchor))
        .hasMessageContaining("there is no store");
    Store.create(location(), envelope, anchor).close();
    assertThat(Store.exists(location())).isTrue();
    assertThatThrownBy(() -> Store.create(location(), envelope, anchor))
        .hasMessageContaining("already");
  }

  @Test
  void refusesAnotherEnvelope() {
    Store.create(location(), envelope, anchor).close();
    assertThatThrownBy(() -> Store.open(location(), new SoftwareEnvelope(), anchor))
        .isInstanceOf(StoreException.class)
        .hasMessageContaining("data key");
  }

  @Test
  void keepsItsFilesFromOtherUsersAndRefusesToOpenThemWhenTheyAreNot() throws IOException {
    assumeTrue(kind == Kind.SQLITE, FILES);
    try (Store store = populated();
        Stream<Path> files = Files.list(directory())) {
      assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(directory())))
          .isEqualTo("rwx------");
      assertThat(files.toList())
          .hasSizeGreaterThanOrEqualTo(2)
          .allSatisfy(file ->
              assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file)))
                  .isEqualTo("rw-------"));
      assertThat(store.generation()).isPositive();
    }
    Files.setPosixFilePermissions(
        directory().resolve("store.db"), PosixFilePermissions.fromString("rw-r-----"));
    assertThatThrownBy(() -> Store.open(location(), envelope, anchor))
        .hasMessageContaining("store.db has mode rw-r-----, it must be rw-------");
  }

  @Test
  void leavesNoSubjectNameOrCertificateReadableOnDisk() throws IOException {
    assumeTrue(kind == Kind.SQLITE, FILES);
    try (Store store = populated()) {
      assertThat(store.generation()).isPositive();
      StringBuilder disk = new StringBuilder();
      try (Stream<Path> files = Files.list(directory())) {
        for (Path file : files.toList()) {
          disk.append(Files.readString(file, ISO_8859_1));
        }
      }
      // What must be found shows that what must not be found would be.
      assertThat(disk.toString()).contains("access_grant");
      for (String secret :
          List.of("canary", "payments", "Manager", INSTANCE.toString(), "ci-canary")) {
        assertThat(disk.toString()).doesNotContain(secret);
      }
      String id = new String(new byte[] {1, 1, 1, 1, 1, 1, 1, 1}, ISO_8859_1);
      assertThat(disk.toString()).as("a CKA_ID of the fixture").doesNotContain(id + id);
    }
  }

  static Stream<Arguments> tamperings() {
    return Stream.of(
        tampering("a row changed", "UPDATE access_grant SET sealed = zeroblob(80)"),
        tampering(
            "one bit of a row", "UPDATE access_grant SET sealed = (SELECT sealed FROM registry)"),
        tampering("a row's version", "UPDATE access_grant SET version = version + 1"),
        tampering("a row's key", "UPDATE access_grant SET row_key = zeroblob(32)"),
        tampering("a row removed", "DELETE FROM access_grant"),
        tampering("a registry removed", "DELETE FROM registry"),
        tampering(
            "a row copied",
            "INSERT INTO access_grant SELECT zeroblob(32), version, sealed FROM access_grant"),
        tampering("a gateway's record removed", "DELETE FROM replica"),
        tampering("the uses of a key removed", "DELETE FROM sealing_key_use"),
        tampering("a row of another table", "INSERT INTO access_grant SELECT * FROM api_key"),
        tampering("a row emptied", "UPDATE api_key SET sealed = zeroblob(0)"),
        tampering("the head removed", "DELETE FROM head"),
        tampering("the head's generation", "UPDATE head SET generation = generation + 1"),
        tampering("the head's digest", "UPDATE head SET sealed = zeroblob(60)"),
        tampering(
            "everything removed",
            "DELETE FROM instance; DELETE FROM access_grant; DELETE FROM api_key; DELETE FROM registry"));
  }

  private static Arguments tampering(String what, String sql) {
    return Arguments.of(what, sql);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("tamperings")
  void noticesWhatPlainSqlChanged(String what, String sql) throws SQLException {
    try (Store store = populated()) {
      plainSql(sql);
      assertThatThrownBy(store::snapshot).as(what).isInstanceOf(StoreTamperedException.class);
      assertThatThrownBy(() -> store.findRegistry(INSTANCE))
          .isInstanceOf(StoreTamperedException.class);
      assertThatThrownBy(() -> store.addGrant(Grant.ofRole(BILLING, INSTANCE, "Reader")))
          .as("a change would seal the tampering")
          .isInstanceOf(StoreTamperedException.class);
      assertThatThrownBy(() -> Store.open(location(), envelope, anchor))
          .isInstanceOf(StoreTamperedException.class);
    }
  }

  @Test
  void noticesARemovedGrantPutBack() throws SQLException {
    try (Store store = populated()) {
      plainSql("CREATE TABLE kept AS SELECT * FROM access_grant");
      store.removeGrant(GRANT);
      plainSql("INSERT INTO access_grant SELECT * FROM kept");
      assertThatThrownBy(store::grants).isInstanceOf(StoreTamperedException.class);
    }
  }

  @Test
  void noticesAHeadRolledBackAlone() throws SQLException {
    try (Store store = populated()) {
      plainSql("CREATE TABLE kept AS SELECT * FROM head");
      store.removeGrant(GRANT);
      plainSql("DELETE FROM head; INSERT INTO head SELECT * FROM kept");
    }
    assertThatThrownBy(() -> Store.open(location(), envelope, anchor))
        .isInstanceOf(StoreTamperedException.class);
  }

  @Test
  void believesNothingUntilARestartOnceItWasTamperedWith() throws SQLException {
    try (Store store = populated()) {
      plainSql("CREATE TABLE kept AS SELECT * FROM access_grant; DELETE FROM access_grant");
      assertThatThrownBy(store::snapshot).isInstanceOf(StoreTamperedException.class);
      plainSql("INSERT INTO access_grant SELECT * FROM kept");

      assertThatThrownBy(store::snapshot).hasMessageContaining("before a restart");
      assertThatThrownBy(store::generation).isInstanceOf(StoreTamperedException.class);
      assertThatThrownBy(() -> store.removeGrant(GRANT)).isInstanceOf(StoreTamperedException.class);
    }
    try (Store restarted = Store.open(location(), envelope, anchor)) {
      assertThat(restarted.grants()).contains(GRANT);
    }
  }

  @Test
  void noticesAnOlderDatabasePutBackUnderARunningProcess() throws SQLException {
    try (Store store = populated()) {
      plainSql(
          "CREATE TABLE kept_head AS SELECT * FROM head; CREATE TABLE kept AS SELECT * FROM access_grant");
      store.removeGrant(GRANT);
      plainSql(
          "DELETE FROM head; INSERT INTO head SELECT * FROM kept_head; INSERT INTO access_grant SELECT * FROM kept");
      assertThatThrownBy(store::generation)
          .isInstanceOf(StoreTamperedException.class)
          .hasMessageContaining("older");
    }
  }

  @Test
  void anchorsWhatGrantsOrRevokesAndNothingElse() {
    try (Store store = Store.create(location(), envelope, anchor)) {
      store.addGrant(GRANT);
      assertThat(anchor.highest()).isEqualTo(1);
      store.change(change -> {
        change.put(REPLICA);
        change.add(USE);
        return true;
      });
      assertThat(store.generation()).isEqualTo(2);
      assertThat(anchor.highest()).isEqualTo(1);
      store.removeGrant(GRANT);
      assertThat(anchor.highest()).isEqualTo(3);
    }
  }

  @Test
  void refusesAnOlderDatabaseHoweverOftenItWasWrittenSince() throws SQLException {
    try (Store store = populated()) {
      plainSql(
          "CREATE TABLE kept_head AS SELECT * FROM head; CREATE TABLE kept AS SELECT * FROM access_grant");
      store.removeGrant(GRANT);
    }
    plainSql(
        "DELETE FROM head; INSERT INTO head SELECT * FROM kept_head; INSERT INTO access_grant SELECT * FROM kept");
    assertThatThrownBy(() -> Store.open(location(), envelope, anchor))
        .isInstanceOf(StoreTamperedException.class)
        .hasMessageContaining("of generation 3, and the token remembers generation 5");
    // A process that had it open would bump its generation every few seconds.
    try (Store unaware = Store.open(location(), envelope, new SoftwareAnchor())) {
      for (int i = 0; i < 5; i++) {
        unaware.change(change -> {
          change.add(USE);
          return true;
        });
      }
      assertThat(unaware.generation()).isGreaterThan(anchor.highest());
    }
    assertThatThrownBy(() -> Store.open(location(), envelope, anchor))
        .isInstanceOf(StoreTamperedException.class);
  }

  @Test
  void grantsNothingOnADatabaseThatIsOlderThanTheAnchor() {
    try (Store store = populated()) {
      anchor.advance(store.generation() + 1);
      assertThatThrownBy(() -> store.removeGrant(GRANT))
          .isInstanceOf(StoreTamperedException.class)
          .hasMessageContaining("older");
      assertThatThrownBy(store::snapshot).hasMessageContaining("before a restart");
    }
  }

  @Test
  void letsNoGatewaySayThatItServesByADatabaseThatIsOlderThanTheAnchor() {
    try (Store store = populated()) {
      anchor.advance(store.generation() + 1);
      // What no lease rests on goes on: a gateway leaves, and says what it used.
      store.change(change -> {
        change.add(USE);
        return change.remove(REPLICA);
      });
      assertThatThrownBy(() ->
              store.change(change -> {
                change.put(REPLICA);
                return true;
              }))
          .isInstanceOf(StoreTamperedException.class)
          .hasMessageContaining("older");
      assertThatThrownBy(store::generation).hasMessageContaining("before a restart");
    }
  }

  @Test
  void letsNoGatewaySayThatItServesWhileTheAnchorCannotBeAsked() {
    try (Store store = populated()) {
      anchor.silent(true);
      long before = store.generation();
      assertThatThrownBy(() ->
              store.change(change -> {
                change.put(REPLICA);
                return true;
              }))
          .isExactlyInstanceOf(StoreException.class)
          .hasMessageContaining("nothing was changed");
      assertThat(store.generation()).isEqualTo(before);
    }
  }

  @Test
  void tellsTheAnchorWhatAKilledProcessDidNot() {
    SoftwareAnchor behind = new SoftwareAnchor();
    populated().close();
    try (Store store = Store.open(location(), envelope, behind)) {
      assertThat(store.generation()).isEqualTo(4);
    }
    assertThat(behind.highest()).isEqualTo(3);
  }

  @Test
  void saysThatAChangeIsMadeAndNotAnchoredUntilItIs() {
    Grant reader = Grant.ofRole(BILLING, INSTANCE, "Reader");
    try (Store store = populated()) {
      anchor.broken(true);
      assertThatThrownBy(() -> store.addGrant(reader))
          .isInstanceOf(StoreException.class)
          .hasMessageContaining("the change is made, but the token does not remember it");
      assertThatThrownBy(() -> store.addGrant(reader))
          .as("that it is there already says no more than the first answer")
          .hasMessageContaining("does not remember it");
      anchor.broken(false);
      assertThat(store.addGrant(reader)).isFalse();
      assertThat(anchor.highest()).isEqualTo(store.generation());
      assertThat(store.grants()).contains(reader);
    }
  }

  @Test
  void beginsNoEmptyStoreWhereTheAnchorRemembersOne() throws Exception {
    populated().close();
    switch (kind) {
      case SQLITE -> Files.delete(directory().resolve("store.db"));
      case POSTGRESQL -> plainSql("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    }
    assertThatThrownBy(() -> Store.create(location(), envelope, anchor))
        .isInstanceOf(StoreException.class)
        .hasMessageContaining("the token remembers generation 3");
  }

  @Test
  void readsAHeadFromBeforeThereWereAnchors() throws Exception {
    try (Store store = populated()) {
      assertThat(store.generation()).isEqualTo(4);
      replaceHeadByItsDigest();
      SoftwareAnchor none = new SoftwareAnchor();
      try (Store opened = Store.open(location(), envelope, none)) {
        assertThat(opened.grants()).containsExactly(GRANT);
        assertThat(none.highest()).isEqualTo(4);
        opened.removeGrant(GRANT);
        assertThat(none.highest()).isEqualTo(5);
      }
    }
  }

  @Test
  void showsChangesToAnotherStoreOnTheSameDirectory() {
    try (Store one = populated();
        Store two = Store.open(location(), envelope, anchor)) {
      long before = two.generation();
      one.removeGrant(GRANT);
      assertThat(two.generation()).isEqualTo(before + 1);
      assertThat(two.grants()).isEmpty();
      assertThat(two.addGrant(GRANT)).isTrue();
      assertThat(one.grants()).containsExactly(GRANT);
    }
  }

  @Test
  void losesNoChangeWhenTwoStoresWriteAtOnceWhileOthersRead() throws Exception {
    try (Store one = populated();
        Store two = Store.open(location(), envelope, anchor);
        ExecutorService threads = Executors.newFixedThreadPool(3)) {
      long before = one.generation();
      List<Callable<Long>> work = new ArrayList<>();
      for (Store store : List.of(one, two)) {
        for (int i = 0; i < 20; i++) {
          work.add(() -> {
            store.addGrant(
                Grant.ofRole(new Subject("i", UUID.randomUUID().toString()), INSTANCE, "Reader"));
            return store.snapshot().generation();
          });
        }
      }
      for (Future<Long> future : threads.invokeAll(work)) {
        assertThat(future.get()).isGreaterThan(before);
      }
      assertThat(one.generation()).isEqualTo(before + 40);
      assertThat(two.grants()).hasSize(41);
    }
  }

  @Test
  void opensTheFilesAsTheyLayInTheMiddleOfATransaction() throws Exception {
    assumeTrue(kind == Kind.SQLITE, FILES);
    Path copy = temporary.resolve("copy");
    try (Store store = populated()) {
      store.change(change -> {
        change.remove(GRANT);
        copyDirectory(copy);
        return true;
      });
      assertThat(store.grants()).isEmpty();
    }
    try (Store store =
        Store.open(new StoreLocation.Directory(copy), envelope, new SoftwareAnchor())) {
      assertThat(store.grants())
          .as("the transaction had not been committed")
          .containsExactly(GRANT);
    }
  }

  @Test
  void keepsEveryAcknowledgedChangeOfAProcessThatIsKilled() throws Exception {
    byte[] key = "0123456789abcdef0123456789abcdef".getBytes(UTF_8);
    Store.create(location(), new SoftwareEnvelope(key), anchor).close();
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("java.class.path"),
                Writer.class.getName(),
                new String(key, UTF_8),
                location.toString(),
                location instanceof StoreLocation.Postgresql server ? server.user() : "",
                location instanceof StoreLocation.Postgresql server
                    ? server.passwordFile().toString()
                    : "")
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    List<String> acknowledged = new ArrayList<>();
    try (BufferedReader out = process.inputReader()) {
      while (acknowledged.size() < 20) {
        String line = out.readLine();
        assertThat(line).as("the writer ended by itself").isNotNull();
        acknowledged.add(line);
      }
      // By its handle, which leaves the pipe open: what it had acknowledged is still in there.
      process.toHandle().destroyForcibly();
      process.waitFor();
      out.lines()
          .filter(line -> line.length() == UUID.randomUUID().toString().length())
          .forEach(acknowledged::add);
    }
    try (Store store = Store.open(location(), new SoftwareEnvelope(key), anchor)) {
      assertThat(store.grants().stream().map(grant -> grant.subject().id()))
          .containsAll(acknowledged);
    }
  }

  /** Adds grants and says which, until it is killed. */
  static final class Writer {
    private Writer() {}

    public static void main(String[] arguments) {
      var location =
          arguments[2].isEmpty()
              ? new StoreLocation.Directory(Path.of(arguments[1]))
              : new StoreLocation.Postgresql(arguments[1], arguments[2], Path.of(arguments[3]));
      try (Store store =
          Store.open(
              location, new SoftwareEnvelope(arguments[0].getBytes(UTF_8)), new SoftwareAnchor())) {
        while (true) {
          String id = UUID.randomUUID().toString();
          store.addGrant(Grant.ofRole(new Subject("i", id), INSTANCE, "Reader"));
          System.out.println(id);
        }
      }
    }
  }

  private Path directory() {
    return temporary.resolve("data");
  }

  private Store populated() {
    Store store = Store.create(location(), envelope, anchor);
    store.createInstance(instance(INSTANCE, "payments"));
    store.addGrant(GRANT);
    store.addApiKey(apiKey("ci"));
    store.change(change -> {
      change.put(REPLICA);
      change.add(USE);
      return true;
    });
    return store;
  }

  /** As who may write the database. */
  private Connection connect() throws SQLException {
    return switch (location) {
      case StoreLocation.Directory _ ->
          DriverManager.getConnection("jdbc:sqlite:" + directory().resolve("store.db"));
      case StoreLocation.Postgresql server ->
          PostgresServer.shared().connect(PostgresServer.nameOf(server));
    };
  }

  private void plainSql(String sql) throws SQLException {
    try (Connection connection = connect();
        var statement = connection.createStatement()) {
      statement.executeUpdate(sql);
    }
  }

  /** What the head held when it had no room for the anchored generation. */
  private void replaceHeadByItsDigest() throws SQLException {
    try (Connection connection = connect();
        var statement = connection.createStatement();
        var row =
            statement.executeQuery(
                "SELECT data_key.sealed, head.sealed, head.generation FROM data_key, head");
        var update = connection.prepareStatement("UPDATE head SET sealed = ?")) {
      assertThat(row.next()).isTrue();
      byte[] context = "grep11-gateway store data key v1".getBytes(UTF_8);
      RowSeal seal = new RowSeal(envelope.open(row.getBytes(1), context));
      long generation = row.getLong(3);
      byte[] digest = Arrays.copyOf(seal.openHead(generation, row.getBytes(2)), 32);
      update.setBytes(1, seal.sealHead(generation, digest));
      update.executeUpdate();
    }
  }

  private void copyDirectory(Path to) {
    try (Stream<Path> files = Files.list(directory())) {
      Files.createDirectory(
          to, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
      for (Path file : files.toList()) {
        Files.copy(file, to.resolve(file.getFileName()), StandardCopyOption.COPY_ATTRIBUTES);
      }
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  private static ApiKeyRecord apiKey(String name) {
    return new ApiKeyRecord(
        UUID.randomUUID(), name, new byte[32], BILLING, Instant.ofEpochSecond(1));
  }

  static InstanceRecord instance(UUID id, String name) {
    return new InstanceRecord(
        id,
        name,
        "account-canary",
        "local",
        List.of(
            new SealingKeyGeneration(
                id(9),
                SealingKeyGeneration.State.ACTIVE,
                id(1),
                id(2),
                id(3),
                id(4),
                id(5),
                Instant.parse("2026-11-20T10:00:00.123456789Z"))));
  }

  private static byte[] id(int value) {
    byte[] id = new byte[16];
    Arrays.fill(id, (byte) value);
    return id;
  }
}
