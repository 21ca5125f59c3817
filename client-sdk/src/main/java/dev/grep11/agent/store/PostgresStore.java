package dev.grep11.agent.store;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.grep11.agent.store.StoreException.Reason;
import java.io.IOException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.UUID;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/**
 * A keystore in a table of a PostgreSQL database: one sealed row for each object. What {@link
 * FileStore} says of its files holds of the rows, its {@link Seal} being one of them.
 *
 * <p>Several agents may have the same database: changes lock the row that they change.
 */
public final class PostgresStore extends LocalStore {
  private static final String SUFFIX = ".object";
  private static final String HEAD = "keystore";
  private static final String SEAL = "seal";
  private static final int VALID_SECONDS = 5;

  /** Any number that nobody else locks: agents that start together make one table. */
  private static final long TABLE_LOCK = 0x6772657031316b73L;

  private record Seen(long stamp, Optional<StoredObject> object) {}

  private interface Work<T> {
    T run(Connection connection) throws SQLException;
  }

  private final PostgresAddress address;
  private final UUID id;
  private final Seal seal;
  private final Consumer<String> warn;

  /** As this store was opened, or gave it another password. */
  private volatile byte[] envelope;

  /** Guards the two below. */
  private final Object lock = new Object();

  private Connection connection;

  /** What was read last, by the row's name; nothing of a row that cannot be read. */
  private final Map<String, Seen> seen = new HashMap<>();

  private PostgresStore(
      PostgresAddress address,
      Connection connection,
      UUID id,
      Seal seal,
      byte[] envelope,
      Consumer<String> warn) {
    this.address = address;
    this.connection = connection;
    this.id = id;
    this.seal = seal;
    this.envelope = envelope;
    this.warn = warn;
  }

  /**
   * The keystore {@code id} in that database; table and keystore are made if they are not there.
   *
   * @param connectionString as {@link PostgresAddress} takes it
   * @param password that of the keystore, or null where it has none
   * @param warn gets a line for each row that cannot be read, once
   * @throws StoreException {@link Reason#PASSWORD} when the keystore has another password
   */
  public static PostgresStore open(
      String connectionString, UUID id, char @Nullable [] password, Consumer<String> warn) {
    var address = PostgresAddress.of(connectionString);
    Connection connection = null;
    boolean opened = false;
    try {
      connection = connect(address);
      makeTable(connection);
      byte[] envelope = envelope(connection, id, password);
      var seal = Seal.in(envelope, id, password);
      insert(connection, id, HEAD, seal.seal(HEAD, new byte[0]));
      connection.commit();
      opened = true;
      return new PostgresStore(address, connection, id, seal, envelope, warn);
    } catch (SQLException e) {
      throw broken(id, e);
    } finally {
      if (!opened && connection != null) {
        closeQuietly(connection);
      }
    }
  }

  /**
   * Says whether there is such a database, and whether it takes this user; it changes nothing
   * there.
   *
   * @throws StoreException {@link Reason#BROKEN} when it is not, and why
   */
  public static void requireReachable(String connectionString) {
    var address = PostgresAddress.of(connectionString);
    try {
      connect(address).close();
    } catch (SQLException e) {
      throw new StoreException(Reason.BROKEN, "PostgreSQL: " + e.getMessage(), e);
    }
  }

  private static Connection connect(PostgresAddress address) throws SQLException {
    var connection = DriverManager.getConnection(address.url(), address.properties());
    connection.setAutoCommit(false);
    return connection;
  }

  private static void makeTable(Connection connection) throws SQLException {
    try (var statement = connection.createStatement()) {
      statement.execute("SELECT pg_advisory_xact_lock(" + TABLE_LOCK + ")");
      statement.execute("CREATE SEQUENCE IF NOT EXISTS grep11_keystore_stamp");
      statement.execute(
          "CREATE TABLE IF NOT EXISTS grep11_keystore (keystore uuid NOT NULL, name text NOT NULL,"
              + " stamp bigint NOT NULL, sealed bytea NOT NULL, PRIMARY KEY (keystore, name))");
    }
  }

