package dev.grep11.gateway.operation;

import static dev.grep11.gateway.operation.Client.assertRefused;
import static dev.grep11.gateway.pkcs11.Cka.CKA_KEY_TYPE;
import static dev.grep11.gateway.pkcs11.Cka.CKA_MODULUS_BITS;
import static dev.grep11.gateway.pkcs11.Cka.CKA_VALUE_LEN;
import static dev.grep11.gateway.pkcs11.Ckm.CKM_AES_CTR;
import static dev.grep11.gateway.pkcs11.Ckm.CKM_AES_ECB;
import static dev.grep11.gateway.pkcs11.Ckm.CKM_AES_GCM;
import static dev.grep11.gateway.pkcs11.Ckm.CKM_AES_KEY_GEN;
import static dev.grep11.gateway.pkcs11.Ckm.CKM_ECDSA;
import static dev.grep11.gateway.pkcs11.Ckm.CKM_RSA_PKCS_KEY_PAIR_GEN;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_FUNCTION_NOT_SUPPORTED;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_IBM_BLOB_ERROR;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_KEY_SIZE_RANGE;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_MECHANISM_INVALID;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_MECHANISM_PARAM_INVALID;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_TEMPLATE_INCONSISTENT;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesGcm;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.softhsm.SoftHsmExtension;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.stream.Stream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * What a refusal says to whoever looks for the mistake: what was wrong, and what would be right.
 */
class RefusalTextsTest {
  @RegisterExtension static final SoftHsmExtension HSM = new SoftHsmExtension();

  private static final byte[] MESSAGE = new byte[48];
  private static final byte[] NOTHING = {};

  private static Core core;
  private static Client client;
  private static byte[] aes;
  private static byte[] ec;

  @BeforeAll
  static void open() {
    core = Core.on(HSM.token());
    client = new Client(core.operations(Policy.COMPATIBLE, true), Core.A);
    aes = client.aes(32, Template.empty()).blob();
    ec = client.ec(NamedCurve.P_256, Template.empty(), Template.empty()).privateKey().blob();
  }

  @AfterAll
  static void close() {
    core.close();
  }

  private static Arguments row(long returnValue, String said, ThrowingCallable call) {
    return arguments(returnValue, said, call);
  }

  private static void encrypt(long mechanism, byte[] key) {
    client.encrypt(Mechanism.of(mechanism), key, MESSAGE);
  }

  private static void sizedAs(long valueLength) {
    client.generate(CKM_AES_KEY_GEN, Template.builder().put(CKA_VALUE_LEN, valueLength).build());
  }

  private static void inParts(CryptoFunction function, Mechanism mechanism, byte[] key) {
    var parts = client.operations.parts();
    parts.update(
        client.by,
        function,
        parts.begin(client.by, function, mechanism, key),
        ByteBuffer.wrap(MESSAGE));
  }

  static Stream<Arguments> refusals() {
    return Stream.of(
        row(CKR_MECHANISM_PARAM_INVALID, "AESGCMParameter", () -> encrypt(CKM_AES_GCM, aes)),
        row(CKR_MECHANISM_PARAM_INVALID, "AESCTRParameter", () -> encrypt(CKM_AES_CTR, aes)),
        row(
            CKR_MECHANISM_PARAM_INVALID,
            "needs a tag of 96 to 128 bits",
            () ->
                client.encrypt(
                    new Mechanism(CKM_AES_GCM, new AesGcm(NOTHING, NOTHING, 8)), aes, MESSAGE)),
        row(
            CKR_IBM_BLOB_ERROR,
            "not a key blob",
            () -> encrypt(CKM_AES_ECB, "hello".getBytes(UTF_8))),
        row(
            CKR_IBM_BLOB_ERROR,
            "not a key blob as this service gave it: altered, cut",
            () ->
                client.sign(
                    Mechanism.of(CKM_ECDSA), Arrays.copyOf(ec, ec.length - 1), new byte[32])),
        row(
            CKR_MECHANISM_INVALID,
            "0x9999 is not offered",
            () -> client.operations.mechanismInfo(0x9999)),
        row(
            CKR_FUNCTION_NOT_SUPPORTED,
            "call Sign after SignInit, or SignSingle",
            () -> inParts(CryptoFunction.SIGN, Mechanism.of(CKM_ECDSA), ec)),
        row(
            CKR_FUNCTION_NOT_SUPPORTED,
            "call Encrypt after EncryptInit, or EncryptSingle",
            () ->
                inParts(
                    CryptoFunction.ENCRYPT,
                    new Mechanism(CKM_AES_GCM, new AesGcm(new byte[12], NOTHING, 128)),
                    aes)),
        row(CKR_KEY_SIZE_RANGE, "17 bytes for CKK_AES", () -> sizedAs(17)),
        row(CKR_KEY_SIZE_RANGE, "as little-endian bytes 32", () -> sizedAs(0x2000_0000L)),
        row(CKR_KEY_SIZE_RANGE, "as little-endian bytes 32", () -> sizedAs(0x2000_0000_0000_0000L)),
        row(
            CKR_KEY_SIZE_RANGE,
            "not 524288 (as little-endian bytes 2048: AttributeB is read as big-endian)",
            () ->
                client.generatePair(
                    CKM_RSA_PKCS_KEY_PAIR_GEN,
                    Template.builder().put(CKA_MODULUS_BITS, 0x0008_0000L).build(),
                    Template.empty())),
        row(
            CKR_TEMPLATE_INCONSISTENT,
            "CKA_KEY_TYPE is not the mechanism's: 520093696 (as little-endian bytes 31",
            () ->
                client.generate(
                    CKM_AES_KEY_GEN,
                    Template.builder()
                        .put(CKA_KEY_TYPE, 0x1f00_0000L)
                        .put(CKA_VALUE_LEN, 32)
                        .build())));
  }

  @ParameterizedTest(name = "{1}")
  @MethodSource("refusals")
  void saysWhatIsWrongAndWhatWouldBeRight(long returnValue, String said, ThrowingCallable call) {
    assertRefused(returnValue, call);
    assertThat(catchThrowableOfType(Pkcs11Exception.class, call).detail()).contains(said);
  }
}
