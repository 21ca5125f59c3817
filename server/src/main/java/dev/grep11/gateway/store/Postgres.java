package dev.grep11.gateway.store;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.nio.file.Files;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Properties;
import org.postgresql.Driver;
import org.postgresql.PGProperty;

/**
 * A PostgreSQL server. Every wait has an end, so that a server that hangs is one that cannot be
 * reached. There is no pool: one connection reads, and changes are rare enough for one each.
 */
final class Postgres implements Database {
  private static final Duration CONNECT = Duration.ofSeconds(5);
  private static final Duration STATEMENT = Duration.ofSeconds(10);

  /** Of a server that went without a word; longer than the server's own limit. */
  private static final Duration SILENCE = Duration.ofSeconds(15);

  /**
   * After which the server ends a transaction whose process says nothing more. It holds the lock of
   * every writer: a gateway that is cut off in the middle of a change must not keep another from
   * deleting a client CA, so that this is shorter than a statement waits. A change that waits
   * longer for the token is undone.
   */
  private static final Duration IDLE_CHANGE = Duration.ofSeconds(5);

  /** The same of a transaction that reads or writes a backup, whose disk may be slow. */
  private static final Duration PAUSE_OF_BACKUP = Duration.ofMinutes(2);

  /** Of a server that deletes a large store in one statement. */
  private static final Duration RESTORE_SILENCE = Duration.ofMinutes(10);

  /** Key of the advisory lock that every writer of a store takes: "grep11" in ASCII. */
  private static final long WRITER_LOCK = 0x677265703131L;

  /** The same of those who write keystores: "grep11k". */
  private static final long KEYSTORE_LOCK = 0x677265703131_6bL;

  private final StoreLocation.Postgresql location;

  Postgres(StoreLocation.Postgresql location) {
    this.location = location;
  }

  @Override
  public boolean exists() throws SQLException {
    try (Connection connection = connect()) {
      return exists(connection);
    }
  }

  private static boolean exists(Connection connection) throws SQLException {
    try (var statement = connection.createStatement();
        var row = statement.executeQuery("SELECT to_regclass('data_key') IS NOT NULL")) {
      return row.next() && row.getBoolean(1);
    }
  }

  @Override
  public void create(Initialisation initialisation) throws SQLException {
    try (Connection connection = soleWriter()) {
      if (exists(connection)) {
        throw new StoreException("there is a store already: " + this);
      }
      initialisation.run(connection);
      commit(connection);
    }
  }

  @Override
  public void check() throws SQLException {
    if (!exists()) {
      throw new StoreException("there is no store in " + this + Store.LOST);
    }
  }

  @Override
  public Connection reader() throws SQLException {
    Connection connection = connect();
    try {
      connection.setReadOnly(true);
      connection.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
      connection.setAutoCommit(false);
      return connection;
    } catch (SQLException e) {
      throw closing(connection, e);
    }
  }

  /** READ COMMITTED: each statement sees what was committed before the lock was given. */
  @Override
  public Connection writer() throws SQLException {
    Connection connection = connect();
    try {
      connection.setAutoCommit(false);
      try (var statement = connection.createStatement()) {
        statement.execute("SELECT pg_advisory_xact_lock(" + WRITER_LOCK + ")");
      }
      return connection;
    } catch (SQLException e) {
      throw closing(connection, e);
    }
  }

  @Override
  public Connection longReader() throws SQLException {
    Connection connection = reader();
    try {
      allow(connection, Duration.ZERO, PAUSE_OF_BACKUP);
      return connection;
    } catch (SQLException e) {
      throw closing(connection, e);
    }
  }

  @Override
  public Connection soleWriter() throws SQLException {
    Connection connection = writer();
    try {
      begin(connection);
      allow(connection, Duration.ZERO, PAUSE_OF_BACKUP);
      // A statement over everything may take long without a word from the server.
      connection.setNetworkTimeout(Runnable::run, Math.toIntExact(RESTORE_SILENCE.toMillis()));
      return connection;
    } catch (SQLException e) {
      throw closing(connection, e);
    }
  }

