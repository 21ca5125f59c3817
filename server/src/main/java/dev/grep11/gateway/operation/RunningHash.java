package dev.grep11.gateway.operation;

import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Hash;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import java.nio.ByteBuffer;
import java.util.Arrays;
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

  private static final int KECCAK_RATE = 1 + 200 + 192;
  private static final int KECCAK_QUEUED = KECCAK_RATE + Integer.BYTES;
  private static final int KECCAK_OUTPUT = KECCAK_QUEUED + Integer.BYTES;

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
      requireParameters(hash, state);
      // Bouncy Castle takes a state's offsets as they come and stumbles over them later, so another
      // copy runs to its end first.
      var trial = ofState(hash, state);
      if (!Arrays.equals(state, ((EncodableDigest) trial).getEncodedState())) {
        throw new IllegalArgumentException("more or less than a state");
      }
      trial.update(new byte[trial.getByteLength()], 0, trial.getByteLength());
      trial.doFinal(new byte[trial.getDigestSize()], 0);
      return new RunningHash(ofState(hash, state));
    } catch (RuntimeException e) {
      // Only a gateway seals states, so this one is of a version with other hashes.
      throw new Pkcs11Exception(Ckr.CKR_SAVED_STATE_INVALID, "state of another version");
    }
  }

  /**
   * Keccak's parameters follow 200 bytes of sponge and 192 of queue: rate, bits in the queue,
   * output length, and two flags. With others than its own it would absorb for seconds.
   */
  private static void requireParameters(Hash hash, byte[] state) {
    boolean same =
        switch (hash) {
          case SHA_1, SHA224, SHA256, SHA384, SHA512, SHA512_224, SHA512_256 -> true;
          case SHA3_224, SHA3_256, SHA3_384, SHA3_512 -> {
            var own = begin(hash).state();
            int queued = ByteBuffer.wrap(state).getInt(KECCAK_QUEUED);
            yield Arrays.equals(own, KECCAK_RATE, KECCAK_QUEUED, state, KECCAK_RATE, KECCAK_QUEUED)
                && queued >= 0
                && queued < ByteBuffer.wrap(own).getInt(KECCAK_RATE)
                && queued % Byte.SIZE == 0
                && Arrays.equals(
                    own, KECCAK_OUTPUT, own.length, state, KECCAK_OUTPUT, state.length);
          }
        };
    if (!same) {
      throw new IllegalArgumentException("state of another hash");
    }
  }

  private static ExtendedDigest ofState(Hash hash, byte[] state) {
    return switch (hash) {
      case SHA_1 -> new SHA1Digest(state);
      case SHA224 -> new SHA224Digest(state);
      case SHA256 -> new SHA256Digest(state);
      case SHA384 -> new SHA384Digest(state);
      case SHA512 -> new SHA512Digest(state);
      case SHA512_224, SHA512_256 -> new SHA512tDigest(state);
      case SHA3_224, SHA3_256, SHA3_384, SHA3_512 -> new SHA3Digest(state);
    };
  }

  void update(ByteBuffer data) {
    var rest = data.duplicate();
    var chunk = new byte[Math.min(CHUNK, rest.remaining())];
    while (rest.hasRemaining()) {
      int length = Math.min(chunk.length, rest.remaining());
      rest.get(chunk, 0, length);
      digest.update(chunk, 0, length);
    }
    Arrays.fill(chunk, (byte) 0);
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
