package dev.grep11.gateway.store;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.Set;
import org.sqlite.SQLiteConfig;
import org.sqlite.SQLiteOpenMode;

/** The embedded database: one file, in a directory that nobody else may enter. */
final class Sqlite {
  private static final String FILE = "store.db";
  private static final Set<PosixFilePermission> OWNER_DIRECTORY =
      PosixFilePermissions.fromString("rwx------");
  private static final Set<PosixFilePermission> OWNER_FILE =
      PosixFilePermissions.fromString("rw-------");
  private static final int BUSY_TIMEOUT_MILLIS = 5_000;

  private Sqlite() {}

  static Path file(Path directory) {
    return directory.resolve(FILE);
  }

  interface Initialisation {
    void run(Connection connection) throws SQLException;
  }

  /**
   * Makes the database under another name and links it to its own once it is complete, so that a
   * process killed in between leaves no half of a store, and of two creators one is refused.
   */
  static void create(Path directory, Initialisation initialisation)
      throws IOException, SQLException {
    if (Files.notExists(directory)) {
      Files.createDirectories(directory, PosixFilePermissions.asFileAttribute(OWNER_DIRECTORY));
    }
    checkPrivate(directory, OWNER_DIRECTORY);
    if (Files.exists(file(directory), LinkOption.NOFOLLOW_LINKS)) {
      throw new FileAlreadyExistsException(file(directory).toString());
    }
    Path unfinished =
        Files.createTempFile(
            directory, FILE + ".creating-", "", PosixFilePermissions.asFileAttribute(OWNER_FILE));
    try {
      try (Connection connection = connect(unfinished, SQLiteConfig.TransactionMode.IMMEDIATE)) {
        initialisation.run(connection);
        commit(connection);
      }
      Files.createLink(file(directory), unfinished);
    } finally {
      Files.deleteIfExists(unfinished);
    }
    try (FileChannel channel = FileChannel.open(directory, StandardOpenOption.READ)) {
      channel.force(true);
    }
  }

  static void check(Path directory) throws IOException {
    checkPrivate(directory, OWNER_DIRECTORY);
    checkPrivate(file(directory), OWNER_FILE);
  }

  /** A connection whose transactions see one state of the database and take no lock. */
  static Connection reader(Path directory) throws SQLException {
    return connect(file(directory), SQLiteConfig.TransactionMode.DEFERRED);
  }

  /**
   * A connection that is inside of the only writing transaction there is. Closing it without {@link
   * #commit} undoes everything.
   */
  static Connection writer(Path directory) throws SQLException {
    return connect(file(directory), SQLiteConfig.TransactionMode.IMMEDIATE);
  }

  /**
   * Ends the transaction. Not {@code Connection.commit}, with which sqlite-jdbc begins the next one
   * at once: an IMMEDIATE one would keep every other writer out, or fail after the commit because
   * another got in.
   */
  static void commit(Connection writer) throws SQLException {
    writer.setAutoCommit(true);
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

  private static void checkPrivate(Path path, Set<PosixFilePermission> most) throws IOException {
    Set<PosixFilePermission> permissions = Files.getPosixFilePermissions(path);
    if (!most.containsAll(permissions)) {
      throw new StoreException(
          path
              + " has mode "
              + PosixFilePermissions.toString(permissions)
              + ", it must be "
              + PosixFilePermissions.toString(most)
              + " and belong to the user of the gateway");
    }
  }
}
