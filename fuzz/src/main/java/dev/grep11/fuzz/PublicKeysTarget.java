package dev.grep11.fuzz;

import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;

import dev.grep11.gateway.key.PublicKeyInfo;
import dev.grep11.gateway.pkcs11.Mechanism;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Set;

/** A SubjectPublicKeyInfo: parsed, verified with as it is, and imported. */
public final class PublicKeysTarget {
  private static final Mechanism[] VERIFYING = {
    Mechanism.of(CKM_ECDSA),
    Mechanism.of(CKM_SHA256_RSA_PKCS),
    Mechanism.of(CKM_DSA),
    Mechanism.of(CKM_IBM_ED25519_SHA512),
    Mechanism.of(CKM_IBM_ED448_SHA3)
  };

  public static void fuzzerTestOneInput(byte[] input) {
    if (input.length == 0) {
      return;
    }
    var spki = Arrays.copyOfRange(input, 1, input.length);
    var parsed = Property.answerOrRefusal(() -> PublicKeyInfo.parse(spki));
    parsed.ifPresent(key -> {
      if (!key.equals(again(key)) && !Arrays.equals(key.encoded(), again(key).encoded())) {
        throw new AssertionError("a public key changes when it is written and read");
      }
    });
    var gateway = Inside.GATEWAY;
    var verifying = VERIFYING[Byte.toUnsignedInt(input[0]) % VERIFYING.length];
    Property.refused(
        "a signature of zeros",
        () ->
            gateway.operations.verifySingle(
                gateway.by, verifying, spki, ByteBuffer.wrap(new byte[32]), new byte[64]));
    var imported =
        Property.answerOrRefusal(() ->
            gateway.operations.unwrapKey(
                gateway.by,
                Mechanism.of(CKM_IBM_TRANSPORTKEY),
                spki,
                new byte[0],
                new byte[0],
                Inside.flags(CKA_VERIFY)));
    imported.ifPresent(key -> {
      if (parsed.isEmpty()) {
        throw new AssertionError("imported without being a public key");
      }
      var blob = key.blob();
      gateway.operations.attributes(gateway.by, blob, Set.of(CKA_CLASS));
    });
  }

  private static PublicKeyInfo again(PublicKeyInfo key) {
    return PublicKeyInfo.parse(key.encoded());
  }

  private PublicKeysTarget() {}
}
