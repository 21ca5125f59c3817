package dev.grep11.gateway.store;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * The records of a gateway, shared by all processes on one database.
 *
 * <p>Every read takes one state of the database, opens every row and compares their digest with the
 * sealed head record; every change does so too and then replaces rows and head in one transaction.
 * That is linear in the size of the store, which is a few thousand rows at most and not on the path
 * of a call. Safe for use by several threads.
 */
public final class Store implements AutoCloseable {
  static final byte[] DATA_KEY_CONTEXT = "grep11-gateway store data key v1".getBytes(UTF_8);

  private final Database database;
  private final RowSeal seal;
  private final GenerationAnchor anchor;
  private final ReentrantLock reading = new ReentrantLock();

  /** Used under {@link #reading}; null after it was lost, and once the store is closed. */
  private @Nullable Connection reader;

  private boolean closed;
  private final ReentrantLock writing = new ReentrantLock();

  /** What to do where there is none. */
  static final String LOST =
      "; a store that was lost comes back by: grep11 restore, and only a new gateway begins with:"
          + " grep11 instance create";

  /** A database put back under a running gateway shows as a lower generation. */
  private final AtomicLong highestSeen = new AtomicLong();

  /** What the anchor is known to have reached. */
  private final AtomicLong anchored = new AtomicLong();

  /**
   * The first sign of tampering. Whoever can put an old database in place can put the new one back:
   * what this process did with the old one would then pass for good.
   */
  private final AtomicReference<@Nullable StoreTamperedException> tampered =
      new AtomicReference<>();

  private final KeystoreTables keystores;

  private Store(
      Database database, RowSeal seal, KeystoreTables keystores, GenerationAnchor anchor) {
    this.database = database;
    this.keystores = keystores;
    this.seal = seal;
    this.anchor = anchor;
  }

  /**
   * Whether there is a store, readable or not.
   *
   * @throws StoreException when that cannot be told
   */
  public static boolean exists(StoreLocation location) {
    Database database = Database.at(location);
    try {
      return database.exists();
    } catch (IOException | SQLException e) {
      throw unreachable(database, e);
    }
  }

  /** Says where. */
  private static StoreTamperedException tampered(Database database, StoreTamperedException cause) {
    return new StoreTamperedException(
        "the store in %s is not what a gateway left there: %s; put back its newest copy, or a backup by: grep11 restore"
            .formatted(database, cause.getMessage()),
        cause);
  }

  private static StoreException unreachable(Database database, Exception cause) {
    return new StoreException(
        "cannot open the store in %s: %s; %s"
            .formatted(database, inOneLine(cause), database.remedy()),
        cause);
  }

  /** PostgreSQL adds details and hints in lines of their own. */
  private static String inOneLine(Exception cause) {
    return String.valueOf(cause.getMessage())
        .lines()
        .map(String::strip)
        .collect(Collectors.joining(" "))
        .replaceFirst("\\.$", "");
  }

  /**
   * Makes an empty store, its directory (0700) where that is absent, and its data key.
   *
   * @throws StoreException when there is one already, or was one that the anchor remembers, or it
   *     cannot be written
   */
  public static Store create(StoreLocation location, Envelope envelope, GenerationAnchor anchor) {
    Database database = Database.at(location);
    long remembered = kept(anchor);
    if (remembered > 0) {
      throw new StoreException(
          "the token remembers generation %d of this store (%s): put its newest database back into %s instead of beginning an empty one"
              .formatted(remembered, anchor.name(), database));
    }
    byte[] dataKey = new byte[RowSeal.DATA_KEY_LENGTH];
    new SecureRandom().nextBytes(dataKey);
    try {
      byte[] sealedDataKey = envelope.seal(dataKey, DATA_KEY_CONTEXT);
      RowSeal seal = new RowSeal(dataKey);
      database.create(connection -> {
        Schema.migrate(connection, database);
        Sql.update(
            connection, "INSERT INTO data_key (id, sealed) VALUES (1, ?)", List.of(sealedDataKey));
        Sql.update(
            connection,
            "INSERT INTO head (id, generation, sealed) VALUES (1, 0, ?)",
            List.of(seal.sealHead(0, new Head(0, new Rows().digest(), 0).content())));
      });
    } catch (IOException | SQLException e) {
      throw new StoreException("cannot create a store in " + database + ": " + e.getMessage(), e);
    } finally {
      Arrays.fill(dataKey, (byte) 0);
    }
    return open(location, envelope, anchor);
  }

