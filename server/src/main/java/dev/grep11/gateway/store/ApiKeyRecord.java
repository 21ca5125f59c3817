package dev.grep11.gateway.store;

import java.time.Instant;
import java.util.Arrays;
import java.util.UUID;

/**
 * An API key, without the key.
 *
 * @param hash SHA-256 of the key as the client sends it; enough because the key itself is 256
 *     random bits
 */
@SuppressWarnings("ArrayRecordComponent") // Copied in and out; equality is by content.
public record ApiKeyRecord(UUID id, String name, byte[] hash, Subject subject, Instant created)
    implements Stored {

  public ApiKeyRecord {
    Text.checked("API key name", name);
    if (hash.length != 32) {
      throw new IllegalArgumentException("an API key's hash has 32 bytes, not " + hash.length);
    }
    hash = hash.clone();
  }

  @Override
  public byte[] hash() {
    return hash.clone();
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof ApiKeyRecord that
        && id.equals(that.id)
        && name.equals(that.name)
        && Arrays.equals(hash, that.hash)
        && subject.equals(that.subject)
        && created.equals(that.created);
  }

  @Override
  public int hashCode() {
    return id.hashCode();
  }

  @Override
  public String toString() {
    return "ApiKeyRecord[" + id + ", " + name + "]";
  }
}
