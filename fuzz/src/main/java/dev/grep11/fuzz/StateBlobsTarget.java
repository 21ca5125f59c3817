package dev.grep11.fuzz;

import static dev.grep11.gateway.pkcs11.Ckm.*;

import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Mechanism;
import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * States of running operations: real ones edited, which must never continue; and their content
 * edited under a genuine seal, which only a gateway could make and which must not bring it down
 * either. The first byte chooses.
 */
public final class StateBlobsTarget {
  private record Running(CryptoFunction function, byte[] state) {
    byte[] content() {
      return Inside.GATEWAY.states.open(Inside.GATEWAY.by.instance(), function, state);
    }
  }

  private static final Running[] REAL = {
    begun(CryptoFunction.DIGEST, Mechanism.of(CKM_SHA256), new byte[0]),
    begun(CryptoFunction.ENCRYPT, cbc(), Inside.GATEWAY.aes),
    begun(CryptoFunction.DECRYPT, cbc(), Inside.GATEWAY.aes),
    begun(CryptoFunction.SIGN, Mechanism.of(CKM_SHA256_HMAC), Inside.GATEWAY.generic),
    begun(
        CryptoFunction.SIGN, Mechanism.of(CKM_ECDSA_SHA256), Inside.GATEWAY.ec.privateKey().blob()),
    begun(
        CryptoFunction.VERIFY,
        Mechanism.of(CKM_ECDSA_SHA256),
        Inside.GATEWAY.ec.publicKey().blob()),
  };

  private static final CryptoFunction[] FUNCTIONS = {
    CryptoFunction.DIGEST,
    CryptoFunction.ENCRYPT,
    CryptoFunction.DECRYPT,
    CryptoFunction.SIGN,
    CryptoFunction.VERIFY
  };

  private static Mechanism cbc() {
    return Mechanism.of(CKM_AES_CBC_PAD, new byte[16]);
  }

  private static Running begun(CryptoFunction function, Mechanism mechanism, byte[] key) {
    var gateway = Inside.GATEWAY;
    var parts = gateway.operations.parts();
    var state = parts.begin(gateway.by, function, mechanism, key);
    return new Running(
        function, parts.update(gateway.by, function, state, ByteBuffer.wrap(new byte[20])).state());
  }

  public static void fuzzerTestOneInput(byte[] input) {
    if (input.length < 2) {
      return;
    }
    int choice = Byte.toUnsignedInt(input[0]) % (2 * REAL.length + 1);
    var rest = Arrays.copyOfRange(input, 1, input.length);
    if (choice == 2 * REAL.length) {
      requireRefused(rest);
      return;
    }
    var real = REAL[choice % REAL.length];
    var other = REAL[(choice + 1) % REAL.length];
    if (choice < REAL.length) {
      var state = Edits.of(real.state(), other.state(), ByteBuffer.wrap(rest));
      if (Arrays.stream(REAL).noneMatch(made -> Arrays.equals(made.state(), state))) {
        requireRefused(state);
      }
    } else {
      sealed(real.function(), Edits.of(real.content(), other.content(), ByteBuffer.wrap(rest)));
    }
  }

  private static void requireRefused(byte[] state) {
    for (var function : FUNCTIONS) {
      Property.refused(
          "an altered state, by " + function,
          () -> Inside.GATEWAY.states.open(Inside.GATEWAY.by.instance(), function, state));
      Property.refused("an altered state", () -> goOn(function, state));
    }
  }

  private static void goOn(CryptoFunction function, byte[] state) {
    var gateway = Inside.GATEWAY;
    var parts = gateway.operations.parts();
    parts.update(gateway.by, function, state, ByteBuffer.wrap(new byte[20]));
  }

  /** Content that no gateway wrote. */
  private static void sealed(CryptoFunction function, byte[] content) {
    var gateway = Inside.GATEWAY;
    var parts = gateway.operations.parts();
    Property.answerOrRefusal(() ->
            gateway.states.seal(gateway.by.instance(), function, CKM_SHA256, new byte[0], content))
        .ifPresent(state -> {
          Property.isTaken(() -> goOn(function, state));
          if (function == CryptoFunction.VERIFY) {
            Property.isTaken(() -> parts.finishVerify(gateway.by, state, new byte[64]));
          } else {
            Property.isTaken(() -> parts.finish(gateway.by, function, state));
          }
        });
  }

  private StateBlobsTarget() {}
}
