package dev.grep11.gateway.audit;

import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;

/**
 * Where events go, and what happens when they cannot.
 *
 * @param file created with mode 0600; one per process, which locks it
 * @param maxWait how long a caller is held up by a full queue before it is refused ({@link
 *     WhenFull#BLOCK})
 */
public record AuditSettings(
    Optional<Path> file,
    boolean standardOutput,
    int queueCapacity,
    WhenFull whenFull,
    Duration maxWait) {
  /** What a call does when its event finds no room, or the sink has failed. */
  public enum WhenFull {
    /** Waits, then refuses: no call without a record. */
    BLOCK,
    /** Goes on; the loss is counted, and recorded as soon as that is possible. */
    DROP_AND_COUNT
  }

  public AuditSettings {
    if (file.isEmpty() && !standardOutput) {
      throw new IllegalArgumentException(
          "events need a place; name audit.file, or set audit.standardOutput: true, or both");
    }
    if (queueCapacity < 1 || maxWait.isNegative()) {
      throw new IllegalArgumentException("audit queue capacity and wait must be positive");
    }
  }

  /** The defaults: a file, room for some seconds of full load, no call without a record. */
  public static AuditSettings toFile(Path file) {
    return new AuditSettings(
        Optional.of(file), false, 65_536, WhenFull.BLOCK, Duration.ofMillis(200));
  }
}
