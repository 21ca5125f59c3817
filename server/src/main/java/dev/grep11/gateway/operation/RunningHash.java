package dev.grep11.gateway.operation;

import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Hash;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import java.nio.ByteBuffer;
import org.bouncycastle.crypto.ExtendedDigest;
import org.bouncycastle.crypto.digests.EncodableDigest;
import org.bouncycastle.crypto.digests.SHA1Digest;
import org.bouncycastle.crypto.digests.SHA224Digest;
import org.bouncycastle.crypto.digests.SHA256Digest;
import org.bouncycastle.crypto.digests.SHA384Digest;
import org.bouncycastle.crypto.digests.SHA3Digest;
import org.bouncycastle.crypto.digests.SHA512Digest;
import org.bouncycastle.crypto.digests.SHA512tDigest;

/** A hash whose intermediate state can be taken away and continued elsewhere. */
final class RunningHash {
  private static final int CHUNK = 8192;

  private final ExtendedDigest digest;

  private RunningHash(ExtendedDigest digest) {
    this.digest = digest;
  }

  static RunningHash begin(Hash hash) {
    return new RunningHash(
        switch (hash) {
          case SHA_1 -> new SHA1Digest();
          case SHA224 -> new SHA224Digest();
          case SHA256 -> new SHA256Digest();
          case SHA384 -> new SHA384Digest();
          case SHA512 -> new SHA512Digest();
          case SHA512_224, SHA512_256 -> new SHA512tDigest(hash.length() * Byte.SIZE);
          case SHA3_224, SHA3_256, SHA3_384, SHA3_512 -> new SHA3Digest(hash.length() * Byte.SIZE);
        });
  }

  /** Continues what {@link #state} gave, of the same hash. */
  static RunningHash resume(Hash hash, byte[] state) {
    try {
      return new RunningHash(
          switch (hash) {
            case SHA_1 -> new SHA1Digest(state);
            case SHA224 -> new SHA224Digest(state);
            case SHA256 -> new SHA256Digest(state);
            case SHA384 -> new SHA384Digest(state);
            case SHA512 -> new SHA512Digest(state);
            case SHA512_224, SHA512_256 -> new SHA512tDigest(state);
            case SHA3_224, SHA3_256, SHA3_384, SHA3_512 -> new SHA3Digest(state);
          });
    } catch (IllegalArgumentException | IndexOutOfBoundsException e) {
      // Only a gateway seals states, so this one is of a version with other hashes.
      throw new Pkcs11Exception(Ckr.CKR_SAVED_STATE_INVALID, "state of another version");
    }
  }

  void update(ByteBuffer data) {
    var rest = data.duplicate();
    var chunk = new byte[Math.min(CHUNK, rest.remaining())];
    while (rest.hasRemaining()) {
      int length = Math.min(chunk.length, rest.remaining());
      rest.get(chunk, 0, length);
      digest.update(chunk, 0, length);
    }
    java.util.Arrays.fill(chunk, (byte) 0);
  }

  byte[] state() {
    return ((EncodableDigest) digest).getEncodedState();
  }

  /** The hash; nothing more can be absorbed. */
  byte[] digest() {
    var out = new byte[digest.getDigestSize()];
    digest.doFinal(out, 0);
    return out;
  }
}
