package dev.grep11.gateway.key;

import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Optional;
import java.util.UUID;

/**
 * What a sealed state says of itself in clear, under its authentication (docs/state-blob.md). Where
 * a call belongs can be told from it before the state is opened; nothing else may be believed until
 * {@link StateSealer} has opened it.
 *
 * <pre>
 * magic "G11S" 4 | format 1 | function 1 | zero 2 | instance 16 | master-key id 16 | mechanism 8
 * | SHA-256 of the key blob 32 (zeros: no key) | salt 32
 * </pre>
 */
public record StateHeader(
    CryptoFunction function,
    UUID instance,
    byte[] masterKeyId,
    long mechanism,
    Optional<BlobDigest> key,
    byte[] salt) {

  static final int SALT_LENGTH = 32;

  /** Bytes. */
  public static final int LENGTH =
      4 + 4 + 16 + SealedKey.ID_LENGTH + 8 + BlobDigest.LENGTH + SALT_LENGTH;

  private static final byte[] MAGIC = "G11S".getBytes(StandardCharsets.US_ASCII);
  private static final int FORMAT = 1;

  /** Parses the beginning of a state. */
  public static StateHeader parse(byte[] state) {
    if (state.length == 0) {
      throw new Pkcs11Exception(
          Ckr.CKR_OPERATION_NOT_INITIALIZED, "State is empty: begin with the Init call");
    }
    if (state.length < LENGTH || !Arrays.equals(state, 0, MAGIC.length, MAGIC, 0, MAGIC.length)) {
      throw malformed();
    }
    var in = ByteBuffer.wrap(state).position(MAGIC.length);
    int format = in.get();
    int function = in.get();
    if (format != FORMAT) {
      throw new Pkcs11Exception(
          Ckr.CKR_SAVED_STATE_INVALID, "a state of format " + format + ", of another version");
    }
    if (in.getShort() != 0) {
      throw malformed();
    }
    var instance = new UUID(in.getLong(), in.getLong());
    var masterKeyId = take(in, SealedKey.ID_LENGTH);
    long mechanism = in.getLong();
    var digest = take(in, BlobDigest.LENGTH);
    return new StateHeader(
        functionOf(function),
        instance,
        masterKeyId,
        mechanism,
        Arrays.equals(digest, new byte[BlobDigest.LENGTH])
            ? Optional.empty()
            : Optional.of(BlobDigest.ofBytes(digest)),
        take(in, SALT_LENGTH));
  }

  byte[] encoded() {
    return ByteBuffer.allocate(LENGTH)
        .put(MAGIC)
        .put((byte) FORMAT)
        .put((byte) number(function))
        .putShort((short) 0)
        .putLong(instance.getMostSignificantBits())
        .putLong(instance.getLeastSignificantBits())
        .put(masterKeyId)
        .putLong(mechanism)
        .put(key.map(BlobDigest::bytes).orElseGet(() -> new byte[BlobDigest.LENGTH]))
        .put(salt)
        .array();
  }

  private static int number(CryptoFunction function) {
    return switch (function) {
      case DIGEST -> 1;
      case ENCRYPT -> 2;
      case DECRYPT -> 3;
      case SIGN -> 4;
      case VERIFY -> 5;
      case GENERATE, GENERATE_KEY_PAIR, WRAP, UNWRAP, DERIVE ->
          throw new IllegalArgumentException(function + " runs in one call");
    };
  }

  private static CryptoFunction functionOf(int number) {
    return switch (number) {
      case 1 -> CryptoFunction.DIGEST;
      case 2 -> CryptoFunction.ENCRYPT;
      case 3 -> CryptoFunction.DECRYPT;
      case 4 -> CryptoFunction.SIGN;
      case 5 -> CryptoFunction.VERIFY;
      default -> throw malformed();
    };
  }

  private static byte[] take(ByteBuffer in, int length) {
    var bytes = new byte[length];
    in.get(bytes);
    return bytes;
  }

  private static Pkcs11Exception malformed() {
    return new Pkcs11Exception(Ckr.CKR_IBM_BLOB_ERROR, "not a state of this gateway");
  }
}
