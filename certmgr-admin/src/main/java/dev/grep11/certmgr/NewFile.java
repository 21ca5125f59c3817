package dev.grep11.certmgr;

import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/**
 * Files that people asked for; an existing one is replaced as a whole and only when they say so.
 */
final class NewFile {
  /** Fails where {@link #write} would. */
  static void requireRoom(Path file, boolean overwrite) {
    if (!overwrite && Files.exists(file)) {
      throw exists(file);
    }
    if (!Files.isDirectory(directory(file))) {
      throw new CommandFailure(file + ": there is no directory " + directory(file));
    }
  }

  static void write(Path file, String text, boolean overwrite) {
    try {
      if (overwrite) {
        var temporary = Files.createTempFile(directory(file), ".certmgr", ".pem");
        try {
          Files.writeString(temporary, text);
          Files.move(
              temporary, file, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
        } finally {
          Files.deleteIfExists(temporary);
        }
      } else {
        Files.writeString(file, text, StandardOpenOption.CREATE_NEW);
      }
    } catch (FileAlreadyExistsException e) {
      throw exists(file);
    } catch (FileSystemException e) {
      var reason = e.getReason() == null ? e.getClass().getSimpleName() : e.getReason();
      throw new CommandFailure(file + ": cannot be written: " + reason, e);
    } catch (IOException e) {
      throw new CommandFailure(file + ": cannot be written: " + e.getMessage(), e);
    }
  }

  private static CommandFailure exists(Path file) {
    return new CommandFailure(file + ": exists; give --overwrite to replace it");
  }

  private static Path directory(Path file) {
    var parent = file.toAbsolutePath().getParent();
    return parent == null ? file.toAbsolutePath() : parent;
  }

  private NewFile() {}
}
