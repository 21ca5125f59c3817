package dev.grep11.gateway.store;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.sqlite.SQLiteJDBCLoader;

/**
 * Loads the native part of sqlite-jdbc from a directory of our own, which is removed at once; below
 * {@code org.sqlite.tmpdir} where that is set, for a machine whose usual one runs no code. Left to
 * itself it loads from the directory for temporary files, which everybody may write, and removes
 * its copy in an orderly exit only, which a gateway has no use for.
 */
final class SqliteLibrary {
  private static final String DIRECTORY_PROPERTY = "org.sqlite.tmpdir";
  private static boolean loaded;

  private SqliteLibrary() {}

  /**
   * @throws StoreException when it cannot be unpacked or loaded
   */
  static synchronized void load() {
    if (loaded) {
      return;
    }
    try {
      var chosen = System.getProperty(DIRECTORY_PROPERTY, System.getProperty("java.io.tmpdir"));
      Path directory = Files.createTempDirectory(Path.of(chosen), "grep11-sqlite");
      try {
        System.setProperty(DIRECTORY_PROPERTY, directory.toString());
        SQLiteJDBCLoader.initialize();
        loaded = true;
      } finally {
        System.setProperty(DIRECTORY_PROPERTY, chosen);
        remove(directory);
      }
    } catch (Exception e) {
      throw new StoreException("the SQLite library cannot be loaded: " + e.getMessage(), e);
    }
  }

  private static void remove(Path directory) throws IOException {
    try (var files = Files.list(directory)) {
      for (Path file : files.toList()) {
        Files.delete(file);
      }
    }
    Files.delete(directory);
  }
}
