package dev.grep11.gateway.store;

import java.time.Instant;
import java.util.Arrays;
import java.util.Optional;
import java.util.UUID;

/**
 * Leave for one subject to register a first signature key, once.
 *
 * @param proof SHA-256 of the invitation code, or of the countersigned key (SubjectPublicKeyInfo)
 * @param by who countersigned; empty for an invitation
 */
@SuppressWarnings("ArrayRecordComponent") // Copied in and out; equality is by content.
public record EnrolmentRecord(
    UUID instance, Subject subject, Kind kind, byte[] proof, Instant expires, Optional<Signer> by)
    implements Stored {
  /**
   * An administrator who vouches for a key, as long as that administrator's own key stays.
   *
   * @param keyFingerprint SHA-256 of the key (SubjectPublicKeyInfo) that signed, hexadecimal
   */
  public record Signer(Subject subject, String keyFingerprint) {}

  /** Who gave the leave. */
  public enum Kind {
    /** An operator on the host, by a code that is shown once. */
    INVITATION,
    /** Another administrator, who signed the fingerprint of the key. */
    COUNTERSIGNATURE
  }

  public EnrolmentRecord {
    if (proof.length != 32) {
      throw new IllegalArgumentException("SHA-256 has 32 bytes, not " + proof.length);
    }
    proof = proof.clone();
  }

  @Override
  public byte[] proof() {
    return proof.clone();
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof EnrolmentRecord that
        && instance.equals(that.instance)
        && subject.equals(that.subject)
        && kind == that.kind
        && Arrays.equals(proof, that.proof)
        && expires.equals(that.expires)
        && by.equals(that.by);
  }

  @Override
  public int hashCode() {
    return subject.hashCode();
  }

  @Override
  public String toString() {
    return "EnrolmentRecord[" + instance + ", " + subject + ", " + kind + "]";
  }
}