  /**
   * Opens a store and verifies it. Where a process was killed before it could tell the anchor of
   * its last change, the anchor is told now.
   *
   * @throws StoreException when there is none, when others may read it, when it is newer than this
   *     program, or when the anchor cannot be read or written
   * @throws StoreTamperedException when it is not what a gateway with this envelope wrote, or older
   *     than the anchor
   */
  public static Store open(StoreLocation location, Envelope envelope, GenerationAnchor anchor) {
    return open(Database.at(location), envelope, anchor);
  }

  /** The same over a database that a test has wrapped. */
  static Store open(Database database, Envelope envelope, GenerationAnchor anchor) {
    byte[] sealedDataKey;
    try {
      database.check();
      try (Connection writer = database.writer()) {
        Schema.migrate(writer, database);
        sealedDataKey = readDataKey(writer);
        database.commit(writer);
      }
    } catch (StoreTamperedException e) {
      throw tampered(database, e);
    } catch (IOException | SQLException e) {
      throw unreachable(database, e);
    }
    byte[] keys = openDataKey(database, envelope, sealedDataKey);
    byte[] dataKey = RowSeal.dataKey(keys);
    RowSeal seal = new RowSeal(keys);
    var keystores = new KeystoreTables(database, new KeystoreSeal(dataKey));
    Arrays.fill(keys, (byte) 0);
    Arrays.fill(dataKey, (byte) 0);
    Store store = new Store(database, seal, keystores, anchor);
    try {
      store.settleAnchor();
      return store;
    } catch (RuntimeException e) {
      store.close();
      throw e;
    }
  }

  /**
   * What an examination reads of a store.
   *
   * @param anchored the generation that last granted or revoked something
   * @param remembered the one that the anchor has; the store is to be at least as new
   */
  public record Contents(Snapshot snapshot, long anchored, long remembered) {}

  /**
   * Reads and verifies a store of the newest schema, and changes nothing: neither the database nor
   * the anchor, whichever of them is behind.
   *
   * @throws StoreException when there is none, or it cannot be read
   * @throws StoreTamperedException when it is not what a gateway with this envelope wrote
   */
  public static Contents look(StoreLocation location, Envelope envelope, GenerationAnchor anchor) {
    Database database = Database.at(location);
    // Before the database: what is committed meanwhile is in the database first.
    long remembered = kept(anchor);
    try {
      database.check();
      try (Connection examiner = database.examiner()) {
        byte[] keys = openDataKey(database, envelope, readDataKey(examiner));
        byte[] dataKey = RowSeal.dataKey(keys);
        RowSeal seal = new RowSeal(keys);
        var keystores = new KeystoreTables(database, new KeystoreSeal(dataKey));
        Arrays.fill(keys, (byte) 0);
        Arrays.fill(dataKey, (byte) 0);
        Verified now = new Store(database, seal, keystores, anchor).readVerified(examiner);
        return new Contents(now.snapshot(), now.anchored(), remembered);
      }
    } catch (IOException | SQLException e) {
      throw unreachable(database, e);
    }
  }

  static byte[] openDataKey(Database database, Envelope envelope, byte[] sealedDataKey) {
    try {
      return envelope.open(sealedDataKey, DATA_KEY_CONTEXT);
    } catch (RuntimeException e) {
      throw new StoreException(
          "the data key of the store in %s does not open: %s; use database, token and token-keys of one gateway, or of one backup"
              .formatted(database, e.getMessage()),
          e);
    }
  }

  private void settleAnchor() {
    // Read before the database: what is committed meanwhile is in the database first.
    long kept = kept(anchor);
    Verified now = begin();
    requireAnchored(now, kept);
    if (now.anchored() > kept) {
      advanceAnchor(now.anchored());
    }
    anchored.accumulateAndGet(now.anchored(), Math::max);
  }

