package dev.grep11.fuzz;

import static dev.grep11.gateway.pkcs11.Ckm.*;

import dev.grep11.gateway.key.KeySealer.OpenedPublicKey;
import dev.grep11.gateway.operation.CallMemory;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Mechanism;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Set;

/**
 * Key blobs: real ones edited, or the input itself. Whatever is not a blob as the gateway made it
 * must not open, but for a bare public key, which verifies and does nothing else.
 */
public final class KeyBlobsTarget {
  private static final ByteBuffer DATA = ByteBuffer.allocate(16).asReadOnlyBuffer();

  public static void fuzzerTestOneInput(byte[] input) {
    if (input.length == 0) {
      return;
    }
    var gateway = Inside.GATEWAY;
    byte[][] real = {
      gateway.aes,
      gateway.generic,
      gateway.ec.privateKey().blob(),
      gateway.ec.publicKey().blob(),
      gateway.edwards.privateKey().blob(),
      gateway.rsa.publicKey().blob()
    };
    var rest = ByteBuffer.wrap(input, 1, input.length - 1);
    int choice = Byte.toUnsignedInt(input[0]) % (real.length + 1);
    byte[] blob;
    if (choice == real.length) {
      blob = Arrays.copyOfRange(input, 1, input.length);
    } else {
      blob = Edits.of(real[choice], real[(choice + 1) % real.length], rest);
    }
    open(blob, Arrays.stream(real).anyMatch(made -> Arrays.equals(made, blob)));
  }

  private static void open(byte[] blob, boolean genuine) {
    var gateway = Inside.GATEWAY;
    var by = gateway.by;
    var opened = Property.answerOrRefusal(() -> gateway.sealer.open(by.instance(), blob));
    boolean bare =
        opened.filter(key -> key instanceof OpenedPublicKey info && info.bare()).isPresent();
    if (opened.isPresent() != (genuine || bare)) {
      throw new AssertionError(genuine ? "a genuine blob is refused" : "an altered blob opens");
    }
    if (genuine) {
      return;
    }
    var operations = gateway.operations;
    var iv = new byte[16];
    Property.refused("encryption", () -> encrypted(Mechanism.of(CKM_AES_CBC_PAD, iv), blob));
    Property.refused("RSA encryption", () -> encrypted(Mechanism.of(CKM_RSA_PKCS), blob));
    Property.refused(
        "a signature", () -> operations.signSingle(by, Mechanism.of(CKM_ECDSA), blob, DATA));
    Property.refused(
        "a MAC", () -> operations.signSingle(by, Mechanism.of(CKM_SHA256_HMAC), blob, DATA));
    Property.refused(
        "wrapping under it",
        () ->
            operations.wrapKey(
                by, Mechanism.of(CKM_AES_CBC_PAD, iv), gateway.generic, blob, new byte[0]));
    Property.refused(
        "wrapping it",
        () ->
            operations.wrapKey(
                by, Mechanism.of(CKM_AES_CBC_PAD, iv), blob, gateway.aes, new byte[0]));
    boolean described =
        Property.isTaken(() -> operations.attributes(by, blob, Set.of(Cka.CKA_CLASS)));
    if (described && !bare) {
      throw new AssertionError("an altered blob has attributes");
    }
  }

  private KeyBlobsTarget() {}

  private static int encrypted(Mechanism mechanism, byte[] blob) {
    var gateway = Inside.GATEWAY;
    try (var memory = new CallMemory()) {
      return gateway
          .operations
          .encryptSingle(gateway.by, mechanism, blob, DATA, memory)
          .remaining();
    }
  }
}
