package dev.grep11.gateway.store;

import java.util.List;
import java.util.UUID;

/**
 * A key of a keystore.
 *
 * @param version 0, and one more with each update
 * @param transaction the last one that wrote it
 * @param generations of the sealing keys of its blobs, in their order; empty text for a blob under
 *     none
 * @param content what the keystore keeps of it
 */
@SuppressWarnings("ArrayRecordComponent") // Never compared as a whole.
public record KeyRecord(
    UUID id, long version, UUID transaction, List<String> generations, byte[] content) {
  public KeyRecord {
    generations = List.copyOf(generations);
  }

  @Override
  public String toString() {
    return "KeyRecord[" + id + ", version " + version + "]";
  }
}