  private Verified begin() {
    try {
      return read(this::readVerified);
    } catch (StoreTamperedException e) {
      throw tampered(database, e);
    }
  }

  static long kept(GenerationAnchor anchor) {
    try {
      return anchor.highest();
    } catch (RuntimeException e) {
      throw new StoreException(
          "the generation that the token remembers cannot be read, nothing was changed: "
              + e.getMessage(),
          e);
    }
  }

  private void requireAnchored(Verified now, long kept) {
    if (now.anchored() < kept) {
      throw new StoreTamperedException(
          ("an older database was put back: what it grants is of generation %d, and the token"
                  + " remembers generation %d. Put the newest database back into %s; where it is"
                  + " lost for good, restore a backup, which tells what comes back: grep11 restore")
              .formatted(now.anchored(), kept, database));
    }
  }

  private void advanceAnchor(long generation) {
    anchor.advance(generation);
    anchored.accumulateAndGet(generation, Math::max);
  }

  /**
   * Rises by one with each committed change, and by a leap with a restore; every process sees the
   * same number. Verified against the sealed head, not the rows.
   */
  public long generation() {
    return read(connection -> readHead(connection).generation());
  }

  /**
   * Everything, verified.
   *
   * @throws StoreTamperedException when rows and head do not belong together, or are older than
   *     what was seen before; and ever after, whatever the store then holds
   */
  public Snapshot snapshot() {
    return read(connection -> readVerified(connection).snapshot());
  }

  /**
   * Runs {@code work} as one transaction. It sees the verified state and its own changes; if it
   * throws, nothing happened. A change that grants or revokes something is on the anchor too when
   * this returns; before it, and before a gateway says of itself that it serves, the anchor is
   * asked whether this database is still the newest.
   *
   * @throws StoreTamperedException when the state before is not what a gateway wrote, or older than
   *     the anchor; it is left as it is
   * @throws UncertainChangeException when it is not known whether the change was made
   * @throws StoreException when nothing was changed; or, as its message then says, when the change
   *     was made and could not be anchored
   */
  public <T> T change(Function<Change, T> work) {
    requireUntampered();
    Change change;
    T result;
    boolean committed = false;
    writing.lock();
    try (Connection writer = database.writer()) {
      Verified before = readVerified(writer);
      change = new Change(writer, seal, before);
      result = work.apply(change);
      if (change.changed()) {
        commit(writer, before, change);
        committed = true;
      }
    } catch (StoreTamperedException e) {
      throw latched(e);
    } catch (SQLException e) {
      throw committed
          ? new UncertainChangeException(
              "the change is made, but its connection could not be closed: " + e.getMessage(), e)
          : new StoreException("cannot change the store: " + e.getMessage(), e);
    } finally {
      writing.unlock();
    }
    acknowledge(change);
    return result;
  }

  private void commit(Connection writer, Verified before, Change change) throws SQLException {
    if (change.granted() || change.claimed()) {
      // Within the only writing transaction, so that no other process can be ahead: neither does a
      // database that was put back a moment ago pass for the present one, nor is a change made
      // while the token cannot be asked. A gateway on a copy that the others left behind would
      // otherwise confirm to itself for ever what they have revoked since.
      long kept = kept(anchor);
      requireUnderWay(writer);
      requireAnchored(before, kept);
    }
    // The comparison is for databases without a lock on the whole: who comes second has changed
    // nothing.
    int heads =
        Sql.update(
            writer,
            "UPDATE head SET generation = ?, sealed = ? WHERE id = 1 AND generation = ?",
            List.of(
                change.generation(),
                seal.sealHead(change.generation(), change.head().content()),
                before.generation()));
    if (heads != 1) {
      throw new StoreException("another process changed the store at the same moment, try again");
    }
    try {
      database.commit(writer);
    } catch (SQLException e) {
      // The connection may have broken after the server had committed.
      throw new UncertainChangeException(
          "it is not known whether the change was made; look at what the store says before you repeat it: "
              + e.getMessage(),
          e);
    }
    highestSeen.accumulateAndGet(change.generation(), Math::max);
  }

