package dev.grep11.agent.store;

import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * A token object as a store keeps it.
 *
 * @param version 0 when it is made, one more with each update
 * @param blobs the sealed key, none of an object that is no key; two while the operator rotates the
 *     master key
 */
public record StoredObject(UUID id, long version, Attributes attributes, List<byte[]> blobs) {

  public StoredObject {
    blobs = List.copyOf(blobs);
  }

  /**
   * One version later.
   *
   * <p>Who changed attributes may have read the blobs before a rotation of the master key put
   * another blob of the same key before them: that one is to stay.
   */
  StoredObject with(Attributes changed, List<byte[]> others) {
    boolean sameKey = !others.isEmpty() && holds(others.get(0));
    return new StoredObject(id, version + 1, changed, sameKey ? blobs : others);
  }

  /** The same version of the object by other blobs of its key. */
  StoredObject with(List<byte[]> others) {
    return new StoredObject(id, version, attributes, others);
  }

  private boolean holds(byte[] blob) {
    return blobs.stream().anyMatch(own -> Arrays.equals(own, blob));
  }

  @Override
  public boolean equals(@Nullable Object other) {
    return other instanceof StoredObject object
        && id.equals(object.id)
        && version == object.version
        && attributes.equals(object.attributes)
        && Arrays.deepEquals(blobs.toArray(), object.blobs.toArray());
  }

  @Override
  public int hashCode() {
    return Objects.hash(id, version);
  }

  @Override
  public String toString() {
    return "StoredObject[" + id + ", version " + version + "]";
  }
}
