package dev.grep11.gateway.store;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import org.sqlite.SQLiteConfig;
import org.sqlite.SQLiteOpenMode;

/** The embedded database: one file, in a directory that nobody else may enter. */
final class Sqlite implements Database {
  private static final String FILE = "store.db";
  private static final int BUSY_TIMEOUT_MILLIS = 5_000;

  private final Path directory;

  Sqlite(Path directory) {
    this.directory = directory;
  }

  private Path file() {
    return directory.resolve(FILE);
  }

  @Override
  public boolean exists() {
    return Files.exists(file(), LinkOption.NOFOLLOW_LINKS);
  }

  /**
   * Makes the database under another name and links it to its own once it is complete, so that a
   * process killed in between leaves no half of a store, and of two creators one is refused.
   */
  @Override
  public void create(Initialisation initialisation) throws IOException, SQLException {
    if (Files.notExists(directory)) {
      Files.createDirectories(directory, PosixFilePermissions.asFileAttribute(OwnerOnly.DIRECTORY));
    }
    OwnerOnly.require(directory, OwnerOnly.DIRECTORY);
    if (exists()) {
      throw alreadyThere();
    }
    requireNoRemains();
    Path unfinished =
        Files.createTempFile(
            directory,
            FILE + ".creating-",
            "",
            PosixFilePermissions.asFileAttribute(OwnerOnly.FILE));
    try {
      try (Connection connection = connect(unfinished, SQLiteConfig.TransactionMode.IMMEDIATE)) {
        initialisation.run(connection);
        commit(connection);
      }
      Files.createLink(file(), unfinished);
    } catch (FileAlreadyExistsException e) {
      throw alreadyThere();
    } finally {
      Files.deleteIfExists(unfinished);
    }
    try (FileChannel channel = FileChannel.open(directory, StandardOpenOption.READ)) {
      channel.force(true);
    }
  }

  /** SQLite would replay the journal of a database that is gone into the new one. */
  private void requireNoRemains() {
    for (String of : List.of("-wal", "-journal")) {
      Path remains = directory.resolve(FILE + of);
      if (Files.exists(remains, LinkOption.NOFOLLOW_LINKS)) {
        throw new StoreException(
            remains
                + " is left of a database that is gone, and would be taken for a part of the new"
                + " one: stop every gateway, then move it away");
      }
    }
  }

  private StoreException alreadyThere() {
    return new StoreException("there is a store already: " + file());
  }

  @Override
  public void check() throws IOException {
    if (!exists()) {
      throw new StoreException("there is no store in " + directory + Store.LOST);
    }
    if (Files.isDirectory(file())) {
      throw new StoreException(file() + " is a directory; move it away" + Store.LOST);
    }
    OwnerOnly.require(directory, OwnerOnly.DIRECTORY);
    OwnerOnly.require(file(), OwnerOnly.FILE);
  }

  @Override
  public Connection reader() throws SQLException {
    return connect(file(), SQLiteConfig.TransactionMode.DEFERRED);
  }

  @Override
  public Connection writer() throws SQLException {
    return connect(file(), SQLiteConfig.TransactionMode.IMMEDIATE);
  }

  @Override
  public Connection longReader() throws SQLException {
    return reader();
  }

  @Override
  public Connection soleWriter() throws SQLException {
    return writer();
  }

  @Override
  public Connection keystoreWriter() throws SQLException {
    Connection connection = writer();
    connection.setAutoCommit(true);
    return connection;
  }

  /**
   * SQLite makes the files {@code -wal} and {@code -shm} for a reader too, unless it is told that
   * nobody writes. Where they are absent nobody has the database open, so that this is true.
   */
  @Override
  public Connection examiner() throws SQLException {
    SqliteLibrary.load();
    boolean inUse = Files.exists(directory.resolve(FILE + "-wal"));
    SQLiteConfig config = new SQLiteConfig();
    config.resetOpenMode(SQLiteOpenMode.READWRITE);
    config.resetOpenMode(SQLiteOpenMode.CREATE);
    config.setOpenMode(SQLiteOpenMode.READONLY);
    config.setOpenMode(SQLiteOpenMode.OPEN_URI);
    config.setTransactionMode(SQLiteConfig.TransactionMode.DEFERRED);
    config.setBusyTimeout(BUSY_TIMEOUT_MILLIS);
    Connection connection =
        config.createConnection(
            "jdbc:sqlite:"
                + file().toAbsolutePath().toUri().toString().replaceFirst("^file:///*", "file:/")
                + (inUse ? "?mode=ro" : "?mode=ro&immutable=1"));
    connection.setAutoCommit(false);
    return connection;
  }

  @Override
  public boolean locksAsAWhole() {
    return true;
  }

  @Override
  public void begin(Connection keystoreWriter) throws SQLException {
    keystoreWriter.setAutoCommit(false);
  }

  /**
   * Not {@code Connection.commit}, with which sqlite-jdbc begins the next one at once: an IMMEDIATE
   * one would keep every other writer out, or fail after the commit because another got in.
   */
  @Override
  public void commit(Connection writer) throws SQLException {
    writer.setAutoCommit(true);
  }

  /** sqlite-jdbc begins the next one here too; it is ended before anything was written in it. */
  @Override
  public void rollBack(Connection keystoreWriter) throws SQLException {
    keystoreWriter.rollback();
    keystoreWriter.setAutoCommit(true);
  }

  private static Connection connect(Path file, SQLiteConfig.TransactionMode mode)
      throws SQLException {
    SqliteLibrary.load();
    SQLiteConfig config = new SQLiteConfig();
    config.resetOpenMode(SQLiteOpenMode.CREATE);
    config.setJournalMode(SQLiteConfig.JournalMode.WAL);
    // NORMAL may lose acknowledged commits with the power: a removed grant would be back.
    config.setSynchronous(SQLiteConfig.SynchronousMode.FULL);
    config.setTransactionMode(mode);
    config.setBusyTimeout(BUSY_TIMEOUT_MILLIS);
    Connection connection = config.createConnection("jdbc:sqlite:" + file);
    connection.setAutoCommit(false);
    return connection;
  }

  @Override
  public String remedy() {
    return "the gateway's user needs %s, whole and with rights to write it and beside it%s"
        .formatted(file(), Store.LOST);
  }

  @Override
  public String toString() {
    return directory.toString();
  }
}
