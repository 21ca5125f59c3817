package dev.grep11.gateway.store;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.sqlite.SQLiteJDBCLoader;
import org.sqlite.util.LibraryLoaderUtil;

/**
 * Loads the native part of sqlite-jdbc from {@code org.sqlite.lib.path} where that is set, or else
 * from a directory of our own, which is removed at once; below {@code org.sqlite.tmpdir} where that
 * is set, for a machine whose usual one runs no code. Left to itself it loads from the directory
 * for temporary files, which everybody may write, and removes its copy in an orderly exit only,
 * which a gateway has no use for.
 */
final class SqliteLibrary {
  private static final String DIRECTORY_PROPERTY = "org.sqlite.tmpdir";

  /** Where sqlite-jdbc looks before it unpacks: its own copy it compares with the jar bytewise. */
  private static final String LIBRARY_PROPERTY = "org.sqlite.lib.path";

  private static boolean loaded;

  private SqliteLibrary() {}

  /**
   * @throws StoreException when it cannot be unpacked or loaded
   */
  static synchronized void load() {
    if (loaded) {
      return;
    }
    if (System.getProperty(LIBRARY_PROPERTY) != null) {
      // The image has it unpacked: nothing it may write to runs code.
      initialize();
      return;
    }
    try {
      var chosen = System.getProperty(DIRECTORY_PROPERTY, System.getProperty("java.io.tmpdir"));
      Path directory = Files.createTempDirectory(Path.of(chosen), "grep11-sqlite");
      try {
        System.setProperty(DIRECTORY_PROPERTY, directory.toString());
        unpack(directory);
        System.setProperty(LIBRARY_PROPERTY, directory.toString());
        initialize();
      } finally {
        System.setProperty(DIRECTORY_PROPERTY, chosen);
        System.clearProperty(LIBRARY_PROPERTY);
        remove(directory);
      }
    } catch (IOException e) {
      throw new StoreException("the SQLite library cannot be unpacked: " + e.getMessage(), e);
    }
  }

  private static void initialize() {
    try {
      SQLiteJDBCLoader.initialize();
      loaded = true;
    } catch (Exception e) {
      throw new StoreException("the SQLite library cannot be loaded: " + e.getMessage(), e);
    }
  }

  private static void unpack(Path directory) throws IOException {
    var name = LibraryLoaderUtil.getNativeLibName();
    var resource = LibraryLoaderUtil.getNativeLibResourcePath() + "/" + name;
    try (var library = SQLiteJDBCLoader.class.getResourceAsStream(resource)) {
      if (library == null) {
        throw new IOException("there is none for this platform, no " + resource);
      }
      Files.copy(library, directory.resolve(name));
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
