package dev.grep11.gateway.audit;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HashSet;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * What one process has at a time, until it lets go or ends, however it ends.
 *
 * <p>It is a file of its own that its holder never reads: a lock of POSIX ends when its process
 * closes <em>any</em> descriptor of the file (POSIX.1-2017, fcntl), so that who locks a file and
 * then reads it by its name has it no more.
 */
public final class LockFile implements AutoCloseable {
  private static final int LONGEST_NAME = 256;

  /** By this process, which must not even look whether it has the lock. */
  private static final Map<Path, String> HELD = new ConcurrentHashMap<>();

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
   * @param who has it then, for those who look
   * @return empty when a process has it, this one included
   * @throws IOException when the file cannot be made or locked
   */
  public static Optional<LockFile> hold(Path file, String who) throws IOException {
    return locked(file, who, true, FileChannel::tryLock);
  }

  /**
   * The same of a file that is there.
   *
   * @return empty also when there is none
   */
  public static Optional<LockFile> holdExisting(Path file, String who) throws IOException {
    try {
      return locked(file, who, false, FileChannel::tryLock);
    } catch (NoSuchFileException e) {
      return Optional.empty();
    }
  }

  /**
   * As {@link #hold}, once another process has let go.
   *
   * @return empty when this process has it
   */
  static Optional<LockFile> await(Path file, String who) throws IOException {
    return locked(file, who, true, FileChannel::lock);
  }

  /** Who has the lock at present; empty when nobody has. It is taken for a moment to see that. */
  static Optional<String> holder(Path file) throws IOException {
    if (!Files.exists(file, LinkOption.NOFOLLOW_LINKS)) {
      return Optional.empty();
    }
    var real = real(file);
    var mine = HELD.get(real);
    if (mine == null) {
      var look = locked(file, "", false, FileChannel::tryLock);
      if (look.isPresent()) {
        look.get().close();
        return Optional.empty();
      }
      mine = HELD.get(real);
    }
    return Optional.of(mine == null ? Files.readString(file, UTF_8) : mine);
  }

  private static Path real(Path file) throws IOException {
    var directory = file.toAbsolutePath().getParent();
    return directory == null ? file : directory.toRealPath().resolve(file.getFileName());
  }

  private static Optional<LockFile> locked(Path file, String who, boolean make, Locking locking)
      throws IOException {
    var real = real(file);
    if (HELD.putIfAbsent(real, who) != null) {
      return Optional.empty();
    }
    FileChannel channel = null;
    try {
      Set<OpenOption> options =
          new HashSet<>(Set.of(StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS));
      if (make) {
        options.add(StandardOpenOption.CREATE);
      }
      channel =
          FileChannel.open(
              real,
              options,
              PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
      if (locking.lock(channel) != null) {
        if (!who.isEmpty()) {
          name(channel, who);
        }
        return Optional.of(new LockFile(real, channel));
      }
    } catch (IOException | RuntimeException e) {
      letGo(real, channel);
      throw e;
    }
    letGo(real, channel);
    return Optional.empty();
  }

  /** A full disk must not keep a gateway from its lock. */
  private static void name(FileChannel channel, String who) {
    try {
      channel.truncate(0);
      var shown = who.substring(0, Math.min(who.length(), LONGEST_NAME));
      var _ = channel.write(ByteBuffer.wrap(shown.getBytes(UTF_8)), 0);
    } catch (IOException e) {
      // Nobody is told whose it is.
    }
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
