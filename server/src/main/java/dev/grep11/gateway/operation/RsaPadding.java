package dev.grep11.gateway.operation;

import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Hash;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaOaep;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import java.nio.ByteBuffer;
import java.security.InvalidKeyException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.Optional;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * RSA paddings around the token's raw operation, RFC 8017 section 7. Removing a padding takes the
 * same steps whatever it finds: no branch, index or exception depends on the decrypted bytes before
 * the verdict is complete.
 */
final class RsaPadding {
  private static final int PKCS1_OVERHEAD = 11;

  private RsaPadding() {}

  /** Longest message of PKCS #1 v1.5 for a modulus of so many bytes. */
  static int pkcs1Limit(int modulusLength) {
    return modulusLength - PKCS1_OVERHEAD;
  }

  /** Longest message of OAEP. */
  static int oaepLimit(int modulusLength, RsaOaep oaep) {
    return modulusLength - 2 * hash(oaep).length() - 2;
  }

  /** EME-OAEP encoding, RFC 8017 section 7.1.1; {@code seed} has the length of the hash. */
  static byte[] oaepEncode(int modulusLength, RsaOaep oaep, ByteBuffer message, byte[] seed) {
    var hash = hash(oaep);
    int h = hash.length();
    if (message.remaining() > oaepLimit(modulusLength, oaep)) {
      throw new Pkcs11Exception(Ckr.CKR_DATA_LEN_RANGE, "too long for OAEP with this key");
    }
    var encoded = new byte[modulusLength];
    var block = new byte[modulusLength - h - 1];
    System.arraycopy(hash.newDigest().digest(oaep.label()), 0, block, 0, h);
    block[block.length - message.remaining() - 1] = 1;
    message.duplicate().get(block, block.length - message.remaining(), message.remaining());
    var mask = mgf1(oaep, seed, block.length);
    for (int i = 0; i < block.length; i++) {
      encoded[1 + h + i] = (byte) (block[i] ^ mask[i]);
    }
    var seedMask = mgf1(oaep, Arrays.copyOfRange(encoded, 1 + h, modulusLength), h);
    for (int i = 0; i < h; i++) {
      encoded[1 + i] = (byte) (seed[i] ^ seedMask[i]);
    }
    Arrays.fill(block, (byte) 0);
    return encoded;
  }

  /** EME-OAEP decoding, RFC 8017 section 7.1.2; empty whatever was wrong. */
  static Optional<byte[]> oaepDecode(RsaOaep oaep, ByteBuffer encoded) {
    var hash = hash(oaep);
    int h = hash.length();
    int k = encoded.remaining();
    if (k < 2 * h + 2) {
      return Optional.empty();
    }
    var block = new byte[k - h - 1];
    var seed = new byte[h];
    encoded.duplicate().position(encoded.position() + 1).get(seed).get(block);
    var seedMask = mgf1(oaep, block, h);
    for (int i = 0; i < h; i++) {
      seed[i] ^= seedMask[i];
    }
    var mask = mgf1(oaep, seed, block.length);
    for (int i = 0; i < block.length; i++) {
      block[i] ^= mask[i];
    }
    var labelHash = hash.newDigest().digest(oaep.label());
    int wrong = encoded.get(encoded.position());
    for (int i = 0; i < h; i++) {
      wrong |= block[i] ^ labelHash[i];
    }
    // The separator is the first byte that is not 0 after the label hash, and must be 1.
    int separator = 0;
    int seen = 0;
    for (int i = h; i < block.length; i++) {
      int nonZero = nonZero(block[i]);
      int first = nonZero & ~seen;
      separator |= first & i;
      wrong |= first & (block[i] ^ 1);
      seen |= nonZero;
    }
    wrong |= ~seen;
    boolean good = wrong == 0;
    var message =
        good
            ? Optional.of(Arrays.copyOfRange(block, separator + 1, block.length))
            : Optional.<byte[]>empty();
    Arrays.fill(block, (byte) 0);
    Arrays.fill(seed, (byte) 0);
    return message;
  }

  /**
   * EME-PKCS1-v1_5 decoding with implicit rejection: a wrong padding yields a message that is drawn
   * from {@code seed}, so that nobody learns that it was wrong (draft-irtf-cfrg-rsa-guidance, 7.2).
   *
   * @param seed 32 secret bytes that depend on key and ciphertext alone
   */
  static byte[] pkcs1Decode(ByteBuffer encoded, byte[] seed) {
    int k = encoded.remaining();
    int limit = pkcs1Limit(k);
    var synthetic = expand(seed, "message", k);
    int syntheticLength = syntheticLength(seed, limit);
    var verdict = pkcs1Verdict(encoded);
    int length = select(verdict.good(), verdict.length(), syntheticLength);
    var selected = select(verdict.good(), encoded, synthetic);
    // The length is public from here on: it is the length of the answer.
    var message = Arrays.copyOfRange(selected, k - length, k);
    Arrays.fill(selected, (byte) 0);
    return message;
  }

