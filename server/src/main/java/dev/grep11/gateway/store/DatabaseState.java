package dev.grep11.gateway.store;

import java.io.IOException;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * A database as an examination finds it, without the key to what is in it.
 *
 * @param schema version of its tables; 0 where there is no store in it
 * @param newest the version that this program knows
 * @param server empty of the embedded database
 */
public record DatabaseState(int schema, int newest, Optional<Server> server) {

  /**
   * A PostgreSQL server and what its user may do there.
   *
   * @param tls the protocol of the connection; empty where it is in clear
   * @param standby whether it only follows another server
   * @param behind of a standby, how long ago what it last followed happened
   * @param readOnly whether transactions may not write
   * @param missingRights such as {@code INSERT on registry}
   * @param clock of the server
   * @param looked when that clock was asked, by ours
   * @param roundTrip of one question
   * @param freeConnections that are left to users without special rights
   */
  public record Server(
      String version,
      Optional<String> tls,
      boolean standby,
      Optional<Duration> behind,
      boolean readOnly,
      List<String> missingRights,
      Instant clock,
      Instant looked,
      Duration roundTrip,
      int freeConnections) {
    public Server {
      missingRights = List.copyOf(missingRights);
    }
  }

  /** All that there are: a change is of the head too, whatever else it changes. */
  private static final List<String> TABLES =
      Stream.concat(
              BackedUp.TABLES.stream().map(BackedUp::name),
              Stream.of("head", "data_key", "schema_version"))
          .toList();

  private static final List<String> VERBS = List.of("SELECT", "INSERT", "UPDATE", "DELETE");

  /**
   * Looks; waits at most for the limits of every connection.
   *
   * @param clock this host's
   * @throws StoreException when it cannot be reached or read, or others may read it
   */
  public static DatabaseState of(StoreLocation location, InstantSource clock) {
    Database database = Database.at(location);
    try {
      boolean exists = database.exists();
      if (exists) {
        database.check();
      }
      if (!exists && database instanceof Sqlite) {
        return new DatabaseState(0, Schema.newest(), Optional.empty());
      }
      try (Connection examiner = database.examiner()) {
        int schema = exists ? Schema.current(examiner) : 0;
        return new DatabaseState(
            schema,
            Schema.newest(),
            database instanceof Postgres
                ? Optional.of(server(examiner, exists, schema, clock))
                : Optional.empty());
      }
    } catch (IOException | SQLException e) {
      throw new StoreException(String.valueOf(e.getMessage()), e);
    }
  }

  private static Server server(
      Connection connection, boolean exists, int schema, InstantSource ours) throws SQLException {
    long begin = System.nanoTime();
    Instant before = ours.instant();
    Instant clock =
        Sql.query(
            connection,
            "SELECT extract(epoch FROM clock_timestamp())",
            List.of(),
            row -> {
              row.next();
              return Instant.ofEpochMilli(Math.round(row.getDouble(1) * 1000));
            });
    var roundTrip = Duration.ofNanos(System.nanoTime() - begin);
    boolean standby = is(connection, "SELECT pg_is_in_recovery()");
    return new Server(
        text(connection, "SHOW server_version").orElse("unknown"),
        text(connection, "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl"),
        standby,
        standby
            ? text(
                    connection,
                    "SELECT extract(epoch FROM now() - pg_last_xact_replay_timestamp())::bigint::text")
                .map(Long::parseLong)
                .map(Duration::ofSeconds)
            : Optional.empty(),
        text(
                connection,
                "SELECT reset_val FROM pg_settings WHERE name = 'default_transaction_read_only'")
            .filter("on"::equals)
            .isPresent(),
        exists ? missingRights(connection, schema < Schema.newest()) : List.of(),
        clock,
        before.plus(roundTrip.dividedBy(2)),
        roundTrip,
        Integer.parseInt(
            text(
                    connection,
                    "SELECT (current_setting('max_connections')::int"
                        + " - current_setting('superuser_reserved_connections')::int"
                        + " - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'))::text")
                .orElse("0")));
  }

  private static List<String> missingRights(Connection connection, boolean migrates)
      throws SQLException {
    var missing = new ArrayList<String>();
    for (String table : TABLES) {
      for (String verb : VERBS) {
        // Of a table that an older schema has not yet, a migration makes one of our own.
        if (is(
            connection,
            "SELECT to_regclass('%1$s') IS NOT NULL AND NOT has_table_privilege('%1$s', '%2$s')"
                .formatted(table, verb))) {
          missing.add(verb + " on " + table);
        }
      }
    }
    if (migrates && !is(connection, "SELECT has_schema_privilege(current_schema(), 'CREATE')")) {
      missing.add("CREATE on the schema, which the new version's tables need");
    }
    return missing;
  }

  private static boolean is(Connection connection, String question) throws SQLException {
    return Sql.query(connection, question, List.of(), row -> row.next() && row.getBoolean(1));
  }

  private static Optional<String> text(Connection connection, String question) throws SQLException {
    return Sql.query(
        connection,
        question,
        List.of(),
        row -> row.next() ? Optional.ofNullable(row.getString(1)) : Optional.<String>empty());
  }
}
