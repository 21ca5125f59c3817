package dev.grep11.fuzz;

import static dev.grep11.gateway.pkcs11.Ckm.*;

import com.google.protobuf.InvalidProtocolBufferException;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.gateway.rpc.CodecDoor;
import dev.grep11.proto.SetAttributeValueRequest;
import java.util.Arrays;
import java.util.Set;

/**
 * Attributes from the wire: decoded, sent back, and used to make, change and unwrap keys. The first
 * byte chooses the call.
 */
public final class TemplatesTarget {

  public static void fuzzerTestOneInput(byte[] input) {
    if (input.length == 0) {
      return;
    }
    SetAttributeValueRequest wire;
    try {
      wire = SetAttributeValueRequest.parseFrom(Arrays.copyOfRange(input, 1, input.length));
    } catch (InvalidProtocolBufferException e) {
      return; // grpc refuses it before us.
    }
    Property.answerOrRefusal(() -> CodecDoor.template(wire.getAttributesMap()))
        .ifPresent(template -> use(input[0], template));
  }

  private static void use(byte call, Template template) {
    var back = CodecDoor.template(CodecDoor.attributes(template));
    if (!back.equals(template)) {
      throw new AssertionError("a template changes on its way to the wire and back");
    }
    var gateway = Inside.GATEWAY;
    var by = gateway.by;
    var operations = gateway.operations;
    switch (Byte.toUnsignedInt(call) % 6) {
      case 0 -> changed(gateway.aes, template);
      case 1 -> changed(gateway.ec.privateKey().blob(), template);
      case 2 -> changed(gateway.ec.publicKey().blob(), template);
      case 3 ->
          made(() -> operations.generateKey(by, Mechanism.of(CKM_AES_KEY_GEN), template).blob());
      case 4 ->
          made(() ->
              operations
                  .generateKey(by, Mechanism.of(CKM_GENERIC_SECRET_KEY_GEN), template)
                  .blob());
      default ->
          made(() ->
              operations
                  .unwrapKey(
                      by,
                      Mechanism.of(CKM_AES_CBC_PAD, new byte[16]),
                      new byte[48],
                      gateway.aes,
                      new byte[0],
                      template)
                  .blob());
    }
  }

  private static void changed(byte[] blob, Template template) {
    made(() -> Inside.GATEWAY.operations.setAttributes(Inside.GATEWAY.by, blob, template));
  }

  /** What was made can be read, and nobody gave it more than a client may have. */
  private static void made(java.util.function.Supplier<byte[]> call) {
    Property.answerOrRefusal(call)
        .ifPresent(blob -> {
          var gateway = Inside.GATEWAY;
          var trusted = gateway.operations.attributes(gateway.by, blob, Set.of(Cka.CKA_TRUSTED));
          if (trusted.isTrue(Cka.CKA_TRUSTED)) {
            throw new AssertionError("a client made a trusted key");
          }
        });
  }

  private TemplatesTarget() {}
}
