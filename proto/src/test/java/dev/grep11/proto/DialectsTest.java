package dev.grep11.proto;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import com.google.protobuf.Parser;
import io.grpc.MethodDescriptor;
import java.io.ByteArrayInputStream;
import java.util.HexFormat;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What both generations of clients put on the wire, read through the one merged schema. */
class DialectsTest {
  private static final ByteString BLOB = ByteString.copyFromUtf8("sealed");

  /** One key role of one request: where either dialect puts it, and the accessors that show it. */
  private record Role<T>(
      String name,
      int bytesNumber,
      int keyBlobNumber,
      Parser<T> parser,
      Function<T, ByteString> bytes,
      Function<T, KeyBlob> keyBlob) {
    @Override
    public String toString() {
      return name;
    }
  }

  static Stream<Role<?>> roles() {
    return Stream.of(
        role(
            "DigestKey Key",
            2,
            3,
            DigestKeyRequest.parser(),
            DigestKeyRequest::getKeyBytes,
            DigestKeyRequest::getKey),
        role(
            "EncryptInit Key",
            3,
            4,
            EncryptInitRequest.parser(),
            EncryptInitRequest::getKeyBytes,
            EncryptInitRequest::getKey),
        role(
            "DecryptInit Key",
            3,
            4,
            DecryptInitRequest.parser(),
            DecryptInitRequest::getKeyBytes,
            DecryptInitRequest::getKey),
        role(
            "EncryptSingle Key",
            1,
            5,
            EncryptSingleRequest.parser(),
            EncryptSingleRequest::getKeyBytes,
            EncryptSingleRequest::getKey),
        role(
            "DecryptSingle Key",
            1,
            5,
            DecryptSingleRequest.parser(),
            DecryptSingleRequest::getKeyBytes,
            DecryptSingleRequest::getKey),
        role(
            "SignInit PrivKey",
            3,
            4,
            SignInitRequest.parser(),
            SignInitRequest::getPrivKeyBytes,
            SignInitRequest::getPrivKey),
        role(
            "VerifyInit PubKey",
            3,
            4,
            VerifyInitRequest.parser(),
            VerifyInitRequest::getPubKeyBytes,
            VerifyInitRequest::getPubKey),
        role(
            "SignSingle PrivKey",
            1,
            5,
            SignSingleRequest.parser(),
            SignSingleRequest::getPrivKeyBytes,
            SignSingleRequest::getPrivKey),
        role(
            "VerifySingle PubKey",
            1,
            5,
            VerifySingleRequest.parser(),
            VerifySingleRequest::getPubKeyBytes,
            VerifySingleRequest::getPubKey),
        role(
            "ReencryptSingle DecKey",
            1,
            7,
            ReencryptSingleRequest.parser(),
            ReencryptSingleRequest::getDecKeyBytes,
            ReencryptSingleRequest::getDecKey),
        role(
            "ReencryptSingle EncKey",
            2,
            8,
            ReencryptSingleRequest.parser(),
            ReencryptSingleRequest::getEncKeyBytes,
            ReencryptSingleRequest::getEncKey),
        role(
            "WrapKey Key",
            1,
            6,
            WrapKeyRequest.parser(),
            WrapKeyRequest::getKeyBytes,
            WrapKeyRequest::getKey),
        role(
            "WrapKey KeK",
            2,
            7,
            WrapKeyRequest.parser(),
            WrapKeyRequest::getKeKBytes,
            WrapKeyRequest::getKeK),
        role(
            "WrapKey MacKey",
            3,
            8,
            WrapKeyRequest.parser(),
            WrapKeyRequest::getMacKeyBytes,
            WrapKeyRequest::getMacKey),
        role(
            "UnwrapKey KeK",
            2,
            11,
            UnwrapKeyRequest.parser(),
            UnwrapKeyRequest::getKeKBytes,
            UnwrapKeyRequest::getKeK),
        role(
            "UnwrapKey MacKey",
            3,
            12,
            UnwrapKeyRequest.parser(),
            UnwrapKeyRequest::getMacKeyBytes,
            UnwrapKeyRequest::getMacKey),
        role(
            "DeriveKey BaseKey",
            3,
            10,
            DeriveKeyRequest.parser(),
            DeriveKeyRequest::getBaseKeyBytes,
            DeriveKeyRequest::getBaseKey),
        role(
            "RewrapKeyBlob WrappedKey",
            1,
            2,
            RewrapKeyBlobRequest.parser(),
            RewrapKeyBlobRequest::getWrappedKeyBytes,
            RewrapKeyBlobRequest::getWrappedKey));
  }

