package dev.grep11.gateway.key;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Optional;

/** SHA-256 of a whole key blob: what a working copy is found by. */
public final class BlobDigest {
  static final int LENGTH = 32;
  private static final int FINGERPRINT_LENGTH = 8;

  /** One for each thread: to look the algorithm up costs as much as to hash a blob. */
  private static final ThreadLocal<MessageDigest> SHA_256 =
      ThreadLocal.withInitial(() -> {
        try {
          return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
          throw new IllegalStateException("every JDK has SHA-256", e);
        }
      });

  private final byte[] bytes;

  private BlobDigest(byte[] bytes) {
    this.bytes = bytes;
  }

  /**
   * Empty for what cannot be a blob: no bytes, and more than the longest blob has, which are not
   * worth the hashing.
   */
  public static Optional<BlobDigest> of(byte[] blob) {
    if (blob.length == 0 || blob.length > SealedKey.MAX_LENGTH) {
      return Optional.empty();
    }
    return Optional.of(new BlobDigest(SHA_256.get().digest(blob)));
  }

  static BlobDigest ofBytes(byte[] digest) {
    return new BlobDigest(digest);
  }

  /** The first 16 hexadecimal digits, enough for people to tell blobs apart. */
  public String fingerprint() {
    return HexFormat.of().formatHex(bytes, 0, FINGERPRINT_LENGTH);
  }

  byte[] bytes() {
    return bytes;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof BlobDigest that && Arrays.equals(bytes, that.bytes);
  }

  @Override
  public int hashCode() {
    // The digest is uniform: any four bytes of it are a hash.
    return ByteBuffer.wrap(bytes).getInt();
  }
}
