package dev.grep11.gateway.rpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import com.google.protobuf.ByteString;
import dev.grep11.gateway.operation.NewKey;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.MechanismParameters;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.proto.AESCTRParm;
import dev.grep11.proto.AESGCMParm;
import dev.grep11.proto.AttributeValue;
import dev.grep11.proto.BTCDeriveParm;
import dev.grep11.proto.ECDH1DeriveParm;
import dev.grep11.proto.KeyBlob;
import dev.grep11.proto.Mechanism;
import dev.grep11.proto.RSAOAEPParm;
import dev.grep11.proto.RSAPSSParm;
import java.util.HexFormat;
import java.util.Map;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@SuppressWarnings("AvoidValueSetter") // Clients set raw numbers, so raw numbers are under test.
class CodecTest {
  private static final byte[] NOTHING = {};

  private static long returnValue(ThrowingCallable call) {
    var thrown = catchThrowableOfType(Pkcs11Exception.class, call);
    assertThat(thrown).isNotNull();
    return thrown.returnValue();
  }

  private static MechanismParameters parameters(Mechanism.Builder mechanism) {
    return Codec.mechanism(true, mechanism.build()).parameters();
  }

  private static AttributeValue bytes(String hex) {
    return AttributeValue.newBuilder()
        .setAttributeB(ByteString.copyFrom(HexFormat.of().parseHex(hex)))
        .build();
  }

  private static AttributeValue number(long value) {
    return AttributeValue.newBuilder().setAttributeI(value).build();
  }

  private static AttributeValue flag(boolean value) {
    return AttributeValue.newBuilder().setAttributeTF(value).build();
  }

  @Test
  void anAbsentMechanismIsNotNumberZero() {
    assertThat(returnValue(() -> Codec.mechanism(false, Mechanism.getDefaultInstance())))
        .isEqualTo(Ckr.CKR_MECHANISM_INVALID);
    assertThat(Codec.mechanism(true, Mechanism.getDefaultInstance()).type())
        .isEqualTo(Ckm.CKM_RSA_PKCS_KEY_PAIR_GEN);
  }