  /**
   * Shows that this still is the only writing transaction. A database server ends one whose process
   * it did not hear from; others may have gone on since, and what the token then remembers is no
   * sign of tampering.
   */
  private static void requireUnderWay(Connection writer) throws SQLException {
    try (var statement = writer.createStatement()) {
      statement.execute("SELECT 1");
    }
  }

  /**
   * Anchors what is committed. Also when there was nothing to change: an attempt before this one
   * may have been committed and not anchored.
   */
  private void acknowledge(Change change) {
    boolean claimsRights = change.granted() || !change.changed();
    if (!claimsRights || change.anchored() <= anchored.get()) {
      return;
    }
    try {
      advanceAnchor(change.anchored());
    } catch (RuntimeException e) {
      throw new UncertainChangeException(
          "the change is made, but the token does not remember it (%s): until it does, an older database put back would not be noticed. Look at what the store says, and repeat the change when the token is well"
              .formatted(e.getMessage()),
          e);
    }
  }

  /**
   * Adds an instance and its empty registry of client CAs; false when the id or the name is taken.
   */
  public boolean createInstance(InstanceRecord instance) {
    return change(change -> change.addInstance(instance));
  }

  public List<InstanceRecord> instances() {
    return snapshot().instances();
  }

  public Optional<InstanceRecord> findInstance(UUID id) {
    return snapshot().instance(id);
  }

  /** The client CAs of an instance. Absent means refuse, it never means that none is registered. */
  public Optional<RegistryRecord> findRegistry(UUID instance) {
    return snapshot().registry(instance);
  }

  /** False when exactly this grant exists already. */
  public boolean addGrant(Grant grant) {
    return change(change -> change.add(grant));
  }

  /** False when there is no such grant. */
  public boolean removeGrant(Grant grant) {
    return change(change -> change.remove(grant));
  }

  public List<Grant> grants() {
    return snapshot().grants();
  }

  /** False when the id or the name is taken. */
  public boolean addApiKey(ApiKeyRecord apiKey) {
    return change(change -> change.addApiKey(apiKey));
  }

  public List<ApiKeyRecord> apiKeys() {
    return snapshot().apiKeys();
  }

  /** The API key with this SHA-256, compared in constant time. */
  public Optional<ApiKeyRecord> findApiKey(byte[] hash) {
    return snapshot().apiKeys().stream()
        .filter(key -> MessageDigest.isEqual(key.hash(), hash))
        .findFirst();
  }

  /** False when there is no such API key. Its subject's grants stay. */
  public boolean deleteApiKey(UUID id) {
    return change(change -> change.snapshot().apiKey(id).map(change::remove).orElse(false));
  }

  /**
   * Writes everything as it is at one moment, keystores too, to a file beside {@code target};
   * writers are not held up.
   *
   * @param envelope of this store
   * @param token what the backup says of the token that it needs
   * @param samples made for the master keys of the state that is written
   * @throws StoreException when the store cannot be read, or the file cannot be written
   * @throws StoreTamperedException when the store is not what a gateway wrote
   */
  public UnpublishedBackup backUp(
      Path target,
      boolean overwrite,
      Envelope envelope,
      BackupManifest.Token token,
      Instant now,
      Function<Snapshot, List<BackupSample>> samples) {
    return backUp(target, overwrite, envelope, token, now, samples, BackupManifest.FORMAT);
  }

