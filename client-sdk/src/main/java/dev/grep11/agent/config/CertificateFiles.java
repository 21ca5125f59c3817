package dev.grep11.agent.config;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Whether any of some files is another than when it was last looked at. Looks at most once a
 * second, so that it may be asked with every call.
 */
final class CertificateFiles {
  private static final long PAUSE = TimeUnit.SECONDS.toNanos(1);

  private record State(Object key, long modified, long size) {}

  private final List<Path> files;
  private volatile List<State> taken;
  private volatile long lookedAt;

  /** Seen and not taken yet: one look may be another caller's than the one who acts on it. */
  private volatile boolean pending;

  /** One looks at a time: where the files' disk is away, it alone waits. */
  private final AtomicBoolean looking = new AtomicBoolean();

  CertificateFiles(List<Path> files) {
    this.files = List.copyOf(files);
    this.taken = look();
    this.lookedAt = System.nanoTime();
  }

  /** Says so to everybody until somebody takes it. */
  boolean changed() {
    if (!pending && isDue() && looking.compareAndSet(false, true)) {
      try {
        lookedAt = System.nanoTime();
        pending = !look().equals(taken);
      } finally {
        looking.set(false);
      }
    }
    return pending;
  }

  /** Whether {@link #changed} would look, or say so without looking. Touches no file. */
  boolean isDue() {
    return pending || (!files.isEmpty() && System.nanoTime() - lookedAt >= PAUSE && !looking.get());
  }

  /** Takes what is there now as seen; false when it was already. */
  boolean takeChange() {
    pending = false;
    var now = look();
    boolean changed = !now.equals(taken);
    taken = now;
    return changed;
  }

  private List<State> look() {
    var states = new ArrayList<State>();
    for (Path file : files) {
      try {
        var attributes = Files.readAttributes(file, BasicFileAttributes.class);
        // A renamed file has another key even when time and size are the same.
        states.add(
            new State(
                String.valueOf(attributes.fileKey()),
                attributes.lastModifiedTime().toMillis(),
                attributes.size()));
      } catch (IOException e) {
        states.add(new State("missing", 0, 0));
      }
    }
    return states;
  }
}
