package dev.grep11.agent.store;

import dev.grep11.agent.store.StoreException.Reason;
import java.util.List;
import java.util.UUID;
import java.util.function.UnaryOperator;

/**
 * A keystore that the agent keeps itself, out of the gateway's sight: nobody but the agent brings
 * its keys under another master key.
 */
public abstract sealed class LocalStore implements Store permits FileStore, PostgresStore {

  /**
   * The only way in which a record changes: what it is to become is said of what it is now, and
   * nobody else changes it meanwhile.
   *
   * @return what it has become
   * @throws StoreException {@link Reason#MISSING} when it was deleted
   */
  abstract StoredObject changed(UUID object, UnaryOperator<StoredObject> change);

  @Override
  public final StoredObject update(
      UUID object, long version, Attributes attributes, List<byte[]> blobs) {
    return changed(
        object,
        present -> {
          if (present.version() != version) {
            throw new StoreException(
                Reason.CONFLICT,
                "object %s is of version %d by now, not %d"
                    .formatted(object, present.version(), version));
          }
          return present.with(attributes, blobs);
        });
  }

  /**
   * Puts other blobs of the same key into a record, whose version stays: to applications nothing
   * has changed.
   *
   * @param before the record as its blobs were read
   * @return false when it was changed since, and stays as it is
   * @throws StoreException {@link Reason#MISSING} when it was deleted
   */
  public final boolean rewrapped(StoredObject before, List<byte[]> blobs) {
    return changed(before.id(), present -> present.equals(before) ? present.with(blobs) : present)
        .equals(before.with(blobs));
  }
}
