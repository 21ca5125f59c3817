package dev.grep11.gateway.store;

import java.security.SecureRandom;
import java.time.Instant;
import java.util.Optional;
import java.util.UUID;

/**
 * A keystore, and what vouches for its keys.
 *
 * @param origin 16 random bytes: tells it from an earlier one with the same id
 * @param keys how many it has
 * @param sum exclusive or of a keyed hash of each of their rows
 * @param revision counts its changes
 */
@SuppressWarnings("ArrayRecordComponent") // Never compared as a whole.
public record KeystoreRecord(
    UUID instance,
    UUID id,
    String name,
    Instant created,
    byte[] origin,
    Optional<PasswordEnvelope> password,
    long keys,
    byte[] sum,
    long revision) {
  static final int ORIGIN_LENGTH = 16;
  private static final SecureRandom RANDOM = new SecureRandom();

  public KeystoreRecord {
    name = Text.checked("the name of a keystore", name);
  }

  /** An empty one. */
  public static KeystoreRecord empty(
      UUID instance, UUID id, String name, Instant created, Optional<PasswordEnvelope> password) {
    byte[] origin = new byte[ORIGIN_LENGTH];
    RANDOM.nextBytes(origin);
    return new KeystoreRecord(
        instance, id, name, created, origin, password, 0, new byte[KeystoreSeal.SUM_LENGTH], 0);
  }

  /** The same with another password. */
  public KeystoreRecord with(PasswordEnvelope other) {
    return new KeystoreRecord(
        instance, id, name, created, origin, Optional.of(other), keys, sum, revision);
  }

  /** With this many more rows, and their keyed hashes added or taken away. */
  KeystoreRecord changed(int more, byte[]... elements) {
    byte[] after = sum.clone();
    for (byte[] element : elements) {
      KeystoreSeal.add(after, element);
    }
    return new KeystoreRecord(
        instance, id, name, created, origin, password, keys + more, after, revision);
  }

  KeystoreRecord next() {
    return new KeystoreRecord(
        instance, id, name, created, origin, password, keys, sum, revision + 1);
  }

  @Override
  public String toString() {
    return "KeystoreRecord[" + id + " of " + instance + ", " + keys + " keys]";
  }
}