  /** Other limits for the transaction under way. */
  private static void allow(Connection connection, Duration statements, Duration idle)
      throws SQLException {
    try (var statement = connection.createStatement()) {
      statement.execute(
          "SET LOCAL statement_timeout = %d; SET LOCAL idle_in_transaction_session_timeout = %d"
              .formatted(statements.toMillis(), idle.toMillis()));
    }
  }

  @Override
  public Connection keystoreWriter() throws SQLException {
    Connection connection = connect();
    try {
      connection.setAutoCommit(false);
      return connection;
    } catch (SQLException e) {
      throw closing(connection, e);
    }
  }

  @Override
  public Connection examiner() throws SQLException {
    return reader();
  }

  @Override
  public boolean locksAsAWhole() {
    return false;
  }

  @Override
  public void begin(Connection keystoreWriter) throws SQLException {
    try (var statement = keystoreWriter.createStatement()) {
      statement.execute("SELECT pg_advisory_xact_lock(" + KEYSTORE_LOCK + ")");
    }
  }

  @Override
  public void commit(Connection writer) throws SQLException {
    writer.commit();
  }

  @Override
  public void rollBack(Connection keystoreWriter) throws SQLException {
    keystoreWriter.rollback();
  }

  private Connection connect() throws SQLException {
    Properties settings = new Properties();
    settings.setProperty(PGProperty.USER.getName(), location.user());
    settings.setProperty(PGProperty.PASSWORD.getName(), password());
    settings.setProperty(PGProperty.APPLICATION_NAME.getName(), "grep11-gateway");
    settings.setProperty(PGProperty.CONNECT_TIMEOUT.getName(), seconds(CONNECT));
    settings.setProperty(PGProperty.LOGIN_TIMEOUT.getName(), seconds(STATEMENT));
    settings.setProperty(PGProperty.SOCKET_TIMEOUT.getName(), seconds(SILENCE));
    settings.setProperty(PGProperty.TCP_KEEP_ALIVE.getName(), "true");
    settings.setProperty(PGProperty.GSS_ENC_MODE.getName(), "disable");
    Connection connection = new Driver().connect(location.url(), settings);
    if (connection == null) {
      throw new SQLException("no PostgreSQL server is meant by " + this);
    }
    try (var statement = connection.createStatement()) {
      statement.execute(
          "SET statement_timeout = %d; SET lock_timeout = %d; SET idle_in_transaction_session_timeout = %d"
              .formatted(STATEMENT.toMillis(), STATEMENT.toMillis(), IDLE_CHANGE.toMillis()));
      // Off may lose acknowledged commits with the power: a removed grant would be back.
      statement.execute(
          "SELECT set_config('synchronous_commit', 'on', false)"
              + " WHERE current_setting('synchronous_commit') = 'off'");
      return connection;
    } catch (SQLException e) {
      throw closing(connection, e);
    }
  }

  private String password() {
    try {
      OwnerOnly.require(location.passwordFile(), OwnerOnly.FILE);
      return Files.readString(location.passwordFile(), UTF_8).strip();
    } catch (IOException e) {
      throw new StoreException(
          "the password of the store cannot be read from " + location.passwordFile(), e);
    }
  }

  private static SQLException closing(Connection connection, SQLException cause) {
    try {
      connection.close();
    } catch (SQLException e) {
      cause.addSuppressed(e);
    }
    return cause;
  }

  private static String seconds(Duration time) {
    return Long.toString(time.toSeconds());
  }

  @Override
  public String remedy() {
    return "see that it runs, and takes store.postgresql.user \"%s\" with the password in store.postgresql.passwordFile %s at this store.postgresql.url"
        .formatted(location.user(), location.passwordFile());
  }

  @Override
  public String toString() {
    return location.toString();
  }
}
