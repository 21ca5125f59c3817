package dev.grep11.gateway.store;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.regex.Pattern;

/**
 * The migrator: {@code schema.sql} has one part per version, each is executed once and in order,
 * within the transaction that the caller has open. (Flyway costs 0.3 s of every start.)
 */
final class Schema {
  private static final Pattern VERSION_MARK = Pattern.compile("(?m)^-- version \\d+$");
  private static final Pattern STATEMENT_END = Pattern.compile(";");
  private static final Pattern COMMENT = Pattern.compile("(?m)^--.*$");

  private Schema() {}

  /** The version that this program brings a database to. */
  static int newest() {
    return versions().size();
  }

  /** The version that a database has; 0 where it has none. */
  static int current(Connection connection) throws SQLException {
    try (var statement = connection.createStatement();
        var row = statement.executeQuery("SELECT COALESCE(MAX(version), 0) FROM schema_version")) {
      return row.next() ? row.getInt(1) : 0;
    }
  }

  /** Brings the database to the newest version; refuses one that is newer still. */
  static void migrate(Connection connection, Database database) throws SQLException {
    try (var statement = connection.createStatement()) {
      if (!hasVersions(connection)) {
        statement.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)");
      }
      int current = current(connection);
      List<String> versions = versions();
      if (current > versions.size()) {
        throw new StoreException(
            "the store in %s has schema version %d, this program knows up to %d; run the newer grep11 that wrote it"
                .formatted(database, current, versions.size()));
      }
      for (int version = current + 1; version <= versions.size(); version++) {
        for (String sql : STATEMENT_END.splitAsStream(versions.get(version - 1)).toList()) {
          if (!sql.isBlank()) {
            statement.execute(sql);
          }
        }
        statement.executeUpdate("INSERT INTO schema_version (version) VALUES (" + version + ")");
      }
    }
  }

  /** PostgreSQL asks for the right to make a table before it sees that the table is there. */
  private static boolean hasVersions(Connection connection) throws SQLException {
    var metadata = connection.getMetaData();
    // Names are patterns there.
    var name = "schema_version".replace("_", metadata.getSearchStringEscape() + "_");
    try (var tables = metadata.getTables(null, null, name, new String[] {"TABLE"})) {
      while (tables.next()) {
        if (Objects.equals(tables.getString("TABLE_SCHEM"), connection.getSchema())) {
          return true;
        }
      }
      return false;
    }
  }

  private static List<String> versions() {
    try (var in = Schema.class.getResourceAsStream("schema.sql")) {
      if (in == null) {
        throw new IllegalStateException("schema.sql is missing from the program");
      }
      String file = new String(in.readAllBytes(), UTF_8);
      return Arrays.stream(VERSION_MARK.split(file))
          .skip(1)
          .map(part -> COMMENT.matcher(part).replaceAll(""))
          .toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
