package dev.grep11.gateway.audit;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * What one process has at a time, until it lets go or ends, however it ends.
 *
 * <p>It is a file of its own that nothing is read from: a lock of POSIX ends when its process
 * closes <em>any</em> descriptor of the file (POSIX.1-2017, fcntl), so that who locks a file and
 * then reads it by its name has it no more.
 */
public final class LockFile implements AutoCloseable {
  /** By this process, which must not even look whether it has the lock. */
  private static final Set<Path> HELD = ConcurrentHashMap.newKeySet();

  private final Path file;
  private final FileChannel channel;

  private LockFile(Path file, FileChannel channel) {
    this.file = file;
    this.channel = channel;
  }

  private interface Locking {
    @Nullable FileLock lock(FileChannel channel) throws IOException;
  }

  /**
   * Takes the lock; the file is made where there is none, mode 0600.
   *
   * @return empty when a process has it, this one included
   * @throws IOException when the file cannot be made or locked
   */
  public static Optional<LockFile> hold(Path file) throws IOException {
    return locked(file, FileChannel::tryLock);
  }

  /**
   * The same, once another process has let go.
   *
   * @return empty when this process has it
   */
  static Optional<LockFile> await(Path file) throws IOException {
    return locked(file, FileChannel::lock);
  }

  /** Whether a process has the lock, this one included. */
  public static boolean isHeld(Path file) throws IOException {
    if (!Files.exists(file, LinkOption.NOFOLLOW_LINKS)) {
      return false;
    }
    var mine = hold(file);
    mine.ifPresent(LockFile::close);
    return mine.isEmpty();
  }

  private static Optional<LockFile> locked(Path file, Locking locking) throws IOException {
    var directory = file.toAbsolutePath().getParent();
    var real = directory == null ? file : directory.toRealPath().resolve(file.getFileName());
    if (!HELD.add(real)) {
      return Optional.empty();
    }
    FileChannel channel = null;
    try {
      channel =
          FileChannel.open(
              real,
              Set.of(
                  StandardOpenOption.CREATE, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS),
              PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
      if (locking.lock(channel) != null) {
        return Optional.of(new LockFile(real, channel));
      }
    } catch (IOException | RuntimeException e) {
      letGo(real, channel);
      throw e;
    }
    letGo(real, channel);
    return Optional.empty();
  }

  private static void letGo(Path file, @Nullable FileChannel channel) {
    try {
      if (channel != null) {
        channel.close();
      }
    } catch (IOException e) {
      // The descriptor is gone all the same, and the lock with it.
    } finally {
      HELD.remove(file);
    }
  }

  @Override
  public void close() {
    letGo(file, channel);
  }
}
