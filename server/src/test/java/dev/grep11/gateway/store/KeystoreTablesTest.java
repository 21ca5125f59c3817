package dev.grep11.gateway.store;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.grep11.gateway.keystore.Access;
import dev.grep11.gateway.keystore.KeyBlobs;
import dev.grep11.gateway.keystore.Keystores;
import dev.grep11.gateway.keystore.StoredKey;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a writer of the database can do to keystores, on both databases. */
@ParameterizedClass
@EnumSource
class KeystoreTablesTest {
  enum Kind {
    SQLITE,
    POSTGRESQL
  }

  private static final UUID INSTANCE = UUID.fromString("6f6a3f0e-52d5-4d1e-9d1c-0a7b1f0c2d3e");
  private static final Instant NOON = Instant.parse("2026-11-21T12:00:00Z");

  private final SoftwareEnvelope envelope = new SoftwareEnvelope();
  @Parameter Kind kind = Kind.SQLITE;
  @TempDir Path temporary;
  private StoreLocation location;
  private Store store;
  private KeystoreTables tables;
  private KeystoreRecord keystore;
  private KeystoreRecord other;
  private final UUID first = UUID.randomUUID();
  private final UUID second = UUID.randomUUID();

  @BeforeEach
  void fill() throws SQLException {
    location =
        switch (kind) {
          case SQLITE -> new StoreLocation.Directory(temporary.resolve("store"));
          case POSTGRESQL -> PostgresServer.shared().createDatabase();
        };
    store = Store.create(location, envelope, new SoftwareAnchor());
    tables = store.keystores();
    keystore = added("canary-keystore");
    other = added("other");
    put(keystore, first, "canary-label");
    put(keystore, second, "canary-label");
    put(other, UUID.randomUUID(), "canary-label");
    verify();
  }

  @AfterEach
  void close() {
    store.close();
  }

  private KeystoreRecord added(String name) {
    var made = KeystoreRecord.empty(INSTANCE, UUID.randomUUID(), name, NOON, Optional.empty());
    boolean added = tables.change(INSTANCE, change -> change.add(made));
    assertThat(added).isTrue();
    return made;
  }

  private void put(KeystoreRecord in, UUID id, String label) {
    var key =
        new KeyRecord(id, 0, UUID.randomUUID(), List.of("aa"), "canary-content".getBytes(UTF_8));
    boolean added =
        tables.change(
            INSTANCE,
            change -> change.add(now(change, in), key, Map.of(Searched.LABEL, label(label))));
    assertThat(added).isTrue();
  }

  private static KeystoreRecord now(KeystoreTables.View view, KeystoreRecord keystore) {
    return view.find(keystore.id()).orElseThrow();
  }

  private static byte[] label(String text) {
    return text.getBytes(UTF_8);
  }

  private void update(UUID id, long version) {
    tables.change(
        INSTANCE,
        change -> {
          change.replace(
              now(change, keystore),
              new KeyRecord(id, version, UUID.randomUUID(), List.of("bb"), new byte[] {1}),
              Map.of(Searched.LABEL, label("another")));
          return true;
        });
  }

  private void remove(KeystoreRecord gone) {
    boolean done = false;
    while (!done) {
      done = tables.change(INSTANCE, change -> change.remove(now(change, gone)));
    }
  }

  private void verify() {
    tables.read(
        INSTANCE,
        view -> {
          view.keystores().forEach(view::verify);
          return true;
        });
  }

  private List<KeyRecord> find(String label) {
    return tables.read(
        INSTANCE,
        view ->
            view.search(now(view, keystore), Map.of(Searched.LABEL, label(label)), new byte[0], 10)
                .keys());
  }

  private Connection plain() throws SQLException {
    return switch (location) {
      case StoreLocation.Directory directory ->
          DriverManager.getConnection("jdbc:sqlite:" + directory.path().resolve("store.db"));
      case StoreLocation.Postgresql server ->
          PostgresServer.shared().connect(PostgresServer.nameOf(server));
    };
  }

