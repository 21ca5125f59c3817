package dev.grep11.gateway.store;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Instant;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.UUID;

/**
 * A certificate administrator of an instance who has registered a signature key.
 *
 * @param publicKey SubjectPublicKeyInfo, DER
 * @param counter of the last command signed by this administrator; a command needs a higher one
 */
@SuppressWarnings("ArrayRecordComponent") // Copied in and out; equality is by content.
public record AdministratorRecord(
    UUID instance, Subject subject, byte[] publicKey, long counter, Instant since)
    implements Stored {
  public AdministratorRecord {
    if (counter < 0) {
      throw new IllegalArgumentException("command counter " + counter);
    }
    publicKey = publicKey.clone();
  }

  /** SHA-256 of the key, hexadecimal. */
  public String fingerprint() {
    try {
      return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(publicKey));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("SHA-256 is part of every JDK", e);
    }
  }

  @Override
  public byte[] publicKey() {
    return publicKey.clone();
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof AdministratorRecord that
        && instance.equals(that.instance)
        && subject.equals(that.subject)
        && Arrays.equals(publicKey, that.publicKey)
        && counter == that.counter
        && since.equals(that.since);
  }

  @Override
  public int hashCode() {
    return subject.hashCode();
  }

  @Override
  public String toString() {
    return "AdministratorRecord[" + instance + ", " + subject + "]";
  }
}