  @ParameterizedTest
  @MethodSource("roles")
  <T> void readsTheSameBlobFromEitherDialect(Role<T> role) throws Exception {
    T first = role.parser.parseFrom(Wire.message().bytes(role.bytesNumber, "sealed").toBytes());
    T second =
        role.parser.parseFrom(
            Wire.message()
                .message(role.keyBlobNumber, Wire.message().bytes(5, "sealed"))
                .toBytes());

    assertThat(role.bytes.apply(first)).isEqualTo(BLOB);
    assertThat(role.keyBlob.apply(first).getKeyBlobsList()).isEmpty();
    assertThat(role.keyBlob.apply(second).getKeyBlobsList()).containsExactly(BLOB);
    assertThat(role.bytes.apply(second)).isEmpty();
  }

  @Test
  void readsASignSingleOfTheFirstDialectByteForByte() throws Exception {
    // 0a: field 1; 12: field 2, CKM_ECDSA 0x1041 as varint c1 20; 1a: field 3.
    byte[] wire = HexFormat.of().parseHex("0a03b1b2b3" + "120308c120" + "1a0461626364");
    var request = SignSingleRequest.parseFrom(wire);

    assertThat(request.getPrivKeyBytes().toByteArray()).isEqualTo(new byte[] {-0x4f, -0x4e, -0x4d});
    assertThat(request.getMech().getMechanism()).isEqualTo(0x1041);
    assertThat(request.getData().toStringUtf8()).isEqualTo("abcd");
    assertThat(request.hasPrivKey()).isFalse();
    assertThat(request.toByteArray()).isEqualTo(wire);
  }

  @Test
  void readsASignSingleOfTheSecondDialectByteForByte() throws Exception {
    // 2a: field 5, in it 2a: KeyBlobs.
    byte[] wire = HexFormat.of().parseHex("120308c120" + "1a0461626364" + "2a052a03b1b2b3");
    var request = SignSingleRequest.parseFrom(wire);

    assertThat(request.getPrivKey().getKeyBlobs(0).toByteArray())
        .isEqualTo(new byte[] {-0x4f, -0x4e, -0x4d});
    assertThat(request.getPrivKeyBytes()).isEmpty();
    assertThat(request.toByteArray()).isEqualTo(wire);
  }

  @Test
  void readsAWholeKeyBlobAsGoReturnsIt() throws Exception {
    var blob =
        KeyBlob.parseFrom(
            Wire.message()
                .bytes(1, "0123456789abcdef")
                .varint(2, 7)
                .bytes(3, "tx")
                .entry(4, 0x162, Wire.message().varint(2, 0))
                .bytes(5, "sealed")
                .toBytes());

    assertThat(blob.getKeyBlobID()).hasSize(16);
    assertThat(blob.getVersion()).isEqualTo(7);
    assertThat(blob.getTxID().toStringUtf8()).isEqualTo("tx");
    assertThat(blob.getAttributesOrThrow(0x162).getOneAttrCase())
        .isEqualTo(AttributeValue.OneAttrCase.ATTRIBUTETF);
    assertThat(blob.getKeyBlobs(0)).isEqualTo(BLOB);
  }

  @Test
  void writesAFalseAttributeBecauseAOneofKnowsPresence() {
    assertThat(AttributeValue.newBuilder().setAttributeTF(false).build().toByteArray())
        .isEqualTo(new byte[] {0x10, 0});
    assertThat(AttributeValue.newBuilder().setAttributeI(0).build().toByteArray())
        .isEqualTo(new byte[] {0x18, 0});
  }

  @Test
  void toleratesAnAttributeWithoutArm() throws Exception {
    // Go encodes nil as an empty message.
    var request =
        GenerateKeyRequest.parseFrom(Wire.message().entry(6, 0x161, Wire.message()).toBytes());
    assertThat(request.getTemplateOrThrow(0x161).getOneAttrCase())
        .isEqualTo(AttributeValue.OneAttrCase.ONEATTR_NOT_SET);
  }

  @Test
  void toleratesAMechanismWithoutParameterAndTellsItFromNoMechanism() throws Exception {
    var withZero = SignSingleRequest.parseFrom(Wire.message().bytes(2, new byte[0]).toBytes());
    assertThat(withZero.hasMech()).isTrue();
    assertThat(withZero.getMech().getMechanism()).isZero();
    assertThat(withZero.getMech().getParameterCase())
        .isEqualTo(Mechanism.ParameterCase.PARAMETER_NOT_SET);

    assertThat(SignSingleRequest.parseFrom(new byte[0]).hasMech()).isFalse();
  }

  @Test
  void tellsAnEmptyParameterFromNone() throws Exception {
    var mechanism =
        Mechanism.parseFrom(Wire.message().varint(1, 0x1085).bytes(2, new byte[0]).toBytes());
    assertThat(mechanism.getParameterCase()).isEqualTo(Mechanism.ParameterCase.PARAMETERB);
  }