  private void sql(String... statements) throws SQLException {
    try (var connection = plain();
        var statement = connection.createStatement()) {
      for (var each : statements) {
        statement.execute(each);
      }
    }
  }

  private static void assertTampered(ThrowingCallable call) {
    assertThatThrownBy(call).isInstanceOf(StoreTamperedException.class);
  }

  @Test
  void findsByEqualValuesAndCarriesTheSumThroughEveryChange() {
    assertThat(find("canary-label"))
        .extracting(KeyRecord::id)
        .containsExactlyInAnyOrder(first, second);
    update(first, 1);
    assertThat(find("canary-label")).extracting(KeyRecord::id).containsExactly(second);
    assertThat(find("another")).extracting(KeyRecord::version).containsExactly(1L);
    verify();
    var both = List.of("aa", "bb");
    assertThat(tables.dependents(INSTANCE, "aa", both)).isEqualTo(2);
    assertThat(tables.dependents(INSTANCE, "bb", both)).isEqualTo(1);
    tables.change(
        INSTANCE,
        change -> {
          change.remove(now(change, keystore), first);
          return true;
        });
    verify();
    assertThat(tables.<Long>read(INSTANCE, view -> now(view, keystore).keys())).isEqualTo(1);
  }

  @Test
  void aChangeThatThrowsDidNotHappen() {
    assertThatThrownBy(() ->
            tables.change(
                INSTANCE,
                change -> {
                  change.remove(now(change, keystore), first);
                  throw new IllegalStateException("on purpose");
                }))
        .hasMessage("on purpose");
    assertThat(find("canary-label")).hasSize(2);
    verify();
  }

  @Test
  void aKeyDependsOnItsSecondBlobOnceTheFirstDoesNotOpen() {
    var key = new KeyRecord(first, 1, UUID.randomUUID(), List.of("cc", "bb"), new byte[0]);
    tables.change(
        INSTANCE,
        change -> {
          change.replace(now(change, keystore), key, Map.of());
          return true;
        });
    assertThat(tables.dependents(INSTANCE, "bb", List.of("bb", "cc"))).isZero();
    assertThat(tables.dependents(INSTANCE, "bb", List.of("bb"))).isEqualTo(1);
    assertThat(tables.dependents(INSTANCE, "bb", List.of())).isEqualTo(1);
    assertThat(tables.dependents(INSTANCE, "cc", List.of("bb"))).isEqualTo(1);
  }