  /** As the row has it; it is made for a keystore that is made, and for no other. */
  private static byte[] envelope(Connection connection, UUID id, char @Nullable [] password)
      throws SQLException {
    var present = read(connection, id, SEAL, "");
    if (present.isPresent()) {
      return present.get();
    }
    try (var query =
        connection.prepareStatement("SELECT 1 FROM grep11_keystore WHERE keystore = ? LIMIT 1")) {
      query.setObject(1, id);
      try (var rows = query.executeQuery()) {
        if (rows.next()) {
          // A new one would open none of them.
          throw new StoreException(
              Reason.BROKEN,
              "keystore %s: the row %s is missing, and there are rows that only it opens; restore it"
                  .formatted(id, SEAL));
        }
      }
    }
    byte[] made = Seal.fresh(id).envelope(password);
    insert(connection, id, SEAL, made);
    return made;
  }

  // ---- Objects

  @Override
  public List<StoredObject> find(Attributes template) {
    return inTransaction(
            connection -> {
              var stamps = stamps(connection);
              seen.keySet().retainAll(stamps.keySet());
              var changed = new ArrayList<String>();
              stamps.forEach((name, stamp) -> {
                var known = seen.get(name);
                if (known == null || known.stamp != stamp) {
                  changed.add(name);
                }
              });
              readAll(connection, changed);
              return stamps.keySet().stream()
                  .flatMap(name -> Optional.ofNullable(seen.get(name)).stream())
                  .flatMap(known -> known.object.stream())
                  .toList();
            })
        .stream()
        .filter(object -> object.attributes().match(template))
        .toList();
  }

  private Map<String, Long> stamps(Connection connection) throws SQLException {
    try (var query =
        connection.prepareStatement(
            "SELECT name, stamp FROM grep11_keystore WHERE keystore = ? AND name LIKE ?")) {
      query.setObject(1, id);
      query.setString(2, "%" + SUFFIX);
      var stamps = new TreeMap<String, Long>();
      try (var rows = query.executeQuery()) {
        while (rows.next()) {
          stamps.put(rows.getString(1), rows.getLong(2));
        }
      }
      return stamps;
    }
  }

  private void readAll(Connection connection, List<String> names) throws SQLException {
    if (names.isEmpty()) {
      return;
    }
    try (var query =
        connection.prepareStatement(
            "SELECT name, stamp, sealed FROM grep11_keystore WHERE keystore = ? AND name = ANY(?)")) {
      query.setObject(1, id);
      query.setArray(2, connection.createArrayOf("text", names.toArray()));
      try (var rows = query.executeQuery()) {
        while (rows.next()) {
          seen.put(rows.getString(1), new Seen(rows.getLong(2), decodedOrTold(rows)));
        }
      }
    }
  }

  /** One bad row must not hide the others' keys. Whoever asks for its object is told why. */
  private Optional<StoredObject> decodedOrTold(ResultSet row) throws SQLException {
    try {
      return Optional.of(decode(row.getString(1), row.getBytes(3)));
    } catch (StoreException e) {
      warn.accept("a row is left out: " + e.getMessage());
      return Optional.empty();
    }
  }

  @Override
  public Optional<StoredObject> read(UUID object) {
    String name = object + SUFFIX;
    return inTransaction(connection -> read(connection, id, name, ""))
        .map(sealed -> decode(name, sealed));
  }

  private StoredObject decode(String name, byte[] sealed) {
    try {
      return ObjectRecord.decode(
          UUID.fromString(name.substring(0, name.length() - SUFFIX.length())),
          seal.open(name, sealed));
    } catch (IOException | IllegalArgumentException e) {
      throw new StoreException(
          Reason.BROKEN, "keystore %s: row %s: %s".formatted(id, name, e.getMessage()), e);
    }
  }

  @Override
  public StoredObject create(Attributes attributes, List<byte[]> blobs) {
    var object = new StoredObject(UUID.randomUUID(), 0, attributes, blobs);
    String name = object.id() + SUFFIX;
    byte[] sealed = seal.seal(name, ObjectRecord.encode(object));
    inTransaction(connection -> insert(connection, id, name, sealed));
    return object;
  }

  @Override
  StoredObject changed(UUID object, UnaryOperator<StoredObject> change) {
    String name = object + SUFFIX;
    return inTransaction(connection -> {
      byte[] sealed = read(connection, id, name, " FOR UPDATE").orElseThrow(() -> missing(object));
      var present = decode(name, sealed);
      var changed = change.apply(present);
      if (!changed.equals(present)) {
        replace(connection, name, seal.seal(name, ObjectRecord.encode(changed)));
      }
      return changed;
    });
  }