  @Test
  void anEmptyParameterIsNone() {
    assertThat(parameters(Mechanism.newBuilder())).isEqualTo(MechanismParameters.None.NONE);
    assertThat(parameters(Mechanism.newBuilder().setParameterB(ByteString.EMPTY)))
        .isEqualTo(MechanismParameters.None.NONE);
    assertThat(parameters(Mechanism.newBuilder().setParameterB(ByteString.copyFromUtf8("iv"))))
        .isEqualTo(new MechanismParameters.Bytes(new byte[] {'i', 'v'}));
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1",
    "5, 5",
    "0x800001, 0x80000001",
    "0x800004, 0x80000004",
  })
  void maskNumbersOfTheWireBecomeThoseOfTheHeader(String wire, String header) {
    var decoded =
        parameters(
            Mechanism.newBuilder()
                .setRSAPSSParameter(
                    RSAPSSParm.newBuilder()
                        .setHashMech(Ckm.CKM_SHA256)
                        .setMgfValue(Integer.decode(wire))));

    assertThat(decoded)
        .isEqualTo(new MechanismParameters.RsaPss(Ckm.CKM_SHA256, Long.decode(header), 0));
  }

  @ParameterizedTest
  @CsvSource({"0", "6", "0x800000", "0x800005", "-1"})
  void unknownMaskNumbersAreAParameterError(String wire) {
    assertThat(
            returnValue(() ->
                parameters(
                    Mechanism.newBuilder()
                        .setRSAOAEPParameter(
                            RSAOAEPParm.newBuilder().setMgfValue(Integer.decode(wire))))))
        .isEqualTo(Ckr.CKR_MECHANISM_PARAM_INVALID);
  }

  @Test
  void saltOfAllOnesIsTheLengthOfTheHash() {
    var parm = RSAPSSParm.newBuilder().setHashMech(Ckm.CKM_SHA384).setMgfValue(3);

    assertThat(
            parameters(
                Mechanism.newBuilder().setRSAPSSParameter(parm.setSaltByteCount(0xffffffffL))))
        .isEqualTo(new MechanismParameters.RsaPss(Ckm.CKM_SHA384, 3, 48));
    assertThat(
            returnValue(() ->
                parameters(
                    Mechanism.newBuilder()
                        .setRSAPSSParameter(parm.setSaltByteCount(0x100000000L)))))
        .isEqualTo(Ckr.CKR_MECHANISM_PARAM_INVALID);
  }

  @Test
  void theLabelOfOaepCountsOnlyWhenItIsSpecified() {
    var parm =
        RSAOAEPParm.newBuilder()
            .setHashMech(Ckm.CKM_SHA256)
            .setMgfValue(2)
            .setEncodingParm(ByteString.copyFromUtf8("label"));

    assertThat(
            ((MechanismParameters.RsaOaep)
                    parameters(Mechanism.newBuilder().setRSAOAEPParameter(parm)))
                .label())
        .isEmpty();
    assertThat(
            ((MechanismParameters.RsaOaep)
                    parameters(
                        Mechanism.newBuilder()
                            .setRSAOAEPParameter(parm.setEncodingParmTypeValue(1))))
                .label())
        .asString()
        .isEqualTo("label");
    assertThat(
            returnValue(() ->
                parameters(
                    Mechanism.newBuilder().setRSAOAEPParameter(parm.setEncodingParmTypeValue(2)))))
        .isEqualTo(Ckr.CKR_MECHANISM_PARAM_INVALID);
  }

  @ParameterizedTest
  @CsvSource({"1, true", "8, true", "0x800001, true", "0, false", "3, false", "9, false"})
  void knowsTheKeyDerivationFunctionsOfTheWire(String kdf, boolean known) {
    ThrowingCallable decode =
        () ->
            parameters(
                Mechanism.newBuilder()
                    .setECDH1DeriveParameter(
                        ECDH1DeriveParm.newBuilder().setKdfValue(Integer.decode(kdf))));
    if (known) {
      org.assertj.core.api.Assertions.assertThatCode(decode).doesNotThrowAnyException();
    } else {
      assertThat(returnValue(decode)).isEqualTo(Ckr.CKR_MECHANISM_PARAM_INVALID);
    }
  }

  @Test
  void lengthsLeftOutOfOurExtensionsAreTheUsualOnes() {
    assertThat(
            ((MechanismParameters.AesGcm)
                    parameters(
                        Mechanism.newBuilder().setAESGCMParameter(AESGCMParm.getDefaultInstance())))
                .tagBits())
        .isEqualTo(128);
    assertThat(
            ((MechanismParameters.AesCtr)
                    parameters(
                        Mechanism.newBuilder().setAESCTRParameter(AESCTRParm.getDefaultInstance())))
                .counterBits())
        .isEqualTo(128);
  }

  @Test
  void parametersOfWhatIsNotServedStillDecode() {
    assertThat(
            parameters(
                Mechanism.newBuilder().setBTCDeriveParameter(BTCDeriveParm.getDefaultInstance())))
        .isInstanceOf(MechanismParameters.Unserved.class);
  }

  @ParameterizedTest
  @CsvSource({
    "CKA_SIGN as a number, 0x108, 1, , 01",
    "CKA_SIGN as a byte, 0x108, , 01, 01",
    "CKA_KEY_TYPE as a number, 0x100, 31, , 1f",
    "CKA_VALUE_LEN as bytes, 0x161, , 0020, 20",
    "CKA_PUBLIC_EXPONENT as a number, 0x122, 65537, , 010001",
    "CKA_PUBLIC_EXPONENT as bytes, 0x122, , 00010001, 010001",
    "CKA_EC_PARAMS, 0x180, , 06052b8104000a, 06052b8104000a"
  })
  void takesTheArmsThatClientsUse(
      String what, String type, Long integer, String hex, String expected) {
    var value = integer != null ? number(integer) : bytes(hex);
    long attribute = Long.decode(type);
    var template = Codec.template(Map.of(attribute, value));
    var canonical =
        Codec.attributesAsBytes(template).getOrDefault(attribute, ByteString.EMPTY).toByteArray();

    assertThat(new java.math.BigInteger(1, canonical))
        .describedAs(what)
        .isEqualTo(new java.math.BigInteger(expected, 16));
  }

  @ParameterizedTest
  @CsvSource({
    "CKA_SIGN of 2, 0x108, 2, , CKR_ATTRIBUTE_VALUE_INVALID",
    "CKA_SIGN of two bytes, 0x108, , 0001, CKR_ATTRIBUTE_VALUE_INVALID",
    "CKA_SIGN of ff, 0x108, , ff, CKR_ATTRIBUTE_VALUE_INVALID",
    "negative, 0x161, -1, , CKR_ATTRIBUTE_VALUE_INVALID",
    "negative as bytes, 0x161, , ffffffffffffffff, CKR_ATTRIBUTE_VALUE_INVALID",
    "negative exponent, 0x122, -3, , CKR_ATTRIBUTE_VALUE_INVALID",
    "nine bytes, 0x161, , 000000000000000010, CKR_ATTRIBUTE_VALUE_INVALID",
    "label as a number, 0x3, 7, , CKR_ATTRIBUTE_VALUE_INVALID",
    "unknown attribute, 0x7fffffff, 7, , CKR_ATTRIBUTE_TYPE_INVALID"
  })
  void refusesOtherArms(String what, String type, Long integer, String hex, String expected) {
    var value = integer != null ? number(integer) : bytes(hex);

    assertThat(Ckr.name(returnValue(() -> Codec.template(Map.of((long) Long.decode(type), value)))))
        .describedAs(what)
        .isEqualTo(expected);
  }

  @Test
  void refusesAnAttributeWithoutValueAndOneThatIsTooLong() {
    assertThat(
            returnValue(
                () -> Codec.template(Map.of(Cka.CKA_SIGN, AttributeValue.getDefaultInstance()))))
        .isEqualTo(Ckr.CKR_ATTRIBUTE_VALUE_INVALID);
    assertThat(
            returnValue(() ->
                Codec.template(
                    Map.of(
                        Cka.CKA_LABEL,
                        AttributeValue.newBuilder()
                            .setAttributeB(ByteString.copyFrom(new byte[8 * 1024 + 1]))
                            .build()))))
        .isEqualTo(Ckr.CKR_ATTRIBUTE_VALUE_INVALID);
  }

  @Test
  void aQuestionTakesTheNumbersOfBothMapsAndNoValues() {
    assertThat(
            Codec.types(
                Map.of(Cka.CKA_LABEL, ByteString.EMPTY),
                Map.of(Cka.CKA_SIGN, AttributeValue.getDefaultInstance())))
        .containsExactly(Cka.CKA_LABEL, Cka.CKA_SIGN);
    assertThat(returnValue(() -> Codec.types(Map.of(), Map.of()))).isEqualTo(Ckr.CKR_ARGUMENTS_BAD);
  }

  @Test
  void aNewKeyHasBothFormsAndCanonicalArms() {
    var attributes =
        Template.builder()
            .put(Cka.CKA_SIGN, true)
            .put(Cka.CKA_KEY_TYPE, 3L)
            .put(Cka.CKA_LABEL, new byte[] {'a'})
            .build();
    var blob = Codec.keyBlob(new NewKey(new byte[] {1, 2, 3}, NOTHING, attributes));

    assertThat(blob.getKeyBlobs(0).toByteArray()).containsExactly(1, 2, 3);
    assertThat(blob.getKeyBlobID().size()).isEqualTo(16);
    assertThat(blob.getAttributesMap())
        .containsEntry(Cka.CKA_SIGN, flag(true))
        .containsEntry(Cka.CKA_KEY_TYPE, number(3))
        .containsEntry(Cka.CKA_LABEL, bytes("61"));
  }

  @Test
  void aKeyIsAbsentWhenNeitherFormHoldsBytes() {
    assertThat(Codec.key("Key", ByteString.EMPTY, KeyBlob.getDefaultInstance())).isEmpty();
    assertThat(
            returnValue(() -> Codec.required(NOTHING, "KeK", Ckr.CKR_WRAPPING_KEY_HANDLE_INVALID)))
        .isEqualTo(Ckr.CKR_WRAPPING_KEY_HANDLE_INVALID);
  }
}
