package dev.grep11.fuzz;

import static dev.grep11.gateway.pkcs11.Cka.*;

import com.google.protobuf.InvalidProtocolBufferException;
import dev.grep11.gateway.operation.CallMemory;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.gateway.rpc.CodecDoor;
import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * A mechanism from the wire, decoded and then used with a key of each kind, so that its parameters
 * reach the native structure that they become. The first byte chooses the call.
 */
public final class MechanismsTarget {
  private static final byte[] DATA = new byte[32];
  private static final byte[] SIGNATURE = new byte[64];

  public static void fuzzerTestOneInput(byte[] input) {
    if (input.length == 0) {
      return;
    }
    dev.grep11.proto.Mechanism wire;
    try {
      wire = dev.grep11.proto.Mechanism.parseFrom(Arrays.copyOfRange(input, 1, input.length));
    } catch (InvalidProtocolBufferException e) {
      return; // grpc refuses it before us.
    }
    Property.answerOrRefusal(() -> CodecDoor.mechanism(wire))
        .ifPresent(mechanism -> Property.isTaken(() -> use(input[0], mechanism)));
  }

  private static void use(byte call, Mechanism mechanism) {
    try (var memory = new CallMemory()) {
      use(call, mechanism, memory);
    }
  }

  private static void use(byte call, Mechanism mechanism, CallMemory memory) {
    var gateway = Inside.GATEWAY;
    var by = gateway.by;
    var operations = gateway.operations;
    var data = ByteBuffer.wrap(DATA);
    switch (Byte.toUnsignedInt(call) % 14) {
      case 0 -> operations.encryptSingle(by, mechanism, gateway.aes, data, memory);
      case 1 -> operations.decryptSingle(by, mechanism, gateway.aes, data, memory);
      case 2 ->
          operations.encryptSingle(by, mechanism, gateway.rsa.publicKey().blob(), data, memory);
      case 3 ->
          operations.decryptSingle(
              by, mechanism, gateway.rsa.privateKey().blob(), ByteBuffer.allocate(128), memory);
      case 4 -> operations.signSingle(by, mechanism, gateway.ec.privateKey().blob(), data);
      case 5 -> operations.signSingle(by, mechanism, gateway.rsa.privateKey().blob(), data);
      case 6 -> operations.signSingle(by, mechanism, gateway.generic, data);
      case 7 ->
          operations.verifySingle(by, mechanism, gateway.ec.publicKey().blob(), data, SIGNATURE);
      case 8 ->
          operations.verifySingle(
              by, mechanism, gateway.rsa.publicKey().blob(), data, new byte[128]);
      case 9 -> operations.signSingle(by, mechanism, gateway.edwards.privateKey().blob(), data);
      case 10 -> operations.digestSingle(mechanism, data);
      case 11 -> operations.wrapKey(by, mechanism, gateway.generic, gateway.aes, new byte[0]);
      case 12 ->
          operations.deriveKey(
              by,
              mechanism,
              gateway.agreement.privateKey().blob(),
              new byte[0],
              Template.builder()
                  .put(CKA_KEY_TYPE, Ckk.CKK_GENERIC_SECRET)
                  .put(CKA_VALUE_LEN, 32)
                  .build());
      default ->
          operations
              .parts()
              .finish(
                  by,
                  CryptoFunction.ENCRYPT,
                  operations.parts().begin(by, CryptoFunction.ENCRYPT, mechanism, gateway.aes));
    }
  }

  private MechanismsTarget() {}
}
