package dev.grep11.gateway.store;

import java.time.Instant;

/**
 * When something that keeps the store safe was last done, and well. It grants nothing.
 *
 * @param file the backup that was made or tried: where it was put, on the host that made it; or its
 *     name alone, as programs recorded it before, and where the whole is too long
 * @param generation of the store in that backup
 */
public record UpkeepRecord(Kind kind, Instant time, String file, long generation)
    implements Stored {
  /** What was done. */
  public enum Kind {
    /** A backup was written. */
    BACKUP,
    /** A backup was restored on trial, and what it holds opened. */
    REHEARSAL
  }

  public UpkeepRecord {
    Text.checked("file", file);
  }
}
