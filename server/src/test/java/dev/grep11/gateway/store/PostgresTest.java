package dev.grep11.gateway.store;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.SQLException;
import java.time.Duration;
import java.util.UUID;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a server far away may do to a store that a file cannot. */
class PostgresTest {
  private static final Grant GRANT = grant("first");

  private final SoftwareEnvelope envelope = new SoftwareEnvelope();
  private final SoftwareAnchor anchor = new SoftwareAnchor();

  @Test
  void readsAndWritesAgainAfterItsConnectionsWereCut() throws SQLException {
    var server = PostgresServer.shared();
    try (var store = Store.create(server.createDatabase(), envelope, anchor)) {
      store.addGrant(GRANT);
      server.cutConnections();
      assertThat(store.grants()).containsExactly(GRANT);
      server.cutConnections();
      assertThat(store.removeGrant(GRANT)).isTrue();
      assertThat(store.grants()).isEmpty();
    }
  }

  @Test
  void aFollowerKeepsItsStateWhileTheServerIsAwayAndFollowsAgain() throws Exception {
    try (var server = PostgresServer.start();
        var store = Store.create(server.createDatabase(), envelope, anchor)) {
      store.addGrant(GRANT);
      var settings = new FollowSettings(Duration.ofMillis(50), Duration.ofMinutes(10));
      try (var follower = StoreFollower.start(store, settings)) {
        server.stop();
        assertThatThrownBy(store::snapshot)
            .isInstanceOf(StoreException.class)
            .isNotInstanceOf(StoreTamperedException.class);
        assertThatThrownBy(() -> store.removeGrant(GRANT)).isInstanceOf(StoreException.class);
        assertThat(follower.current().orElseThrow().grants()).containsExactly(GRANT);
        server.startAgain();
        store.addGrant(grant("second"));
        await()
            .atMost(Duration.ofSeconds(60))
            .until(() -> follower.current().orElseThrow().grants().size() == 2);
      }
    }
  }

  @Test
  void refusesAStandbyThatLacksTheLastChanges() throws SQLException {
    var server = PostgresServer.shared();
    var database = server.createDatabase();
    var name = PostgresServer.nameOf(database);
    try (var store = Store.create(database, envelope, anchor)) {
      store.addGrant(GRANT);
      server.cutConnections();
      server.execute("postgres", "CREATE DATABASE standby_" + name + " TEMPLATE " + name);
      assertThat(store.removeGrant(GRANT)).isTrue();
      server.cutConnections();
      server.execute("postgres", "ALTER DATABASE " + name + " RENAME TO failed_" + name);
      server.execute("postgres", "ALTER DATABASE standby_" + name + " RENAME TO " + name);
      assertThatThrownBy(store::generation)
          .isInstanceOf(StoreTamperedException.class)
          .hasMessageContaining("older");
    }
    assertThatThrownBy(() -> Store.open(database, envelope, anchor))
        .isInstanceOf(StoreTamperedException.class)
        .hasMessageContaining("the token remembers generation 2");
  }

  @Test
  void aUserWhoMayNotMakeTablesOpensAStoreThatHasThem(@TempDir Path directory) throws Exception {
    var server = PostgresServer.shared();
    var database = server.createDatabase();
    try (var store = Store.create(database, envelope, anchor)) {
      store.addGrant(GRANT);
    }
    server.execute(
        PostgresServer.nameOf(database),
        "DO $$ BEGIN CREATE USER tenant PASSWORD 'tenant-pw'; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
            + " REVOKE CREATE ON SCHEMA public FROM PUBLIC;"
            + " GRANT ALL ON ALL TABLES IN SCHEMA public TO tenant;"
            + " GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO tenant");
    var password = Files.writeString(directory.resolve("password"), "tenant-pw\n");
    Files.setPosixFilePermissions(password, PosixFilePermissions.fromString("rw-------"));

    try (var store =
        Store.open(
            new StoreLocation.Postgresql(database.url(), "tenant", password), envelope, anchor)) {
      assertThat(store.grants()).containsExactly(GRANT);
      assertThat(store.removeGrant(GRANT)).isTrue();
    }
  }