  /** The same in a format of before, for tests. */
  UnpublishedBackup backUp(
      Path target,
      boolean overwrite,
      Envelope envelope,
      BackupManifest.Token token,
      Instant now,
      Function<Snapshot, List<BackupSample>> samples,
      int format) {
    requireUntampered();
    UnpublishedBackup.requireNoDirectory(target);
    if (!overwrite) {
      UnpublishedBackup.requireFree(target);
    }
    UnpublishedBackup made = null;
    try (Connection connection = database.longReader()) {
      Verified verified = readVerified(connection);
      var draft =
          new BackupManifest(
              format,
              now.toString(),
              Schema.newest(),
              token,
              verified.snapshot().instances().stream().map(BackupManifest.Instance::of).toList(),
              verified.generation(),
              verified.anchored(),
              Map.of(),
              BackupManifest.NO_DIGEST);
      var keys =
          new UnpublishedBackup.Keys(
              readDataKey(connection),
              verified.generation(),
              seal.sealHead(
                  verified.generation(),
                  new Head(verified.generation(), verified.rows().digest(), verified.anchored())
                      .content()));
      made =
          UnpublishedBackup.write(
              target, envelope, draft, keys, samples.apply(verified.snapshot()), connection);
    } catch (StoreTamperedException e) {
      throw latched(e);
    } catch (SQLException e) {
      if (made != null) {
        // Its connection did not close. Nobody knows of the file, which would pass for a backup.
        made.close();
      }
      throw new StoreException("cannot read the store: " + e.getMessage(), e);
    } catch (NoSuchFileException e) {
      throw new StoreException(
          "cannot write the backup %s: there is no directory %s; make it, or name another file by --to"
              .formatted(target, target.toAbsolutePath().getParent()),
          e);
    } catch (AccessDeniedException e) {
      throw new StoreException(
          "cannot write the backup %s: this user may make no file in %s"
              .formatted(target, target.toAbsolutePath().getParent()),
          e);
    } catch (IOException e) {
      throw new StoreException("cannot write the backup " + target + ": " + e.getMessage(), e);
    }
    return made;
  }

  /** The keystores of instances, which are no part of {@link #snapshot}. */
  public KeystoreTables keystores() {
    return keystores;
  }

  @Override
  public void close() {
    keystores.close();
    reading.lock();
    try {
      closed = true;
      closeReader();
    } catch (SQLException e) {
      throw new StoreException("the store did not close cleanly", e);
    } finally {
      reading.unlock();
    }
  }

  private void closeReader() throws SQLException {
    Connection open = reader;
    reader = null;
    if (open != null) {
      open.close();
    }
  }

  /** A transaction under way; not valid after the work has returned. */
  public static final class Change {
    private final Connection connection;
    private final RowSeal seal;
    private final Rows rows;
    private final long generation;
    private long anchored;
    private boolean changed;
    private boolean granted;
    private boolean claimed;

    Change(Connection connection, RowSeal seal, Verified before) {
      this.connection = connection;
      this.seal = seal;
      this.rows = before.rows();
      this.generation = before.generation() + 1;
      this.anchored = before.anchored();
    }

    /** The state as this transaction would leave it. */
    public Snapshot snapshot() {
      return rows.snapshot(generation);
    }

    /**
     * Adds an instance and its empty registry of client CAs; false when the id or the name is
     * taken.
     */
    public boolean addInstance(InstanceRecord instance) {
      return snapshot().instances().stream()
              .noneMatch(other -> other.name().equals(instance.name()))
          && insert(instance)
          && insert(RegistryRecord.empty(instance.id()));
    }

    /** False when exactly this grant exists already. */
    public boolean add(Grant grant) {
      return insert(grant);
    }

    /** False when there is no such grant. */
    public boolean remove(Grant grant) {
      return delete(grant);
    }

    /** False when the id or the name is taken. */
    public boolean addApiKey(ApiKeyRecord apiKey) {
      return snapshot().apiKeys().stream().noneMatch(other -> other.name().equals(apiKey.name()))
          && insert(apiKey);
    }

    /** False when there is no such API key. */
    public boolean remove(ApiKeyRecord apiKey) {
      return delete(apiKey);
    }

    /** Puts an API key in the place of the one with its id; false when there is none. */
    public boolean replace(ApiKeyRecord apiKey) {
      return update(apiKey);
    }

    /** What keeps the store safe was done, in the place of the last time. */
    public void put(UpkeepRecord upkeep) {
      if (!update(upkeep)) {
        insert(upkeep);
      }
    }

    /** Puts an instance in the place of the one with its id; false when there is none. */
    public boolean replace(InstanceRecord instance) {
      return update(instance);
    }

    /** Puts a registry of client CAs in the place of that of its instance; false without one. */
    public boolean replace(RegistryRecord registry) {
      return update(registry);
    }

    /** An administrator, in the place of the one with the same subject. */
    public void put(AdministratorRecord administrator) {
      if (!update(administrator)) {
        insert(administrator);
      }
    }

    /** False when there is no such administrator. */
    public boolean remove(AdministratorRecord administrator) {
      return delete(administrator);
    }

