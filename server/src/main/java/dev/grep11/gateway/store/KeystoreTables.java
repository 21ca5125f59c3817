package dev.grep11.gateway.store;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The tables of keystores. They are bulk data and not part of what {@link Store#snapshot} verifies
 * as a whole: a row is authenticated when it is read, with its place and version, and that no row
 * is missing, older or too many is what {@link View#verify} finds out, by a sum that each change
 * carries along in the keystore's own row.
 *
 * <p>A keystore that did not verify is not believed again before a restart. Safe for use by several
 * threads.
 */
public final class KeystoreTables implements AutoCloseable {
  private static final byte[] KEYSTORE_CONTEXT = "grep11-gateway keystore v1".getBytes(UTF_8);
  private static final byte[] KEY_CONTEXT = "grep11-gateway keystore key v1".getBytes(UTF_8);
  private static final int READERS = 4;

  /** How long a transaction is known after it was carried out, at least. */
  static final Duration TRANSACTIONS_KNOWN = Duration.ofDays(7);

  /**
   * Transactions that a keystore knows; of more, the oldest are forgotten. Refusing new ones would
   * let one writer keep all others out, and an old one that comes again is stopped by the version
   * of its key, unless that was deleted.
   */
  static final int MOST_TRANSACTIONS = 100_000;

  /** Rows that one transaction of the database removes: it may lock out leases of gateways. */
  static final int MOST_REMOVED = 200;

  static final int MOST_FORGOTTEN = 2_000;

  /** Keystores whose revision is remembered; beyond it, the least used are forgotten. */
  private static final int MOST_SEEN = 100_000;

  private static final int MOST_REPORTED = 1_000;
  private static final Logger LOG = LoggerFactory.getLogger(KeystoreTables.class);

  private static final String KEY_COLUMNS =
      "row_key, version, generation, older, of_class, of_type, of_label, of_id, of_subject, nonce";

  /** Where the sealed row stands when it is asked for besides. */
  private static final int SEALED_COLUMN = 6 + Searched.values().length;

  private final Database database;
  private final KeystoreSeal seal;
  private final Semaphore readers = new Semaphore(READERS, true);
  private final Deque<Connection> idle = new ArrayDeque<>();
  private final ReentrantLock writing = new ReentrantLock(true);

  /** Used under {@link #writing}; null after it was lost. */
  private @Nullable Connection writer;

  private volatile boolean closed;

  /**
   * @param since when this was seen first, as {@link #observations} counts
   */
  private record Seen(long revision, long since) {
    Seen orHigher(Seen other) {
      return other.revision > revision ? other : this;
    }
  }

  /**
   * By origin. An older row of a keystore put back under a running gateway shows as a lower
   * revision than one that was seen before the reading transaction began.
   */
  private final Cache<ByteBuffer, Seen> highestSeen =
      Caffeine.newBuilder().maximumSize(MOST_SEEN).build();

  private final AtomicLong observations = new AtomicLong();

  /** Row keys of keystores that do not open, each told once. */
  private final Set<ByteBuffer> reported = ConcurrentHashMap.newKeySet();

  /** By origin. */
  private final Map<ByteBuffer, StoreTamperedException> tampered = new ConcurrentHashMap<>();

  KeystoreTables(Database database, KeystoreSeal seal) {
    this.database = database;
    this.seal = seal;
  }

  private interface Work<T> {
    T on(Connection connection) throws SQLException;
  }

  // ---- Reading

  /**
   * Runs {@code work} on one state of the keystores of an instance.
   *
   * @throws StoreException when they cannot be read
   * @throws StoreTamperedException when they are not what a gateway wrote
   */
  public <T> T read(UUID instance, Function<View, T> work) {
    return reading(connection -> {
      // The database shows a state no older than this moment: nothing was read in it so far.
      var view = new View(connection, instance, observations.get());
      T result = work.apply(view);
      remember(view);
      return result;
    });
  }

  private <T> T reading(Work<T> work) {
    readers.acquireUninterruptibly();
    try {
      Connection pooled = take();
      if (pooled != null) {
        try {
          return reading(pooled, work);
        } catch (SQLException e) {
          // A server may have been restarted since. Reading again does no harm.
          discard(pooled);
        }
      }
      requireOpen();
      Connection fresh = database.reader();
      try {
        return reading(fresh, work);
      } catch (SQLException e) {
        discard(fresh);
        throw e;
      }
    } catch (SQLException e) {
      throw new StoreException("cannot read keystores: " + e.getMessage(), e);
    } finally {
      readers.release();
    }
  }

  private <T> T reading(Connection connection, Work<T> work) throws SQLException {
    try {
      T result = work.on(connection);
      connection.rollback();
      give(connection);
      return result;
    } catch (FailedStatement e) {
      throw e.cause();
    } catch (RuntimeException e) {
      connection.rollback();
      give(connection);
      throw e;
    }
  }

  private @Nullable Connection take() {
    synchronized (idle) {
      return idle.poll();
    }
  }

  private void give(Connection connection) {
    synchronized (idle) {
      if (!closed) {
        idle.push(connection);
        return;
      }
    }
    discard(connection);
  }

  private static void discard(Connection connection) {
    try {
      connection.close();
    } catch (SQLException e) {
      // It was broken before; there is nothing more to lose.
    }
  }

  private void requireOpen() {
    if (closed) {
      throw new StoreException("the store is closed");
    }
  }

  private void remember(View view) {
    view.seen.forEach((origin, revision) -> {
      var known = highestSeen.getIfPresent(origin);
      if (known == null || known.revision() < revision) {
        highestSeen
            .asMap()
            .merge(origin, new Seen(revision, observations.incrementAndGet()), Seen::orHigher);
      }
    });
  }

  // ---- Changing

  /**
   * Runs {@code work} as one transaction on the keystores of an instance; if it throws, nothing
   * happened.
   *
   * @throws UncertainChangeException when it is not known whether the change was made
   * @throws StoreException when nothing was changed
   * @throws StoreTamperedException when what it read is not what a gateway wrote
   */
  public <T> T change(UUID instance, Function<Change, T> work) {
    writing.lock();
    try {
      long begin = 0;
      try {
        Connection connection = begun();
        begin = System.nanoTime();
        // Who has the lock sees all that was ever committed.
        var change = new Change(connection, instance, Long.MAX_VALUE);
        T result = work.apply(change);
        change.finish();
        commit(connection);
        remember(change);
        change.forgetRemoved();
        return result;
      } catch (FailedStatement e) {
        abandonWriter();
        throw new StoreException("cannot change keystores: " + e.cause().getMessage(), e);
      } catch (SQLException e) {
        abandonWriter();
        throw new StoreException("cannot change keystores: " + e.getMessage(), e);
      } catch (RuntimeException e) {
        rollBack();
        throw e;
      } finally {
        if (begin != 0 && database.locksAsAWhole()) {
          // Others find the database free for at least half of the time, however many keys are
          // stored: the lease of every gateway on it depends on writing there.
          LockSupport.parkNanos(System.nanoTime() - begin);
        }
      }
    } finally {
      writing.unlock();
    }
  }

  private void commit(Connection connection) {
    try {
      database.commit(connection);
    } catch (SQLException e) {
      abandonWriter();
      // The connection may have broken after the server had committed.
      throw new UncertainChangeException(
          "it is not known whether the change was made; read what is there before you repeat it: "
              + e.getMessage(),
          e);
    }
  }

  private Connection begun() throws SQLException {
    requireOpen();
    Connection pooled = writer;
    if (pooled != null) {
      try {
        database.begin(pooled);
        return pooled;
      } catch (SQLException e) {
        abandonWriter();
      }
    }
    Connection fresh = database.keystoreWriter();
    try {
      database.begin(fresh);
    } catch (SQLException e) {
      discard(fresh);
      throw e;
    }
    writer = fresh;
    return fresh;
  }

  /** Undoes what is not committed, and keeps the connection: a refusal is an ordinary answer. */
  private void rollBack() {
    Connection pooled = writer;
    if (pooled != null) {
      try {
        database.rollBack(pooled);
      } catch (SQLException e) {
        abandonWriter();
      }
    }
  }

  /** Undoes what is not committed. */
  private void abandonWriter() {
    Connection broken = writer;
    writer = null;
    if (broken != null) {
      discard(broken);
    }
  }

  /**
   * How many keys of an instance would be lost with this generation of sealing keys: those whose
   * first blob is under it, which is the one that clients use, and those whose second is, when the
   * first is under a generation that opens nothing.
   *
   * @param opening the generations that open; what is under any other counts as closed
   */
  public long dependents(UUID instance, String generation, List<String> opening) {
    byte[] of = seal.generation(instance, generation);
    List<Object> values = new ArrayList<>(List.of(of, of));
    // Under no sealing keys: a bare public key, which needs none.
    values.add(new byte[0]);
    opening.forEach(each -> values.add(seal.generation(instance, each)));
    return reading(connection ->
        query(
            connection,
            "SELECT COUNT(*) FROM keystore_key WHERE generation = ?"
                + " OR (older = ? AND generation NOT IN (?"
                + ", ?".repeat(opening.size())
                + "))",
            values,
            row -> row.next() ? row.getLong(1) : 0L));
  }

  /**
   * Forgets some of the transactions of a keystore that are too old or too many.
   *
   * @return whether more may be left
   */
  public boolean forgetTransactions(KeystoreRecord keystore, Instant now) {
    byte[] of = seal.keystore(keystore.instance(), keystore.id());
    long before = reading(connection -> forgettable(connection, of, now));
    return before > 0
        && change(keystore.instance(), change -> change.forget(of, before)) == MOST_FORGOTTEN;
  }

  /** Transactions older than this are forgotten; 0 when there are none. */
  private static long forgettable(Connection connection, byte[] of, Instant now) {
    long tooOld = now.minus(TRANSACTIONS_KNOWN).toEpochMilli();
    long tooMany =
        query(
            connection,
            "SELECT carried_out FROM keystore_transaction WHERE keystore = ?"
                + " ORDER BY carried_out DESC LIMIT 1 OFFSET "
                + (MOST_TRANSACTIONS - 1),
            List.of(of),
            row -> row.next() ? row.getLong(1) : 0L);
    long before = Math.max(tooOld, tooMany);
    return query(
        connection,
        "SELECT carried_out FROM keystore_transaction WHERE keystore = ? AND carried_out < ?"
            + " LIMIT 1",
        List.of(of, before),
        row -> row.next() ? before : 0L);
  }

  @Override
  public void close() {
    synchronized (idle) {
      closed = true;
      idle.forEach(KeystoreTables::discard);
      idle.clear();
    }
    writing.lock();
    try {
      abandonWriter();
    } finally {
      writing.unlock();
    }
  }

  /** A row of a key as it stands in the database. */
  @SuppressWarnings("ArrayRecordComponent")
  private record KeyRow(
      byte[] rowKey,
      long version,
      byte[] generation,
      byte[] older,
      Map<Searched, byte[]> tags,
      byte[] mark) {
    /** All of it but what is sealed, which its mark stands for. */
    byte[] encoded(byte[] keystore) {
      return RowSeal.concatenate(
          KEY_CONTEXT, keystore, rowKey, RowSeal.number(version), generation, older, encodedTags());
    }

    private byte[] encodedTags() {
      return RowSeal.concatenate(
          Arrays.stream(Searched.values()).map(by -> tagOf(by)).toArray(byte[][]::new));
    }

    byte[] tagOf(Searched by) {
      byte[] tag = tags.get(by);
      return tag == null ? new byte[0] : tag;
    }
  }

  /**
   * A page of keys, and where the next one begins.
   *
   * @param next empty when these are the last
   */
  public record Page(List<KeyRecord> keys, Optional<byte[]> next) {}

  /** Which blob of a key is meant. */
  public enum Blob {
    FIRST("generation = ?"),
    /** Of a key that has another one. */
    FIRST_OF_TWO("generation = ? AND length(older) > 0"),
    SECOND("older = ?");

    private final String condition;

    Blob(String condition) {
      this.condition = condition;
    }
  }

  /** One state of the keystores of an instance. */
  public class View {
    private final Connection connection;
    private final UUID instance;
    private final long begun;
    private final Map<ByteBuffer, Long> seen = new HashMap<>();

    /**
     * @param begun what was seen later than this may be newer than the state that is read
     */
    private View(Connection connection, UUID instance, long begun) {
      this.connection = connection;
      this.instance = instance;
      this.begun = begun;
    }

    Connection connection() {
      return connection;
    }

    UUID instance() {
      return instance;
    }

    public Optional<KeystoreRecord> find(UUID id) {
      byte[] rowKey = seal.keystore(instance, id);
      return KeystoreTables.query(
          connection,
          "SELECT row_key, revision, sealed FROM keystore WHERE row_key = ? AND instance = ?",
          List.of(rowKey, seal.instance(instance)),
          row -> row.next() ? Optional.of(keystore(row)) : Optional.empty());
    }

    /**
     * All that open. One that no gateway wrote is left out and told in the log: it is refused
     * itself, and must not keep the others from being served.
     */
    public List<KeystoreRecord> keystores() {
      return keystores("", List.of(seal.instance(instance)));
    }

    /** Those that have keys with such a blob under this generation, as {@link #under}. */
    public List<KeystoreRecord> keystoresUnder(String generation, Blob blob) {
      return keystores(
          " AND row_key IN (SELECT keystore FROM keystore_key WHERE " + blob.condition + ")",
          List.of(seal.instance(instance), seal.generation(instance, generation)));
    }

    private List<KeystoreRecord> keystores(String condition, List<Object> values) {
      return KeystoreTables.query(
          connection,
          "SELECT row_key, revision, sealed FROM keystore WHERE instance = ?"
              + condition
              + " ORDER BY row_key",
          values,
          row -> {
            List<KeystoreRecord> found = new ArrayList<>();
            while (row.next()) {
              try {
                found.add(keystore(row));
              } catch (StoreException e) {
                report(blob(row, 1), e);
              }
            }
            return found;
          });
    }

    private void report(byte[] rowKey, StoreException e) {
      if (reported.size() < MOST_REPORTED && reported.add(ByteBuffer.wrap(rowKey))) {
        LOG.error(
            "a keystore of instance {} is refused and left out: {}", instance, e.getMessage());
      }
    }

    private KeystoreRecord keystore(ResultSet row) throws SQLException {
      byte[] rowKey = blob(row, 1);
      long revision = row.getLong(2);
      var record =
          KeystoreCodec.keystore(
              instance,
              revision,
              seal.open("a keystore", blob(row, 3), keystoreContext(instance, rowKey, revision)));
      if (!Arrays.equals(rowKey, seal.keystore(instance, record.id()))) {
        throw new StoreTamperedException("a keystore stands in the place of another");
      }
      var origin = ByteBuffer.wrap(record.origin());
      var known = highestSeen.getIfPresent(origin);
      if (known != null && known.since() <= begun && revision < known.revision()) {
        throw distrusted(
            record,
            new StoreTamperedException(
                "keystore %s was at revision %d and is now at %d: an older one was put back"
                    .formatted(record.id(), known.revision(), revision)));
      }
      seen.put(origin, revision);
      return record;
    }

    /**
     * Refuses a keystore that is not believed any more.
     *
     * @throws StoreTamperedException when this keystore did not verify before
     */
    public void requireTrusted(KeystoreRecord keystore) {
      var first = tampered.get(ByteBuffer.wrap(keystore.origin()));
      if (first != null) {
        throw new StoreTamperedException(
            "not believed again before a restart: " + first.getMessage());
      }
    }

    public Optional<KeyRecord> key(KeystoreRecord keystore, UUID id) {
      return stored(keystore, id).map(Stored::record);
    }

    private Optional<Stored> stored(KeystoreRecord keystore, UUID id) {
      byte[] of = seal.keystore(instance, keystore.id());
      return KeystoreTables.query(
          connection,
          "SELECT " + KEY_COLUMNS + ", sealed FROM keystore_key WHERE keystore = ? AND row_key = ?",
          List.of(of, seal.key(of, id)),
          row -> row.next() ? Optional.of(stored(of, row)) : Optional.empty());
    }

    /**
     * Keys that have these values, in the order of their rows.
     *
     * @param after where the page before ended; empty for the first
     */
    public Page search(
        KeystoreRecord keystore, Map<Searched, byte[]> values, byte[] after, int most) {
      byte[] of = seal.keystore(instance, keystore.id());
      var sql =
          new StringBuilder("SELECT " + KEY_COLUMNS + ", sealed FROM keystore_key")
              .append(" WHERE keystore = ? AND row_key > ?");
      List<Object> parameters = new ArrayList<>(List.of(of, after));
      values.forEach((by, value) -> {
        sql.append(" AND ").append(by.column()).append(" = ?");
        parameters.add(seal.searched(of, by, value));
      });
      sql.append(" ORDER BY row_key LIMIT ").append(most + 1);
      return KeystoreTables.query(
          connection, sql.toString(), parameters, row -> page(of, row, after, most));
    }

    /** Where a page ends that was cut after this key. */
    public byte[] position(KeystoreRecord keystore, UUID key) {
      return seal.key(seal.keystore(instance, keystore.id()), key);
    }

    /**
     * Keys with such a blob under this generation, in the order of their rows.
     *
     * @param after where the page before ended; empty for the first
     */
    public Page under(
        KeystoreRecord keystore, String generation, Blob blob, byte[] after, int most) {
      byte[] of = seal.keystore(instance, keystore.id());
      return KeystoreTables.query(
          connection,
          "SELECT %s, sealed FROM keystore_key WHERE %s AND keystore = ? AND row_key > ? ORDER BY row_key LIMIT %d"
              .formatted(KEY_COLUMNS, blob.condition, most + 1),
          List.of(seal.generation(instance, generation), of, after),
          row -> page(of, row, after, most));
    }

    private Page page(byte[] of, ResultSet row, byte[] after, int most) throws SQLException {
      List<KeyRecord> found = new ArrayList<>();
      byte[] last = after;
      while (row.next()) {
        if (found.size() == most) {
          return new Page(found, Optional.of(last));
        }
        var next = stored(of, row);
        found.add(next.record());
        last = next.row().rowKey();
      }
      return new Page(found, Optional.empty());
    }

    /**
     * Adds up all rows of a keystore and compares with what its own row says.
     *
     * @throws StoreTamperedException when a key is missing, older than it was, or too many
     */
    public void verify(KeystoreRecord keystore) {
      byte[] of = seal.keystore(instance, keystore.id());
      boolean found =
          KeystoreTables.query(
              connection,
              "SELECT " + KEY_COLUMNS + " FROM keystore_key WHERE keystore = ?",
              List.of(of),
              row -> {
                byte[] sum = new byte[KeystoreSeal.SUM_LENGTH];
                long keys = 0;
                while (row.next()) {
                  KeystoreSeal.add(sum, element(of, row(row)));
                  keys++;
                }
                return keys == keystore.keys() && MessageDigest.isEqual(sum, keystore.sum());
              });
      if (!found) {
        throw distrusted(
            keystore,
            new StoreTamperedException(
                "the keys of keystore %s are not those that gateways stored: rows were removed, added or put back"
                    .formatted(keystore.id())));
      }
    }

    private StoreTamperedException distrusted(KeystoreRecord keystore, StoreTamperedException e) {
      tampered.putIfAbsent(ByteBuffer.wrap(keystore.origin()), e);
      return e;
    }

    private record Stored(KeyRow row, KeyRecord record) {}

    private Stored stored(byte[] of, ResultSet row) throws SQLException {
      var plain = row(row);
      byte[] sealed = blob(row, SEALED_COLUMN);
      var record =
          KeystoreCodec.key(
              plain.version(), seal.open("a key of a keystore", sealed, plain.encoded(of)));
      if (!Arrays.equals(plain.rowKey(), seal.key(of, record.id()))
          || !Arrays.equals(plain.mark(), KeystoreSeal.mark(sealed))) {
        throw new StoreTamperedException("a key of a keystore stands in the place of another");
      }
      return new Stored(plain, record);
    }
  }

  private byte[] element(byte[] keystore, KeyRow row) {
    return seal.element(row.encoded(keystore), row.mark());
  }

  private static KeyRow row(ResultSet row) throws SQLException {
    Map<Searched, byte[]> tags = new LinkedHashMap<>();
    int column = 5;
    for (Searched by : Searched.values()) {
      tags.put(by, blob(row, column++));
    }
    return new KeyRow(
        blob(row, 1), row.getLong(2), blob(row, 3), blob(row, 4), tags, blob(row, column));
  }

  /** What a transaction can do. */
  public final class Change extends View {
    /** As they will be written. */
    private final Map<UUID, KeystoreRecord> touched = new LinkedHashMap<>();

    private final List<ByteBuffer> removed = new ArrayList<>();

    private Change(Connection connection, UUID instance, long begun) {
      super(connection, instance, begun);
    }

    /** Adds a keystore; false when the id is taken. */
    public boolean add(KeystoreRecord keystore) {
      byte[] rowKey = seal.keystore(instance(), keystore.id());
      return update(
              "INSERT INTO keystore (row_key, instance, revision, sealed) VALUES (?, ?, ?, ?)"
                  + " ON CONFLICT (row_key) DO NOTHING",
              List.of(
                  rowKey, seal.instance(instance()), keystore.revision(), sealed(keystore, rowKey)))
          == 1;
    }

    private byte[] sealed(KeystoreRecord keystore, byte[] rowKey) {
      return seal.seal(
          KeystoreCodec.encode(keystore), keystoreContext(instance(), rowKey, keystore.revision()));
    }

    /**
     * Removes a keystore, or as many of its keys and transactions as one transaction of the
     * database should: what is left is a keystore that adds up.
     *
     * @return whether it is gone; if not, it is to be asked again in another transaction
     */
    public boolean remove(KeystoreRecord keystore) {
      byte[] of = seal.keystore(instance(), keystore.id());
      if (removeKeys(of, keystore) == MOST_REMOVED
          || forget(of, Long.MAX_VALUE) == MOST_FORGOTTEN) {
        return false;
      }
      touched.remove(keystore.id());
      update("DELETE FROM keystore WHERE row_key = ?", List.of(of));
      removed.add(ByteBuffer.wrap(keystore.origin()));
      return true;
    }

    private int removeKeys(byte[] of, KeystoreRecord keystore) {
      List<KeyRow> rows =
          KeystoreTables.query(
              connection(),
              "SELECT %s FROM keystore_key WHERE keystore = ? ORDER BY row_key LIMIT %d"
                  .formatted(KEY_COLUMNS, MOST_REMOVED),
              List.of(of),
              row -> {
                List<KeyRow> found = new ArrayList<>();
                while (row.next()) {
                  found.add(row(row));
                }
                return found;
              });
      if (!rows.isEmpty()) {
        update(
            "DELETE FROM keystore_key WHERE keystore = ? AND row_key <= ?",
            List.of(of, rows.getLast().rowKey()));
        touched.put(
            keystore.id(),
            present(keystore)
                .changed(
                    -rows.size(),
                    rows.stream().map(each -> element(of, each)).toArray(byte[][]::new)));
      }
      return rows.size();
    }

    private int forget(byte[] of, long before) {
      return update(
          "DELETE FROM keystore_transaction WHERE keystore = ? AND tag IN (SELECT tag FROM"
              + " keystore_transaction WHERE keystore = ? AND carried_out < ? LIMIT "
              + MOST_FORGOTTEN
              + ")",
          List.of(of, of, before));
    }

    private void forgetRemoved() {
      highestSeen.invalidateAll(removed);
      removed.forEach(tampered::remove);
    }

    /** Gives a keystore another password. */
    public void replace(KeystoreRecord keystore) {
      touched.put(keystore.id(), keystore);
    }

    private KeystoreRecord present(KeystoreRecord keystore) {
      return touched.getOrDefault(keystore.id(), keystore);
    }

    /** Notes a transaction; false when it was carried out before. */
    public boolean begin(KeystoreRecord keystore, UUID transaction, Instant now) {
      byte[] of = seal.keystore(instance(), keystore.id());
      return update(
              "INSERT INTO keystore_transaction (keystore, tag, carried_out) VALUES (?, ?, ?)"
                  + " ON CONFLICT (keystore, tag) DO NOTHING",
              List.of(of, seal.transaction(of, transaction), now.toEpochMilli()))
          == 1;
    }

    /** Adds a key; false when the id is taken. */
    public boolean add(KeystoreRecord keystore, KeyRecord key, Map<Searched, byte[]> searched) {
      byte[] of = seal.keystore(instance(), keystore.id());
      if (super.stored(keystore, key.id()).isPresent()) {
        return false;
      }
      Map<Searched, byte[]> tags = tags(of, searched);
      byte[] element = insert(of, key, tags);
      touched.put(keystore.id(), present(keystore).changed(1, element));
      return true;
    }

    /** Puts a key in the place of the one with its id. */
    public void replace(KeystoreRecord keystore, KeyRecord key, Map<Searched, byte[]> searched) {
      byte[] of = seal.keystore(instance(), keystore.id());
      replace(keystore, of, key, tags(of, searched));
    }

    /** As {@link #replace}, found by what it was found by. */
    public void rewrite(KeystoreRecord keystore, KeyRecord key) {
      byte[] of = seal.keystore(instance(), keystore.id());
      replace(keystore, of, key, required(keystore, key.id()).row().tags());
    }

    private void replace(
        KeystoreRecord keystore, byte[] of, KeyRecord key, Map<Searched, byte[]> tags) {
      var before = required(keystore, key.id()).row();
      delete(of, before);
      byte[] element = insert(of, key, tags);
      touched.put(keystore.id(), present(keystore).changed(0, element(of, before), element));
    }

    /** Removes a key that is there. */
    public void remove(KeystoreRecord keystore, UUID key) {
      byte[] of = seal.keystore(instance(), keystore.id());
      var before = required(keystore, key).row();
      delete(of, before);
      touched.put(keystore.id(), present(keystore).changed(-1, element(of, before)));
    }

    private View.Stored required(KeystoreRecord keystore, UUID key) {
      return super.stored(keystore, key)
          .orElseThrow(() -> new IllegalArgumentException("no key " + key));
    }

    private void delete(byte[] of, KeyRow row) {
      update(
          "DELETE FROM keystore_key WHERE keystore = ? AND row_key = ?", List.of(of, row.rowKey()));
    }

    private byte[] insert(byte[] of, KeyRecord key, Map<Searched, byte[]> tags) {
      var row =
          new KeyRow(
              seal.key(of, key.id()),
              key.version(),
              generation(key, 0),
              generation(key, 1),
              tags,
              new byte[0]);
      byte[] sealed = seal.seal(KeystoreCodec.encode(key), row.encoded(of));
      byte[] mark = KeystoreSeal.mark(sealed);
      List<Object> values = new ArrayList<>();
      values.add(of);
      values.add(row.rowKey());
      values.add(row.version());
      values.add(row.generation());
      values.add(row.older());
      for (Searched by : Searched.values()) {
        values.add(row.tagOf(by));
      }
      values.add(mark);
      values.add(sealed);
      update(
          "INSERT INTO keystore_key (keystore, "
              + KEY_COLUMNS
              + ", sealed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
          values);
      return seal.element(row.encoded(of), mark);
    }

    /** Empty for a key without such a blob, or whose blob is under no sealing keys. */
    private byte[] generation(KeyRecord key, int blob) {
      return blob >= key.generations().size() || key.generations().get(blob).isEmpty()
          ? new byte[0]
          : seal.generation(instance(), key.generations().get(blob));
    }

    private Map<Searched, byte[]> tags(byte[] of, Map<Searched, byte[]> searched) {
      Map<Searched, byte[]> tags = new LinkedHashMap<>();
      for (Searched by : Searched.values()) {
        byte[] value = searched.get(by);
        tags.put(by, value == null ? seal.absent(of, by) : seal.searched(of, by, value));
      }
      return tags;
    }

    private void finish() {
      for (var keystore : touched.values()) {
        var next = keystore.next();
        byte[] rowKey = seal.keystore(instance(), next.id());
        int updated =
            update(
                "UPDATE keystore SET revision = ?, sealed = ? WHERE row_key = ? AND revision = ?",
                List.of(next.revision(), sealed(next, rowKey), rowKey, keystore.revision()));
        if (updated != 1) {
          throw new StoreException("keystore " + next.id() + " was changed at the same moment");
        }
        super.seen.put(ByteBuffer.wrap(next.origin()), next.revision());
      }
    }

    private int update(String sql, List<Object> values) {
      return KeystoreTables.update(connection(), sql, values);
    }
  }

  // ---- Rows as bytes

  private static byte[] keystoreContext(UUID instance, byte[] rowKey, long revision) {
    return RowSeal.concatenate(
        KEYSTORE_CONTEXT, KeystoreSeal.bytes(instance), rowKey, RowSeal.number(revision));
  }

  // ---- SQL

  /** Carries what a statement threw out of a function that may throw nothing. */
  private static final class FailedStatement extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final SQLException cause;

    FailedStatement(SQLException cause) {
      super(cause);
      this.cause = cause;
    }

    SQLException cause() {
      return cause;
    }
  }

  private static <T> T query(
      Connection connection, String sql, List<? extends Object> values, Sql.Reading<T> reading) {
    try {
      return Sql.query(connection, sql, values, reading);
    } catch (SQLException e) {
      throw new FailedStatement(e);
    }
  }

  private static int update(Connection connection, String sql, List<? extends Object> values) {
    try {
      return Sql.update(connection, sql, values);
    } catch (SQLException e) {
      throw new FailedStatement(e);
    }
  }

  private static byte[] blob(ResultSet row, int column) throws SQLException {
    byte[] value = row.getBytes(column);
    // SQLite's driver gives null for no bytes.
    return value == null ? new byte[0] : value;
  }
}