  @Test
  void aRefusalKeepsTheConnectionAndHoldsNoLock() throws SQLException {
    List<Connection> used = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      assertThatThrownBy(() ->
              tables.change(
                  INSTANCE,
                  change -> {
                    used.add(change.connection());
                    change.remove(now(change, keystore), first);
                    throw new Pkcs11Exception(Ckr.CKR_IBM_GREP11_CONFLICT, "on purpose");
                  }))
          .isInstanceOf(Pkcs11Exception.class);
      sql("UPDATE keystore SET revision = revision");
    }
    assertThat(used).hasSize(3).containsOnly(used.getFirst());
    update(first, 1);
    verify();
  }

  @Test
  void removesAKeystoreInStepsThatEachAddUp() {
    tables.change(
        INSTANCE,
        change -> {
          for (int i = 0; i < KeystoreTables.MOST_REMOVED; i++) {
            change.add(
                now(change, keystore),
                new KeyRecord(UUID.randomUUID(), 0, UUID.randomUUID(), List.of("aa"), new byte[1]),
                Map.of());
          }
          return true;
        });
    boolean gone = tables.change(INSTANCE, change -> change.remove(now(change, keystore)));
    assertThat(gone).isFalse();
    verify();
    assertThat(tables.<Long>read(INSTANCE, view -> now(view, keystore).keys())).isEqualTo(2);
    remove(keystore);
    assertThat(tables.<Boolean>read(INSTANCE, view -> view.find(keystore.id()).isEmpty())).isTrue();
    var again = KeystoreRecord.empty(INSTANCE, keystore.id(), "again", NOON, Optional.empty());
    boolean made = tables.change(INSTANCE, change -> change.add(again));
    assertThat(made).isTrue();
    verify();
  }

  @Test
  void aReaderOfAnOlderStateAccusesNobody() {
    tables.read(
        INSTANCE,
        view -> {
          assertThat(view.keystores()).hasSize(2);
          CompletableFuture.runAsync(() -> update(first, 1)).join();
          return view.find(keystore.id()).orElseThrow();
        });
    assertThat(trusted(keystore)).isTrue();
  }

  @Test
  void forgetsTheOldestTransactionsAndThoseBeyondTheMost() throws SQLException {
    int tooMany = KeystoreTables.MOST_TRANSACTIONS + KeystoreTables.MOST_FORGOTTEN + 7;
    var tag = kind == Kind.SQLITE ? "CAST(i AS BLOB)" : "int8send(i)";
    sql(
        "WITH RECURSIVE n(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < "
            + tooMany
            + ") INSERT INTO keystore_transaction (keystore, tag, carried_out) SELECT row_key, "
            + tag
            + ", "
            + NOON.toEpochMilli()
            + " - i FROM n, keystore");
    assertThat(tables.forgetTransactions(keystore, NOON)).isTrue();
    assertThat(tables.forgetTransactions(keystore, NOON)).isFalse();
    assertThat(tables.forgetTransactions(keystore, NOON)).isFalse();
    assertThat(transactions()).isEqualTo(KeystoreTables.MOST_TRANSACTIONS + (long) tooMany);

    var later = NOON.plus(KeystoreTables.TRANSACTIONS_KNOWN).plusSeconds(1);
    while (tables.forgetTransactions(keystore, later)) {
      // In steps.
    }
    assertThat(transactions()).isEqualTo(tooMany);
  }

  private long transactions() throws SQLException {
    try (var connection = plain();
        var statement = connection.createStatement();
        var row = statement.executeQuery("SELECT COUNT(*) FROM keystore_transaction")) {
      assertThat(row.next()).isTrue();
      return row.getLong(1);
    }
  }

  @Test
  void noticesARemovedKeyAndBelievesTheKeystoreNoMore() throws SQLException {
    sql(
        "CREATE TABLE kept AS SELECT * FROM keystore_key",
        "DELETE FROM keystore_key"
            + " WHERE row_key = (SELECT row_key FROM keystore_key ORDER BY row_key LIMIT 1)");
    assertTampered(this::verify);
    sql("DELETE FROM keystore_key", "INSERT INTO keystore_key SELECT * FROM kept");
    assertThat(List.of(keystore, other).stream().filter(each -> !trusted(each)).toList())
        .as("also when the key is back")
        .hasSize(1);
  }

  private boolean trusted(KeystoreRecord of) {
    try {
      return tables.read(
          INSTANCE,
          view -> {
            view.requireTrusted(now(view, of));
            return true;
          });
    } catch (StoreTamperedException e) {
      return false;
    }
  }

  @Test
  void noticesAnOlderRowOfAKey() throws SQLException {
    sql("CREATE TABLE kept AS SELECT * FROM keystore_key");
    update(first, 1);
    verify();
    sql("DELETE FROM keystore_key", "INSERT INTO keystore_key SELECT * FROM kept");
    assertTampered(this::verify);
  }

  @Test
  void noticesAnOlderRowOfAKeystoreAtOnce() throws SQLException {
    sql("CREATE TABLE kept AS SELECT * FROM keystore");
    update(first, 1);
    sql("DELETE FROM keystore", "INSERT INTO keystore SELECT * FROM kept");
    assertTampered(() -> find("another"));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "UPDATE keystore_key SET version = version + 1",
        "UPDATE keystore_key SET generation = of_label",
        "UPDATE keystore_key SET of_id = of_class",
        "UPDATE keystore_key SET sealed = nonce",
        "UPDATE keystore_key SET nonce = of_label",
        "UPDATE keystore SET revision = revision + 1"
      })
  void opensNoRowThatWasChanged(String change) throws SQLException {
    sql(change);
    assertTampered(() -> find("canary-label"));
  }

  @Test
  void opensNoRowOfAnotherKeystore() throws SQLException {
    sql(
        "UPDATE keystore_key"
            + " SET keystore = (SELECT row_key FROM keystore ORDER BY row_key LIMIT 1)"
            + " WHERE keystore = (SELECT row_key FROM keystore ORDER BY row_key DESC LIMIT 1)");
    var moved = List.of(keystore, other);
    assertTampered(() ->
        moved.forEach(each ->
            tables.read(
                INSTANCE, view -> view.search(now(view, each), Map.of(), new byte[0], 10))));
  }

  @Test
  void holdsNoNameInClear() throws Exception {
    var found = new StringBuilder();
    try (var connection = plain();
        var statement = connection.createStatement()) {
      for (var table : List.of("keystore", "keystore_key", "keystore_transaction")) {
        try (var rows = statement.executeQuery("SELECT * FROM " + table)) {
          while (rows.next()) {
            for (int i = 1; i <= rows.getMetaData().getColumnCount(); i++) {
              var bytes =
                  rows.getMetaData().getColumnTypeName(i).matches("(?i)bytea|blob")
                      ? rows.getBytes(i)
                      : rows.getString(i).getBytes(UTF_8);
              found.append(new String(bytes, ISO_8859_1));
            }
          }
        }
      }
    }
    assertThat(found.toString()).isNotEmpty().doesNotContain("canary");
    if (kind == Kind.SQLITE) {
      store.close();
      try (var files = Files.list(temporary.resolve("store"))) {
        for (var file : files.toList()) {
          assertThat(new String(Files.readAllBytes(file), ISO_8859_1)).doesNotContain("canary");
        }
      }
    }
  }

  @Test
  @Tag("load")
  void twentyThousandKeysAreFoundEachByItsNameAndInPagesAndOneMoreIsRefused() {
    int inOther = 1;
    int there = 2;
    int most = Keystores.MOST_KEYS - inOther;
    tables.change(
        INSTANCE,
        change -> {
          var in = now(change, keystore);
          for (int i = there; i < most; i++) {
            change.add(
                in,
                new KeyRecord(
                    UUID.randomUUID(), 0, UUID.randomUUID(), List.of("aa"), new byte[900]),
                Map.of(Searched.LABEL, label("number " + i)));
          }
          return true;
        });

    verify();
    Set<UUID> seen = new HashSet<>();
    var after = Optional.of(new byte[0]);
    while (after.isPresent()) {
      byte[] from = after.get();
      var page =
          tables.read(INSTANCE, view -> view.search(now(view, keystore), Map.of(), from, 500));
      page.keys().forEach(key -> assertThat(seen.add(key.id())).isTrue());
      after = page.next();
    }
    assertThat(seen).hasSize(most);
    for (int i = there; i < most; i += 997) {
      assertThat(find("number " + i)).hasSize(1);
    }
    var keystores =
        new Keystores(tables, new NoBlobs(), () -> Optional.of(Snapshot.EMPTY), () -> NOON);
    var access = new Access(INSTANCE, other.id(), "caller", new byte[0]);
    var data = Template.builder().put(Cka.CKA_CLASS, Cko.CKO_DATA).build();
    assertThatThrownBy(() ->
            keystores.store(
                access, new StoredKey(UUID.randomUUID(), 0, UUID.randomUUID(), data, List.of())))
        .isInstanceOfSatisfying(
            Pkcs11Exception.class,
            e -> assertThat(e.returnValue()).isEqualTo(Ckr.CKR_DEVICE_MEMORY));
  }

  /** Data objects have none. */
  private static final class NoBlobs implements KeyBlobs {
    @Override
    public Proven prove(UUID instance, String caller, byte[] blob) {
      throw new IllegalStateException("a data object has no blob");
    }

    @Override
    public Optional<Proven> reseal(UUID instance, String caller, byte[] blob) {
      throw new IllegalStateException("a data object has no blob");
    }
  }
}
