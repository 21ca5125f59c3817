package dev.grep11.gateway.host;

import dev.grep11.gateway.audit.LockFile;
import dev.grep11.gateway.config.IoCause;
import dev.grep11.gateway.token.StartException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
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

  /** A new one, mode 0700, after those that others left there are removed. */
  static Scratch in(Path place) throws IOException {
    removeLeft(place);
    var directory = Files.createTempDirectory(place, PREFIX);
    var lock = LockFile.hold(directory.resolve(LOCK));
    if (lock.isEmpty()) {
      throw new IOException(directory + " is somebody else's");
    }
    var scratch = new Scratch(directory, lock.get());
    Runtime.getRuntime().addShutdownHook(scratch.atEnd);
    return scratch;
  }

  private static void removeLeft(Path place) throws IOException {
    try (Stream<Path> all = Files.list(place)) {
      for (var each : all.filter(Scratch::isScratch).toList()) {
        removeIfLeft(each);
      }
    }
  }

  private static boolean isScratch(Path directory) {
    return directory.getFileName().toString().startsWith(PREFIX)
        && Files.isRegularFile(directory.resolve(LOCK));
  }

  private static void removeIfLeft(Path directory) {
    try {
      var left = LockFile.hold(directory.resolve(LOCK));
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
    if (Files.notExists(directory)) {
      return;
    }
    try (Stream<Path> all = Files.walk(directory)) {
      for (var path : all.sorted(Comparator.reverseOrder()).toList()) {
        Files.deleteIfExists(path);
      }
    }
  }
}
