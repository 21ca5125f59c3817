package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Cka.CKA_EC_PARAMS;
import static dev.grep11.client.Cka.CKA_MODULUS;
import static dev.grep11.client.Cka.CKA_SUBPRIME;
import static dev.grep11.client.Ckm.*;

import dev.grep11.agent.store.Attributes;
import dev.grep11.proto.Mechanism;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Map;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;

/**
 * How long results are, so that a question for a length costs no call of the gateway. An empty
 * answer means that only the call itself tells it.
 */
final class Lengths {
  private static final Map<Long, Integer> DIGESTS =
      Map.ofEntries(
          Map.entry(CKM_SHA_1, 20),
          Map.entry(CKM_SHA224, 28),
          Map.entry(CKM_SHA256, 32),
          Map.entry(CKM_SHA384, 48),
          Map.entry(CKM_SHA512, 64),
          Map.entry(CKM_SHA512_224, 28),
          Map.entry(CKM_SHA512_256, 32),
          Map.entry(CKM_IBM_SHA3_224, 28),
          Map.entry(CKM_IBM_SHA3_256, 32),
          Map.entry(CKM_IBM_SHA3_384, 48),
          Map.entry(CKM_IBM_SHA3_512, 64));

  private static final Map<Long, Integer> MACS =
      Map.ofEntries(
          Map.entry(CKM_SHA_1_HMAC, 20),
          Map.entry(CKM_SHA224_HMAC, 28),
          Map.entry(CKM_SHA256_HMAC, 32),
          Map.entry(CKM_SHA384_HMAC, 48),
          Map.entry(CKM_SHA512_HMAC, 64),
          Map.entry(CKM_SHA512_224_HMAC, 28),
          Map.entry(CKM_SHA512_256_HMAC, 32),
          Map.entry(CKM_IBM_SHA3_224_HMAC, 28),
          Map.entry(CKM_IBM_SHA3_256_HMAC, 32),
          Map.entry(CKM_IBM_SHA3_384_HMAC, 48),
          Map.entry(CKM_IBM_SHA3_512_HMAC, 64),
          Map.entry(CKM_AES_CMAC, 16),
          Map.entry(CKM_DES3_CMAC, 8));

  /** Bytes of one half of a signature, by the OID of the curve. */
  private static final Map<String, Integer> CURVES =
      Map.ofEntries(
          Map.entry("06082a8648ce3d030101", 24),
          Map.entry("06052b81040021", 28),
          Map.entry("06082a8648ce3d030107", 32),
          Map.entry("06052b81040022", 48),
          Map.entry("06052b81040023", 66),
          Map.entry("06052b8104000a", 32),
          Map.entry("06092b2403030208010101", 20),
          Map.entry("06092b2403030208010103", 24),
          Map.entry("06092b2403030208010105", 28),
          Map.entry("06092b2403030208010107", 32),
          Map.entry("06092b2403030208010109", 40),
          Map.entry("06092b240303020801010b", 48),
          Map.entry("06092b240303020801010d", 64),
          Map.entry("06032b6570", 32),
          Map.entry("06032b6571", 57));

  private static final long[] BLOCKS_OF_8 = {CKM_DES3_ECB, CKM_DES3_CBC, CKM_DES3_CBC_PAD};

  /**
   * An upper bound of what a single part gives, the length itself for digests, signatures and
   * public-key encryption.
   *
   * @param data bytes given
   */
  static OptionalInt single(Operation operation, int data) {
    return switch (operation.function()) {
      case DIGEST -> digest(operation.mechanism());
      case SIGN -> signature(operation.mechanism(), operation.key());
      case VERIFY -> OptionalInt.of(0);
      case ENCRYPT -> encrypted(operation.mechanism(), operation.key(), data);
      case DECRYPT -> decrypted(operation.key(), data);
    };
  }

  /** An upper bound of what Final gives. */
  static OptionalInt last(Operation operation) {
    return switch (operation.function()) {
      case DIGEST -> digest(operation.mechanism());
      case SIGN -> signature(operation.mechanism(), operation.key());
      case VERIFY -> OptionalInt.of(0);
      case ENCRYPT, DECRYPT -> OptionalInt.empty();
    };
  }

  static OptionalInt digest(Mechanism mechanism) {
    return of(DIGESTS.get(mechanism.getMechanism()));
  }

  static OptionalInt signature(Mechanism mechanism, @Nullable CkObject key) {
    var mac = of(MACS.get(mechanism.getMechanism()));
    if (mac.isPresent() || key == null) {
      return mac;
    }
    return asymmetric(key.attributes());
  }

  private static OptionalInt asymmetric(Attributes key) {
    var modulus = key.get(CKA_MODULUS);
    if (modulus.isPresent()) {
      return OptionalInt.of(modulus.get().length);
    }
    var subprime = key.get(CKA_SUBPRIME);
    if (subprime.isPresent()) {
      return OptionalInt.of(2 * subprime.get().length);
    }
    return key.get(CKA_EC_PARAMS)
        .map(curve -> CURVES.get(HexFormat.of().formatHex(curve)))
        .map(half -> OptionalInt.of(2 * half))
        .orElse(OptionalInt.empty());
  }

  private static OptionalInt encrypted(Mechanism mechanism, @Nullable CkObject key, int data) {
    long number = mechanism.getMechanism();
    if (number == CKM_AES_GCM) {
      var parameter = mechanism.getAESGCMParameter();
      int tag = parameter.getTagBits() == 0 ? 16 : (parameter.getTagBits() + 7) / 8;
      // Without an IV of the application's, the drawn one comes first.
      return OptionalInt.of(data + tag + (parameter.getIv().isEmpty() ? 12 : 0));
    }
    if (number == CKM_AES_CBC_PAD || number == CKM_DES3_CBC_PAD) {
      int block = isBlockOf8(number) ? 8 : 16;
      return OptionalInt.of((data / block + 1) * block);
    }
    if (number == CKM_AES_ECB
        || number == CKM_AES_CBC
        || number == CKM_AES_CTR
        || isBlockOf8(number)) {
      return OptionalInt.of(data);
    }
    return key == null ? OptionalInt.empty() : modulus(key.attributes());
  }

  /** No mechanism makes more of less. */
  private static OptionalInt decrypted(@Nullable CkObject key, int data) {
    var modulus = key == null ? OptionalInt.empty() : modulus(key.attributes());
    return modulus.isPresent() ? modulus : OptionalInt.of(data);
  }

  private static OptionalInt modulus(Attributes key) {
    return key.get(CKA_MODULUS)
        .map(modulus -> OptionalInt.of(modulus.length))
        .orElse(OptionalInt.empty());
  }

  private static boolean isBlockOf8(long mechanism) {
    return Arrays.stream(BLOCKS_OF_8).anyMatch(other -> other == mechanism);
  }

  private static OptionalInt of(@Nullable Integer length) {
    return length == null ? OptionalInt.empty() : OptionalInt.of(length);
  }

  private Lengths() {}
}