    /** Leave to register a key, in the place of an earlier one of its kind. */
    public void put(EnrolmentRecord enrolment) {
      if (!update(enrolment)) {
        insert(enrolment);
      }
    }

    /** False when there is no such leave. */
    public boolean remove(EnrolmentRecord enrolment) {
      return delete(enrolment);
    }

    /** Keeps an event until it is in an audit file; false when its id is taken. */
    public boolean add(EventRecord event) {
      return insert(event);
    }

    /** False when there is no such event. */
    public boolean remove(EventRecord event) {
      return delete(event);
    }

    /** The last checkpoint of a process in an audit file, in the place of an earlier one. */
    public void put(AuditHeadRecord head) {
      if (!update(head)) {
        insert(head);
      }
    }

    /** False when there is no such record. */
    public boolean remove(AuditHeadRecord head) {
      return delete(head);
    }

    /** What a gateway says of itself now, in the place of what it said before. */
    public void put(ReplicaRecord replica) {
      claimed = true;
      if (!update(replica)) {
        insert(replica);
      }
    }

    /** False when there is no such record. */
    public boolean remove(ReplicaRecord replica) {
      return delete(replica);
    }

    /** Adds to what is recorded of the use of a generation. */
    public void add(SealingKeyUse use) {
      SealingKeyUse sum =
          snapshot()
              .use(use.instance(), use.generation())
              .map(before -> before.plus(use))
              .orElse(use);
      if (!update(sum)) {
        insert(sum);
      }
    }

    private boolean update(Stored record) {
      Table table = Table.of(record);
      byte[] rowKey = seal.rowKey(table, RecordCodec.identity(record));
      byte[] sealed = seal.sealRow(table, rowKey, generation, RecordCodec.encode(record));
      int updated =
          write(
              "UPDATE " + table.sqlName() + " SET version = ?, sealed = ? WHERE row_key = ?",
              List.of(generation, sealed, rowKey));
      if (updated == 1) {
        rows.of(table).put(rowKey, new Rows.Row(generation, sealed, record));
        noteChange(table);
      }
      return updated == 1;
    }

    private boolean insert(Stored record) {
      Table table = Table.of(record);
      byte[] rowKey = seal.rowKey(table, RecordCodec.identity(record));
      byte[] sealed = seal.sealRow(table, rowKey, generation, RecordCodec.encode(record));
      int inserted =
          write(
              "INSERT INTO "
                  + table.sqlName()
                  + " (row_key, version, sealed) VALUES (?, ?, ?) ON CONFLICT (row_key) DO NOTHING",
              List.of(rowKey, generation, sealed));
      if (inserted == 1) {
        rows.of(table).put(rowKey, new Rows.Row(generation, sealed, record));
        noteChange(table);
      }
      return inserted == 1;
    }

    private boolean delete(Stored record) {
      Table table = Table.of(record);
      byte[] rowKey = seal.rowKey(table, RecordCodec.identity(record));
      int deleted = write("DELETE FROM " + table.sqlName() + " WHERE row_key = ?", List.of(rowKey));
      if (deleted == 1) {
        rows.of(table).remove(rowKey);
        noteChange(table);
      }
      return deleted == 1;
    }

    private int write(String sql, List<Object> values) {
      try {
        return Sql.update(connection, sql, values);
      } catch (SQLException e) {
        throw new StoreException("cannot change the store: " + e.getMessage(), e);
      }
    }

    private void noteChange(Table table) {
      changed = true;
      if (table.grants()) {
        granted = true;
        anchored = generation;
      }
    }

    private boolean changed() {
      return changed;
    }

    private boolean granted() {
      return granted;
    }

    /** Whether it says of a gateway that it serves by this database. */
    private boolean claimed() {
      return claimed;
    }

    /** The generation that is to be on the anchor once this is committed. */
    private long anchored() {
      return anchored;
    }

    Head head() {
      return new Head(generation, rows.digest(), anchored);
    }

    private long generation() {
      return generation;
    }
  }

  private interface Query<T> {
    T on(Connection connection) throws SQLException;
  }

  private void requireUntampered() {
    var first = tampered.get();
    if (first != null) {
      throw new StoreTamperedException(
          "the store was tampered with, and is not believed again before a restart: "
              + first.getMessage());
    }
  }

