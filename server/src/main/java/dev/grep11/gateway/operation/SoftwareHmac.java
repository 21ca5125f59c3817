package dev.grep11.gateway.operation;

import dev.grep11.gateway.hsm.SecretBuffer;
import dev.grep11.gateway.pkcs11.Hash;
import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * HMAC (RFC 2104) where the token has none for this hash or takes no key of this length. The key
 * lies off-heap: what MessageDigest copies of it is one block at a time.
 */
final class SoftwareHmac {
  private SoftwareHmac() {}

  static byte[] of(Hash hash, SecretBuffer key, ByteBuffer data) {
    var digest = hash.newDigest();
    int block = blockLength(hash);
    var padded = new byte[block];
    try {
      var source = key.readOnly();
      if (source.remaining() > block) {
        digest.update(source);
        var hashed = digest.digest();
        System.arraycopy(hashed, 0, padded, 0, hashed.length);
        Arrays.fill(hashed, (byte) 0);
      } else {
        source.get(padded, 0, source.remaining());
      }
      exclusiveOr(padded, 0x36);
      digest.update(padded);
      digest.update(data.duplicate());
      var inner = digest.digest();
      exclusiveOr(padded, 0x36 ^ 0x5c);
      digest.update(padded);
      digest.update(inner);
      return digest.digest();
    } finally {
      Arrays.fill(padded, (byte) 0);
      digest.reset();
    }
  }

  private static void exclusiveOr(byte[] bytes, int with) {
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] ^= (byte) with;
    }
  }

  /** B of RFC 2104: FIPS 180-4 section 1, FIPS 202 table 3. */
  private static int blockLength(Hash hash) {
    return switch (hash) {
      case SHA_1, SHA224, SHA256 -> 64;
      case SHA384, SHA512, SHA512_224, SHA512_256 -> 128;
      case SHA3_224 -> 144;
      case SHA3_256 -> 136;
      case SHA3_384 -> 104;
      case SHA3_512 -> 72;
    };
  }
}
