package dev.grep11.gateway.store;

import java.time.Instant;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Objects;

/**
 * One generation of an instance's sealing keys (security rules 2.1): where they are in the token,
 * never what they are.
 *
 * @param masterKeyId 16 bytes, names the generation in every blob
 * @param kekN CKA_ID, 16 random bytes, of the key that wraps non-extractable keys
 * @param kekX CKA_ID of the key that wraps extractable keys
 * @param macKey CKA_ID of the key that authenticates blobs
 * @param valueKey CKA_ID of the key that encrypts values of keys which the token cannot wrap
 * @param stateRoot CKA_ID of the key that state keys are derived from
 * @param since when it came into its state
 */
@SuppressWarnings("ArrayRecordComponent") // Copied in and out; equality is by content.
public record SealingKeyGeneration(
    byte[] masterKeyId,
    State state,
    byte[] kekN,
    byte[] kekX,
    byte[] macKey,
    byte[] valueKey,
    byte[] stateRoot,
    Instant created,
    Instant since) {
  static final int ID_LENGTH = 16;

  /** What a generation is used for (interfaces 5). */
  public enum State {
    /** Opens, and takes blobs that are re-wrapped; sealing starts when it is activated. */
    NEXT,
    /** Seals and opens. */
    ACTIVE,
    /** Was active: opens, and seals no more. */
    PREVIOUS,
    /** Does nothing, and can come back. */
    RETIRED,
    /** Never comes back: its keys are deleted, or about to be. */
    DESTROYED;

    /** Whether gateways open what was sealed under it. */
    public boolean opens() {
      return switch (this) {
        case NEXT, ACTIVE, PREVIOUS -> true;
        case RETIRED, DESTROYED -> false;
      };
    }
  }

  /** A generation just made. */
  public SealingKeyGeneration(
      byte[] masterKeyId,
      State state,
      byte[] kekN,
      byte[] kekX,
      byte[] macKey,
      byte[] valueKey,
      byte[] stateRoot,
      Instant created) {
    this(masterKeyId, state, kekN, kekX, macKey, valueKey, stateRoot, created, created);
  }

  public SealingKeyGeneration {
    masterKeyId = checkedId("masterKeyId", masterKeyId);
    kekN = checkedId("kekN", kekN);
    kekX = checkedId("kekX", kekX);
    macKey = checkedId("macKey", macKey);
    valueKey = checkedId("valueKey", valueKey);
    stateRoot = checkedId("stateRoot", stateRoot);
    long distinct =
        List.of(kekN, kekX, macKey, valueKey, stateRoot).stream()
            .map(HexFormat.of()::formatHex)
            .distinct()
            .count();
    if (distinct != 5) {
      throw new IllegalArgumentException(
          "no sealing key may serve two purposes (security rules 2.1)");
    }
  }

  /** The master-key id in hexadecimal: the name of the generation for people. */
  public String id() {
    return HexFormat.of().formatHex(masterKeyId);
  }

  /** The same in another state. */
  public SealingKeyGeneration in(State next, Instant now) {
    return new SealingKeyGeneration(
        masterKeyId, next, kekN, kekX, macKey, valueKey, stateRoot, created, now);
  }

  private static byte[] checkedId(String what, byte[] id) {
    if (id.length != ID_LENGTH) {
      throw new IllegalArgumentException(
          what + " must have " + ID_LENGTH + " bytes, not " + id.length);
    }
    return id.clone();
  }

  @Override
  public byte[] masterKeyId() {
    return masterKeyId.clone();
  }

  @Override
  public byte[] kekN() {
    return kekN.clone();
  }

  @Override
  public byte[] kekX() {
    return kekX.clone();
  }

  @Override
  public byte[] macKey() {
    return macKey.clone();
  }

  @Override
  public byte[] valueKey() {
    return valueKey.clone();
  }

  @Override
  public byte[] stateRoot() {
    return stateRoot.clone();
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof SealingKeyGeneration that
        && state == that.state
        && created.equals(that.created)
        && since.equals(that.since)
        && Arrays.equals(masterKeyId, that.masterKeyId)
        && Arrays.equals(kekN, that.kekN)
        && Arrays.equals(kekX, that.kekX)
        && Arrays.equals(macKey, that.macKey)
        && Arrays.equals(valueKey, that.valueKey)
        && Arrays.equals(stateRoot, that.stateRoot);
  }

  @Override
  public int hashCode() {
    return Objects.hash(Arrays.hashCode(masterKeyId), state, created);
  }

  @Override
  public String toString() {
    return "SealingKeyGeneration[" + id() + ", " + state + "]";
  }
}