  @Test
  void undoesTheChangeOfAProcessThatIsCutOffInTheMiddle() throws SQLException {
    var server = PostgresServer.shared();
    try (var store = Store.create(server.createDatabase(), envelope, anchor)) {
      assertThatThrownBy(() ->
              store.<Boolean>change(change -> {
                change.add(GRANT);
                try {
                  server.cutConnections();
                } catch (SQLException e) {
                  throw new IllegalStateException(e);
                }
                return true;
              }))
          .isInstanceOf(StoreException.class);
      assertThat(store.grants()).isEmpty();
      assertThat(store.addGrant(GRANT)).isTrue();
    }
  }

  @Test
  void whoIsCutOffInTheMiddleOfAChangeKeepsNobodyElseFromOne() throws Exception {
    var database = PostgresServer.shared().createDatabase();
    try (var relay = new TcpRelay(database);
        var store = Store.create(database, envelope, anchor);
        var cutOff = Store.open(relay.to(database), envelope, anchor)) {
      assertThatThrownBy(() ->
              cutOff.<Boolean>change(change -> {
                change.add(GRANT);
                relay.become(TcpRelay.State.SILENT);
                assertThat(store.addGrant(grant("other"))).isTrue();
                relay.become(TcpRelay.State.WHOLE);
                return true;
              }))
          .isInstanceOf(StoreException.class);
      assertThat(store.grants()).containsExactly(grant("other"));
      assertThat(cutOff.addGrant(GRANT)).isTrue();
    }
  }

  @Tag("load")
  @Test
  void doesNotHangOnAServerThatStandsStill() throws Exception {
    try (var server = PostgresServer.start();
        var store = Store.create(server.createDatabase(), envelope, anchor)) {
      server.signalAll("STOP");
      try {
        long begin = System.nanoTime();
        assertThatThrownBy(store::generation).isInstanceOf(StoreException.class);
        assertThat(Duration.ofNanos(System.nanoTime() - begin)).isLessThan(Duration.ofSeconds(60));
      } finally {
        server.signalAll("CONT");
      }
      assertThat(store.generation()).isZero();
    }
  }

  @Test
  void needsAPasswordFileThatNobodyElseReads(@TempDir Path directory)
      throws IOException, SQLException {
    var database = PostgresServer.shared().createDatabase();
    var file = Files.writeString(directory.resolve("password"), "wrong");
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-r--r--"));
    var other = new StoreLocation.Postgresql(database.url(), database.user(), file);
    assertThatThrownBy(() -> Store.exists(other))
        .isInstanceOf(StoreException.class)
        .hasMessageContaining("password has mode rw-r--r--");
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-------"));
    assertThatThrownBy(() -> Store.exists(other))
        .as("that it cannot be told is not that there is none")
        .isInstanceOf(StoreException.class)
        .hasMessageContaining("password authentication failed");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "jdbc:postgresql://localhost:5432/grep11",
        "jdbc:postgresql://127.0.0.1/grep11",
        "jdbc:postgresql://[::1]/grep11",
        "jdbc:postgresql://db.example:5432/grep11?sslmode=verify-full",
        "jdbc:postgresql://a.example,b.example/grep11?sslmode=verify-full&targetServerType=primary"
      })
  void takesServersThatItCanKnow(String url) {
    assertThat(new StoreLocation.Postgresql(url, "u", Path.of("p"))).hasToString(url);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "jdbc:postgresql://db.example/grep11 | sslmode=verify-full",
        "jdbc:postgresql://db.example/grep11?sslmode=require | sslmode=verify-full",
        "jdbc:postgresql://localhost,db.example/grep11 | db.example",
        "jdbc:postgresql://localhost.example/grep11 | localhost.example",
        "jdbc:postgresql://a.example,b.example/g?sslmode=verify-full | targetServerType=primary",
        "jdbc:postgresql://a.example,b.example/g?sslmode=verify-full&targetServerType=any | targetServerType=primary",
        "jdbc:postgresql://db.example/g?sslmode=verify-full&sslfactory=org.postgresql.ssl.NonValidatingFactory | sslfactory",
        "jdbc:postgresql://localhost/grep11?password=secret | \"password\"",
        "jdbc:sqlite:store.db | is not of the form",
        "postgres://localhost/grep11 | is not of the form"
      })
  void refusesServersThatItCouldNotKnow(String url, String named) {
    assertThatThrownBy(() -> new StoreLocation.Postgresql(url, "u", Path.of("p")))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining(named)
        .hasMessageNotContaining("secret");
  }

  private static Grant grant(String subject) {
    return Grant.ofRole(new Subject("i", subject), new UUID(1, 1), "Reader");
  }
}