  @Override
  public void delete(UUID object) {
    inTransaction(connection -> {
      try (var delete =
          connection.prepareStatement(
              "DELETE FROM grep11_keystore WHERE keystore = ? AND name = ?")) {
        delete.setObject(1, id);
        delete.setString(2, object + SUFFIX);
        if (delete.executeUpdate() == 0) {
          throw missing(object);
        }
        return object;
      }
    });
  }

  @Override
  public void initialize(String label) {
    inTransaction(connection -> {
      try (var delete =
          connection.prepareStatement(
              "DELETE FROM grep11_keystore WHERE keystore = ? AND name LIKE ?")) {
        delete.setObject(1, id);
        delete.setString(2, "%" + SUFFIX);
        delete.executeUpdate();
      }
      replace(connection, HEAD, seal.seal(HEAD, label.getBytes(UTF_8)));
      return label;
    });
  }

  @Override
  public Optional<String> label() {
    var label =
        inTransaction(connection -> read(connection, id, HEAD, ""))
            .map(sealed -> new String(seal.open(HEAD, sealed), UTF_8));
    return label.filter(text -> !text.isEmpty());
  }

  // ---- Password

  @Override
  public void requirePassword() {
    var present = inTransaction(connection -> read(connection, id, SEAL, ""));
    if (present.isEmpty() || !Arrays.equals(envelope, present.get())) {
      throw seal.passwordChanged();
    }
  }

  @Override
  public void changePassword(char[] password) {
    envelope =
        inTransaction(connection -> {
          byte[] present =
              read(connection, id, SEAL, " FOR UPDATE").orElseThrow(seal::passwordChanged);
          byte[] next = seal.exchanged(envelope, present, password);
          if (!Arrays.equals(next, present)) {
            replace(connection, SEAL, next);
          }
          return next;
        });
  }

  // ---- Rows

  private static Optional<byte[]> read(Connection connection, UUID id, String name, String how)
      throws SQLException {
    try (var query =
        connection.prepareStatement(
            "SELECT sealed FROM grep11_keystore WHERE keystore = ? AND name = ?" + how)) {
      query.setObject(1, id);
      query.setString(2, name);
      try (var rows = query.executeQuery()) {
        return rows.next() ? Optional.of(rows.getBytes(1)) : Optional.empty();
      }
    }
  }

  /** Unless there is one. */
  private static boolean insert(Connection connection, UUID id, String name, byte[] sealed)
      throws SQLException {
    try (var insert =
        connection.prepareStatement(
            "INSERT INTO grep11_keystore VALUES (?, ?, nextval('grep11_keystore_stamp'), ?)"
                + " ON CONFLICT DO NOTHING")) {
      insert.setObject(1, id);
      insert.setString(2, name);
      insert.setBytes(3, sealed);
      return insert.executeUpdate() == 1;
    }
  }

  private void replace(Connection connection, String name, byte[] sealed) throws SQLException {
    try (var update =
        connection.prepareStatement(
            "UPDATE grep11_keystore SET stamp = nextval('grep11_keystore_stamp'), sealed = ?"
                + " WHERE keystore = ? AND name = ?")) {
      update.setBytes(1, sealed);
      update.setObject(2, id);
      update.setString(3, name);
      update.executeUpdate();
    }
  }

  /** All of it or nothing. A connection that was lost is made anew before, never in between. */
  private <T> T inTransaction(Work<T> work) {
    synchronized (lock) {
      boolean committed = false;
      try {
        if (!connection.isValid(VALID_SECONDS)) {
          closeQuietly(connection);
          connection = connect(address);
        }
        T result = work.run(connection);
        connection.commit();
        committed = true;
        return result;
      } catch (SQLException e) {
        throw broken(id, e);
      } finally {
        if (!committed) {
          rollBack();
        }
      }
    }
  }

  private void rollBack() {
    try {
      connection.rollback();
    } catch (SQLException lost) {
      closeQuietly(connection);
    }
  }

  private static void closeQuietly(Connection connection) {
    try {
      connection.close();
    } catch (SQLException e) {
      // It is of no more use either way.
    }
  }

  @Override
  public void close() {
    synchronized (lock) {
      seen.clear();
      closeQuietly(connection);
    }
  }

  @Override
  public String toString() {
    return "keystore " + id;
  }

  private static StoreException missing(UUID object) {
    return new StoreException(Reason.MISSING, "there is no object " + object);
  }

  private static StoreException broken(UUID id, SQLException cause) {
    return new StoreException(
        Reason.BROKEN, "keystore %s in PostgreSQL: %s".formatted(id, cause.getMessage()), cause);
  }
}
