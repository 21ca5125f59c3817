package dev.grep11.client.certmgr;

import java.util.Arrays;
import java.util.Objects;

/**
 * What the certificate manager knows of the caller, and what the caller's next command must say.
 *
 * @param publicKey SubjectPublicKeyInfo, DER; empty when the caller has registered none
 * @param issuer of the caller's token
 * @param subject of the caller's token
 * @param lastCounter of the caller's last command; 0 before the first
 * @param generation of the registry
 * @param crn of the instance
 */
@SuppressWarnings("ArrayRecordComponent") // Copied in and out; equality is by content.
public record AdministratorKey(
    byte[] publicKey,
    String issuer,
    String subject,
    long lastCounter,
    long generation,
    String crn) {
  public AdministratorKey {
    publicKey = publicKey.clone();
  }

  @Override
  public byte[] publicKey() {
    return publicKey.clone();
  }

  /** Whether the caller has a key, and so may sign commands. */
  public boolean isRegistered() {
    return publicKey.length > 0;
  }

  /** Whether this pair is the registered one. */
  public boolean is(AdministratorKeyPair pair) {
    return Arrays.equals(publicKey, pair.publicKey());
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof AdministratorKey that
        && Arrays.equals(publicKey, that.publicKey)
        && issuer.equals(that.issuer)
        && subject.equals(that.subject)
        && lastCounter == that.lastCounter
        && generation == that.generation
        && crn.equals(that.crn);
  }

  @Override
  public int hashCode() {
    return Objects.hash(issuer, subject, lastCounter, generation);
  }
}
