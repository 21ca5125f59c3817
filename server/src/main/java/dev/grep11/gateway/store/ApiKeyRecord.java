package dev.grep11.gateway.store;

import java.time.Instant;
import java.util.Arrays;
import java.util.Optional;
import java.util.UUID;

/**
 * An API key, without the key.
 *
 * @param hash SHA-256 of the key as the client sends it; enough because the key itself is 256
 *     random bits
 * @param disabled since when it opens nothing, as after a restore until an operator confirms it;
 *     empty for one that counts
 */
@SuppressWarnings("ArrayRecordComponent") // Copied in and out; equality is by content.
public record ApiKeyRecord(
    UUID id, String name, byte[] hash, Subject subject, Instant created, Optional<Instant> disabled)
    implements Stored {

  /** One that counts. */
  public ApiKeyRecord(UUID id, String name, byte[] hash, Subject subject, Instant created) {
    this(id, name, hash, subject, created, Optional.empty());
  }

  public ApiKeyRecord {
    Text.checked("API key name", name);
    if (hash.length != 32) {
      throw new IllegalArgumentException("an API key's hash has 32 bytes, not " + hash.length);
    }
    hash = hash.clone();
  }

  /** The same, which counts or not. */
  public ApiKeyRecord disabled(Optional<Instant> since) {
    return new ApiKeyRecord(id, name, hash, subject, created, since);
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
        && created.equals(that.created)
        && disabled.equals(that.disabled);
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
