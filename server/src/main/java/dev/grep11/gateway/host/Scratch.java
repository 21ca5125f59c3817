package dev.grep11.gateway.host;

import dev.grep11.gateway.audit.LockFile;
import dev.grep11.gateway.config.IoCause;
import dev.grep11.gateway.token.StartException;
import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.SecureDirectoryStream;
import java.nio.file.attribute.BasicFileAttributeView;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.nio.file.attribute.UserPrincipal;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A directory for one trial, of the owner's alone. It goes when it is closed, and when the process
 * is told to stop; what one that was killed left, the next takes away: a copy of a token must not
 * stay, for keys that are destroyed later would be in it.
 */
final class Scratch implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(Scratch.class);
  private static final String PREFIX = "rehearsal-";

  /** Held for as long as the directory is in use. */
  private static final String LOCK = "lock";

  private static final String WHO = "a rehearsal";
  private static final Set<PosixFilePermission> ITS_OWNERS =
      PosixFilePermissions.fromString("rwx------");
  private static final int ATTEMPTS = 20;
  private static final int PAUSE_MILLIS = 100;

  private final Path directory;
  private final LockFile lock;
  private final Thread atEnd = new Thread(this::removeAtEnd, "scratch");
  private volatile @Nullable Process process;
  private volatile boolean ending;

  private Scratch(Path directory, LockFile lock) {
    this.directory = directory;
    this.lock = lock;
  }

  /** A new one, mode 0700; those that others left there are removed. */
  static Scratch in(Path place) throws IOException {
    for (int attempt = 1; attempt <= ATTEMPTS; attempt++) {
      var directory = Files.createTempDirectory(place, PREFIX);
      var lock = LockFile.hold(directory.resolve(LOCK), WHO);
      // Who looks for what was left has it for a moment.
      if (lock.isPresent()) {
        var scratch = new Scratch(directory, lock.get());
        Runtime.getRuntime().addShutdownHook(scratch.atEnd);
        removeLeft(place, Files.getOwner(directory, LinkOption.NOFOLLOW_LINKS));
        return scratch;
      }
      remove(directory);
    }
    throw new IOException("no directory in " + place + " can be had alone");
  }

  private static void removeLeft(Path place, UserPrincipal self) throws IOException {
    try (Stream<Path> all = Files.list(place)) {
      for (var each : all.filter(other -> isScratch(other, self)).toList()) {
        removeIfLeft(each);
      }
    }
  }

  /** Anybody may make a directory where temporary files are: only our own is touched. */
  private static boolean isScratch(Path directory, UserPrincipal self) {
    try {
      return directory.getFileName().toString().startsWith(PREFIX)
          && Files.isDirectory(directory, LinkOption.NOFOLLOW_LINKS)
          && Files.getOwner(directory, LinkOption.NOFOLLOW_LINKS).equals(self)
          && Files.getPosixFilePermissions(directory, LinkOption.NOFOLLOW_LINKS).equals(ITS_OWNERS)
          && Files.isRegularFile(directory.resolve(LOCK), LinkOption.NOFOLLOW_LINKS);
    } catch (IOException e) {
      // It is gone.
      return false;
    }
  }

  private static void removeIfLeft(Path directory) {
    try {
      var left = LockFile.holdExisting(directory.resolve(LOCK), WHO);
      if (left.isPresent()) {
        try (var _ = left.get()) {
          remove(directory);
        }
        LOG.warn("removed {}, which a rehearsal that was killed had left", directory);
      }
    } catch (IOException e) {
      LOG.warn("{} is left of a rehearsal; remove it: {}", directory, IoCause.of(e));
    }
  }

  Path directory() {
    return directory;
  }

  /** Ends with this directory, if not before. */
  void runs(Process of) {
    process = of;
    if (ending) {
      of.destroyForcibly();
    }
  }

  /**
   * Removes it.
   *
   * @throws StartException when something of it stays
   */
  @Override
  public void close() {
    try {
      Runtime.getRuntime().removeShutdownHook(atEnd);
    } catch (IllegalStateException e) {
      // The process stops, and the hook removes it.
      return;
    }
    try {
      endProcess();
      remove(directory);
    } catch (IOException e) {
      throw new StartException(
          "the scratch store cannot be removed, delete %s: %s".formatted(directory, IoCause.of(e)),
          e);
    } finally {
      lock.close();
    }
  }

  /** While the work in it may go on. */
  private void removeAtEnd() {
    ending = true;
    endProcess();
    for (int attempt = 1; attempt <= ATTEMPTS; attempt++) {
      try {
        remove(directory);
        return;
      } catch (IOException e) {
        pause();
      }
    }
    LOG.error("{} is left of a rehearsal; remove it", directory);
  }

  private void endProcess() {
    var running = process;
    if (running != null) {
      running.destroyForcibly();
      try {
        var _ = running.waitFor(ATTEMPTS * PAUSE_MILLIS, TimeUnit.MILLISECONDS);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
    }
  }

  private static void pause() {
    try {
      Thread.sleep(PAUSE_MILLIS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /** A directory with all that is in it; one that is not there is removed already. */
  static void remove(Path directory) throws IOException {
    var place = directory.toAbsolutePath().getParent();
    if (place == null) {
      throw new IOException(directory + " is no scratch");
    }
    try (var around = Files.newDirectoryStream(place)) {
      // From directory to directory by descriptors: no link that somebody puts there is followed.
      if (!(around instanceof SecureDirectoryStream<Path> from)) {
        throw new IOException(directory + " is on a file system that has no openat");
      }
      removeIn(from, directory.getFileName());
    }
  }

  private static void removeIn(SecureDirectoryStream<Path> directory, Path name)
      throws IOException {
    try {
      var is =
          directory.getFileAttributeView(
              name, BasicFileAttributeView.class, LinkOption.NOFOLLOW_LINKS);
      if (is.readAttributes().isDirectory()) {
        try (var inner = directory.newDirectoryStream(name, LinkOption.NOFOLLOW_LINKS)) {
          for (var each : inner) {
            removeIn(inner, each.getFileName());
          }
        }
        directory.deleteDirectory(name);
      } else {
        directory.deleteFile(name);
      }
    } catch (NoSuchFileException e) {
      // It is gone already.
    } catch (DirectoryIteratorException e) {
      throw e.getCause();
    }
  }
}