  private StoreTamperedException latched(StoreTamperedException sign) {
    tampered.compareAndSet(null, sign);
    return sign;
  }

  private <T> T read(Query<T> query) {
    requireUntampered();
    reading.lock();
    try {
      Connection open = reader;
      if (open != null) {
        try {
          return read(open, query);
        } catch (SQLException e) {
          // A server may have been restarted since. Reading again does no harm.
          abandonReader(e);
        }
      }
      if (closed) {
        throw new StoreException("the store is closed");
      }
      Connection fresh = database.reader();
      reader = fresh;
      return read(fresh, query);
    } catch (StoreTamperedException e) {
      throw latched(e);
    } catch (SQLException e) {
      abandonReader(e);
      throw new StoreException("cannot read the store: " + e.getMessage(), e);
    } finally {
      reading.unlock();
    }
  }

  private void abandonReader(SQLException cause) {
    try {
      closeReader();
    } catch (SQLException e) {
      cause.addSuppressed(e);
    }
  }

  private static <T> T read(Connection reader, Query<T> query) throws SQLException {
    try {
      return query.on(reader);
    } finally {
      reader.rollback();
    }
  }

  private Head readHead(Connection connection) throws SQLException {
    // Taken before the transaction begins: a change committed while it runs must not look like a
    // step back.
    long atLeast = highestSeen.get();
    Head head = readHead(connection, seal);
    if (head.generation() < atLeast) {
      throw new StoreTamperedException(
          "the store was at generation "
              + atLeast
              + " and is now at "
              + head.generation()
              + ": an older one was put back");
    }
    highestSeen.accumulateAndGet(head.generation(), Math::max);
    return head;
  }

  private static Head readHead(Connection connection, RowSeal seal) throws SQLException {
    return Sql.query(
        connection,
        "SELECT generation, sealed FROM head WHERE id = 1",
        List.of(),
        row -> {
          if (!row.next()) {
            throw new StoreTamperedException("the head record of the store is gone");
          }
          long generation = row.getLong(1);
          return Head.of(generation, seal.openHead(generation, blob(row, 2)));
        });
  }

  private Verified readVerified(Connection connection) throws SQLException {
    return readVerified(connection, readHead(connection), seal);
  }

  /** As it stands, however old. */
  static Verified readVerified(Connection connection, RowSeal seal) throws SQLException {
    return readVerified(connection, readHead(connection, seal), seal);
  }

  private static Verified readVerified(Connection connection, Head head, RowSeal seal)
      throws SQLException {
    Rows rows = new Rows();
    for (Table table : Table.values()) {
      Map<byte[], Rows.Row> of = rows.of(table);
      Sql.query(
          connection,
          "SELECT row_key, version, sealed FROM " + table.sqlName(),
          List.of(),
          row -> {
            while (row.next()) {
              byte[] rowKey = blob(row, 1);
              long version = row.getLong(2);
              byte[] sealed = blob(row, 3);
              Stored record =
                  RecordCodec.decode(table, seal.openRow(table, rowKey, version, sealed));
              of.put(rowKey, new Rows.Row(version, sealed, record));
            }
            return of;
          });
    }
    if (!MessageDigest.isEqual(head.digest(), rows.digest())) {
      throw new StoreTamperedException(
          "the rows of the store are not those of its generation " + head.generation());
    }
    return new Verified(head.generation(), head.anchored(), rows);
  }

  record Verified(long generation, long anchored, Rows rows) {
    Snapshot snapshot() {
      return rows.snapshot(generation);
    }
  }

  static byte[] readDataKey(Connection connection) throws SQLException {
    return Sql.query(
        connection,
        "SELECT sealed FROM data_key WHERE id = 1",
        List.of(),
        row -> {
          if (!row.next()) {
            throw new StoreTamperedException("the data key of the store is gone");
          }
          return blob(row, 1);
        });
  }

  private static byte[] blob(ResultSet row, int column) throws SQLException {
    byte[] value = row.getBytes(column);
    if (value == null) {
      throw new StoreTamperedException("a column of the store is empty");
    }
    return value;
  }
}
