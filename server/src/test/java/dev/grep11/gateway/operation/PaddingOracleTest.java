package dev.grep11.gateway.operation;

import static dev.grep11.gateway.operation.Client.assertRefused;
import static dev.grep11.gateway.operation.Client.flags;
import static dev.grep11.gateway.operation.Client.without;
import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;
import static dev.grep11.gateway.pkcs11.Ckr.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.softhsm.SoftHsmExtension;
import java.util.Arrays;
import java.util.HexFormat;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What a client learns from keys and texts that are not what they should be: nothing. */
class PaddingOracleTest {
  @RegisterExtension static final SoftHsmExtension HSM = new SoftHsmExtension();

  private static final Mechanism PKCS1 = Mechanism.of(CKM_RSA_PKCS);
  private static Core core;
  private static Client client;

  @BeforeAll
  static void open() {
    core = Core.on(HSM.token());
    client = new Client(core.operations(Policy.COMPATIBLE, true), Core.A);
  }

  @AfterAll
  static void close() {
    core.close();
  }

  // Bleichenbacher's question is whether a padding was right. A rejection that depends on anything
  // the client can vary while key and ciphertext stay the same answers it.

  private static byte[] wrongPadding() {
    var ciphered = new byte[256];
    ciphered[255] = 3;
    return ciphered;
  }

  private static byte[] anotherBlobOf(byte[] blob) {
    var another = client.operations.setAttributes(client.by, blob, without(CKA_MODIFIABLE));
    assertThat(another).isNotEqualTo(blob);
    return another;
  }

  private static Template genericSecret(int length) {
    return flags(CKA_EXTRACTABLE).toBuilder()
        .put(CKA_KEY_TYPE, Ckk.CKK_GENERIC_SECRET)
        .put(CKA_VALUE_LEN, length)
        .build();
  }

  @Test
  void aWrongPaddingDecryptsToTheSameThroughEveryBlobOfAKey() {
    var key = client.rsa(2048, Template.empty(), flags(CKA_DECRYPT)).privateKey().blob();
    assertThat(client.decrypt(PKCS1, anotherBlobOf(key), wrongPadding()))
        .isEqualTo(client.decrypt(PKCS1, key, wrongPadding()));
  }

  @Test
  void aWrongPaddingUnwrapsToTheSameThroughEveryBlobOfAKey() {
    var key = client.rsa(2048, Template.empty(), flags(CKA_UNWRAP)).privateKey().blob();
    assertThat(
            client.unwrap(PKCS1, wrongPadding(), anotherBlobOf(key), genericSecret(16)).checkSum())
        .isEqualTo(client.unwrap(PKCS1, wrongPadding(), key, genericSecret(16)).checkSum());
  }

  @Test
  void rejectedKeysOfTwoLengthsHaveNothingInCommon() {
    var key = client.rsa(2048, Template.empty(), flags(CKA_UNWRAP)).privateKey().blob();
    var shorter =
        client.export(client.unwrap(PKCS1, wrongPadding(), key, genericSecret(16)).blob());
    var longer = client.export(client.unwrap(PKCS1, wrongPadding(), key, genericSecret(24)).blob());
    assertThat(Arrays.copyOfRange(longer, 8, 24)).isNotEqualTo(shorter);
    assertThat(Arrays.copyOf(longer, 16)).isNotEqualTo(shorter);
  }

  @ParameterizedTest
  @ValueSource(longs = {0, 5, 1L << 31, (1L << 32) + 16, Long.MAX_VALUE})
  void anImpossibleLengthIsRefusedBeforeAnythingIsDecrypted(long length) {
    var key = client.rsa(2048, Template.empty(), flags(CKA_UNWRAP)).privateKey().blob();
    var template =
        Template.builder()
            .put(CKA_KEY_TYPE, Ckk.CKK_GENERIC_SECRET)
            .put(CKA_VALUE_LEN, length)
            .build();
    assertRefused(CKR_KEY_SIZE_RANGE, () -> client.unwrap(PKCS1, wrongPadding(), key, template));
  }

  /** Each is well padded, and no private key in another way. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "00",
        "3000",
        // A curve that nobody has, and a scalar of zero.
        "300e020100300706052b810400050400",
        "301e020100301306072a8648ce3d020106082a8648ce3d03010704043002020100",
        "3020020100301306072a8648ce3d020106082a8648ce3d0301070406300402010104",
        "3023020100301306072a8648ce3d020106082a8648ce3d030107040930070201010402" + "0000",
        // RSA with a modulus of four bits.
        "302c020100300d06092a864886f70d010101050004183016020100020"
            + "10f02010302010302010302010502010102010102"
            + "0101",
      })
  void whatIsInsideAWrappedKeyIsNotTold(String payload) {
    assertRefused(
        CKR_WRAPPED_KEY_INVALID,
        () -> client.importPrivate(Ckk.CKK_EC, HexFormat.of().parseHex(payload), flags(CKA_SIGN)));
  }
}
