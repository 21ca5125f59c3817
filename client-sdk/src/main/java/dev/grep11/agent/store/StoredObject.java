package dev.grep11.agent.store;

import java.util.List;
import java.util.UUID;

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

  @Override
  public String toString() {
    return "StoredObject[" + id + ", version " + version + "]";
  }
}
