package dev.grep11.gateway.store;

import java.time.Instant;
import java.util.UUID;

/**
 * How much a generation of sealing keys was used: blobs and states sealed and opened, and working
 * copies lent.
 *
 * @param generation its id
 * @param count so far; what a crash lost is missing
 * @param lastUsed not before the last use, and a little after it
 */
public record SealingKeyUse(UUID instance, String generation, long count, Instant lastUsed)
    implements Stored {
  public SealingKeyUse {
    Text.checked("generation", generation);
    if (count < 0) {
      throw new IllegalArgumentException("used " + count + " times");
    }
  }

  /** Both together. */
  SealingKeyUse plus(SealingKeyUse later) {
    return new SealingKeyUse(
        instance,
        generation,
        count + later.count,
        lastUsed.isAfter(later.lastUsed) ? lastUsed : later.lastUsed);
  }
}