  /**
   * The same for a key of known length: as many bytes as {@code target} has room for, real or drawn
   * from the seed. The length is drawn from too: rejected keys of two lengths that were cut from
   * one string would tell themselves from a real one.
   */
  static void pkcs1DecodeKey(ByteBuffer encoded, byte[] seed, ByteBuffer target) {
    int k = encoded.remaining();
    int length = target.remaining();
    var verdict = pkcs1Verdict(encoded);
    int good = verdict.good() & isZero(verdict.length() ^ length);
    var selected = select(good, encoded, expand(seed, "key " + length, k));
    target.put(selected, k - length, length);
    Arrays.fill(selected, (byte) 0);
  }

  private record Verdict(int good, int length) {}

  /** good is all ones or zero; length is that of the message, if good. */
  private static Verdict pkcs1Verdict(ByteBuffer encoded) {
    int k = encoded.remaining();
    int base = encoded.position();
    int good = isZero(encoded.get(base)) & isZero(encoded.get(base + 1) ^ 2);
    int separator = 0;
    int seen = 0;
    for (int i = 2; i < k; i++) {
      int zero = isZero(encoded.get(base + i));
      separator |= zero & ~seen & i;
      seen |= zero;
    }
    // At least eight bytes of padding: the separator is at index 10 or later.
    good &= seen & ~((separator - 10) >> 31);
    return new Verdict(good, k - 1 - separator);
  }

  private static byte[] select(int good, ByteBuffer real, byte[] synthetic) {
    var selected = new byte[synthetic.length];
    int base = real.position();
    for (int i = 0; i < selected.length; i++) {
      selected[i] = (byte) select(good, real.get(base + i), synthetic[i]);
    }
    return selected;
  }

  /** The last of 128 drawn candidates that is in range, without a branch on any of them. */
  private static int syntheticLength(byte[] seed, int limit) {
    var drawn = expand(seed, "length", 256);
    int mask = (Integer.highestOneBit(limit) << 1) - 1;
    int length = 0;
    for (int i = 0; i < drawn.length; i += 2) {
      int candidate = (((drawn[i] & 0xff) << 8) | (drawn[i + 1] & 0xff)) & mask;
      int inRange = (candidate - limit - 1) >> 31;
      length = select(inRange, candidate, length);
    }
    return length;
  }

  private static byte[] expand(byte[] seed, String label, int length) {
    try {
      var mac = Mac.getInstance("HmacSHA256");
      mac.init(new SecretKeySpec(seed, "HmacSHA256"));
      var out = ByteBuffer.allocate((length + 31) / 32 * 32);
      for (int i = 0; out.hasRemaining(); i++) {
        mac.update((byte) (i >> 8));
        mac.update((byte) i);
        mac.update(label.getBytes(java.nio.charset.StandardCharsets.US_ASCII));
        out.put(mac.doFinal());
      }
      return Arrays.copyOf(out.array(), length);
    } catch (NoSuchAlgorithmException | InvalidKeyException e) {
      throw new IllegalStateException("every JDK has HMAC-SHA256", e);
    }
  }

  private static int select(int mask, int whenOnes, int whenZero) {
    return (whenOnes & mask) | (whenZero & ~mask);
  }

  /** All ones when the low byte is zero. */
  private static int isZero(int value) {
    int folded = value | (value >>> 16);
    folded |= folded >>> 8;
    return ((folded & 0xff) - 1) >> 31;
  }

  private static int nonZero(int value) {
    return ~isZero(value);
  }

  private static Hash hash(RsaOaep oaep) {
    return Hash.ofMechanism(oaep.hash()).orElseThrow();
  }

  private static byte[] mgf1(RsaOaep oaep, byte[] seed, int length) {
    MessageDigest digest = Hash.ofMgf(oaep.mgf()).orElseThrow().newDigest();
    var mask = new byte[length];
    int at = 0;
    for (int counter = 0; at < length; counter++) {
      digest.update(seed);
      digest.update(ByteBuffer.allocate(4).putInt(0, counter));
      var block = digest.digest();
      int n = Math.min(block.length, length - at);
      System.arraycopy(block, 0, mask, at, n);
      at += n;
    }
    return mask;
  }
}
