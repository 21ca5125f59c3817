package dev.grep11.client;

import com.google.protobuf.ByteString;

/**
 * A key as the application holds it. Secret and private keys are sealed by the HSM: nobody reads
 * them or widens their rights outside, but whoever has the blob *and* a token may use them, so
 * store it as you would any credential.
 *
 * <p>Immutable. Save {@link #bytes()} and load them with the constructor of the same class. Two
 * blobs are equal when their class and bytes are; a key generated twice or rewrapped has another
 * blob.
 */
public abstract sealed class KeyBlob permits SecretKeyBlob, PrivateKeyBlob, PublicKeyBlob {
  private final ByteString bytes;
  private final ByteString checkSum;

  KeyBlob(ByteString bytes, ByteString checkSum) {
    if (bytes.isEmpty()) {
      throw new IllegalArgumentException("key blob of no bytes");
    }
    this.bytes = bytes;
    this.checkSum = checkSum;
  }

  /** The blob, as a copy. */
  public final byte[] bytes() {
    return bytes.toByteArray();
  }

  /**
   * The check sum that came with the key when it was made, derived or unwrapped; empty for one
   * loaded from bytes. Of a secret key the first 3 bytes tell whether two blobs hold the same
   * value, wherever one of them came from.
   */
  public final byte[] checkSum() {
    return checkSum.toByteArray();
  }

  /** The form of the wire, for requests built for {@link Grep11Client#stub()}. */
  public final dev.grep11.proto.KeyBlob toMessage() {
    return dev.grep11.proto.KeyBlob.newBuilder().addKeyBlobs(bytes).build();
  }

  final ByteString wireBytes() {
    return bytes;
  }

  @Override
  public final boolean equals(Object other) {
    return other instanceof KeyBlob blob
        && getClass() == blob.getClass()
        && bytes.equals(blob.bytes);
  }

  @Override
  public final int hashCode() {
    return bytes.hashCode();
  }

  /** The length only. */
  @Override
  public final String toString() {
    return getClass().getSimpleName() + "[" + bytes.size() + " bytes]";
  }
}