  @Test
  void keepsTheLastOfTwoParameters() throws Exception {
    var mechanism =
        Mechanism.parseFrom(
            Wire.message()
                .varint(1, 0x1087)
                .bytes(2, "iv")
                .message(1001, Wire.message().bytes(1, "nonce"))
                .toBytes());
    assertThat(mechanism.getParameterCase()).isEqualTo(Mechanism.ParameterCase.AESGCMPARAMETER);
    assertThat(mechanism.getParameterB()).isEmpty();
  }

  @Test
  void placesTheExtensionsAboveAThousand() {
    // Tag 1001 << 3 | 2 = 8010, as varint ca 3e.
    assertThat(
            Mechanism.newBuilder()
                .setAESGCMParameter(AESGCMParm.newBuilder().setTagBits(128))
                .build()
                .toByteArray())
        .isEqualTo(HexFormat.of().parseHex("ca3e03" + "188001"));
    assertThat(
            Mechanism.newBuilder()
                .setAESCTRParameter(AESCTRParm.newBuilder().setCounterBits(32))
                .build()
                .toByteArray())
        .isEqualTo(HexFormat.of().parseHex("d23e02" + "0820"));
    assertThat(
            Mechanism.newBuilder()
                .setEDDSAParameter(EDDSAParm.newBuilder().setPreHash(true))
                .build()
                .toByteArray())
        .isEqualTo(HexFormat.of().parseHex("da3e02" + "0801"));
  }

  @Test
  void writesTheMechanismListPackedAndReadsItUnpackedToo() throws Exception {
    byte[] packed = Wire.message().packed(2, 1, 9, 0x80070001L).toBytes();
    byte[] unpacked = Wire.message().varint(2, 1).varint(2, 9).varint(2, 0x80070001L).toBytes();

    var list = GetMechanismListResponse.parseFrom(unpacked);
    assertThat(list.getMechsList()).containsExactly(1L, 9L, 0x80070001L);
    assertThat(list).isEqualTo(GetMechanismListResponse.parseFrom(packed));
    assertThat(list.toByteArray()).isEqualTo(packed);
  }

  @Test
  void keepsAnEnumNumberItDoesNotKnow() throws Exception {
    // The C header's 0x80000001 instead of the wire's 0x800001: refused later, not by the parser.
    var parameter =
        RSAPSSParm.parseFrom(Wire.message().varint(1, 0x250).varint(2, 0x80000001L).toBytes());
    assertThat(parameter.getMgfValue()).isEqualTo(0x80000001);
    assertThat(parameter.getMgf()).isEqualTo(RSAPSSParm.Mask.UNRECOGNIZED);
  }

  @Test
  void ignoresFieldsItDoesNotKnow() throws Exception {
    var request =
        EncryptSingleRequest.parseFrom(
            Wire.message().bytes(1, "sealed").bytes(900, "KeyId").varint(901, 5).toBytes());
    assertThat(request.getKeyBytes()).isEqualTo(BLOB);
  }

  @Test
  void carriesTheReturnValueOfAFailedVerifyAs192() throws Exception {
    byte[] wire = HexFormat.of().parseHex("08c001");
    assertThat(Grep11Error.parseFrom(wire).getCode()).isEqualTo(192);
    assertThat(Grep11Error.newBuilder().setCode(192).build().toByteArray()).isEqualTo(wire);
    assertThat(Grep11Error.getDescriptor().getFullName()).isEqualTo("grep11.Grep11Error");
  }

  @Test
  void bindsTheStubToTheGeneratedMarshallers() {
    var method = CryptoGrpc.getVerifySingleMethod();
    assertThat(method.getFullMethodName()).isEqualTo("grep11.Crypto/VerifySingle");
    byte[] wire = Wire.message().bytes(1, "sealed").bytes(4, "signature").toBytes();
    var request = parse(method, wire);
    assertThat(request.getPubKeyBytes()).isEqualTo(BLOB);
    assertThat(request.getSignature().toStringUtf8()).isEqualTo("signature");
  }

  private static <Q, A> Q parse(MethodDescriptor<Q, A> method, byte[] wire) {
    return method.parseRequest(new ByteArrayInputStream(wire));
  }

  private static <T> Role<T> role(
      String name,
      int bytesNumber,
      int keyBlobNumber,
      Parser<T> parser,
      Function<T, ByteString> bytes,
      Function<T, KeyBlob> keyBlob) {
    return new Role<>(name, bytesNumber, keyBlobNumber, parser, bytes, keyBlob);
  }
}
