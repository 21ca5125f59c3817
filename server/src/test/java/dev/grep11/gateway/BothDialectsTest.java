package dev.grep11.gateway;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.proto.AttributeValue;
import dev.grep11.proto.CryptoGrpc.CryptoBlockingStub;
import dev.grep11.proto.DecryptSingleRequest;
import dev.grep11.proto.DeriveKeyRequest;
import dev.grep11.proto.DeriveKeyResponse;
import dev.grep11.proto.ECDH1DeriveParm;
import dev.grep11.proto.EncryptSingleRequest;
import dev.grep11.proto.GenerateKeyPairRequest;
import dev.grep11.proto.GenerateKeyPairResponse;
import dev.grep11.proto.GenerateKeyRequest;
import dev.grep11.proto.GenerateKeyResponse;
import dev.grep11.proto.GetAttributeValueRequest;
import dev.grep11.proto.KeyBlob;
import dev.grep11.proto.Mechanism;
import dev.grep11.proto.ReencryptSingleRequest;
import dev.grep11.proto.RewrapKeyBlobRequest;
import dev.grep11.proto.SignSingleRequest;
import dev.grep11.proto.UnwrapKeyRequest;
import dev.grep11.proto.VerifySingleRequest;
import dev.grep11.proto.WrapKeyRequest;
import io.grpc.StatusRuntimeException;
import java.nio.file.Path;
import java.util.Map;
import java.util.UUID;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Every key-carrying rpc that is served, in the form of the first clients and in the form of the
 * second: the same result, whatever else a client writes into a {@code KeyBlob}.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class BothDialectsTest {
  private static final ByteString DATA =
      ByteString.copyFromUtf8("thirty-two bytes: two AES blocks");
  private static final ByteString P256 =
      ByteString.copyFrom(new byte[] {6, 8, 0x2a, (byte) 0x86, 0x48, (byte) 0xce, 0x3d, 3, 1, 7});

  private RunningGateway running;
  private CryptoBlockingStub client;
  private GenerateKeyResponse aes;
  private GenerateKeyResponse other;
  private GenerateKeyResponse hmac;
  private GenerateKeyPairResponse rsa;
  private GenerateKeyPairResponse ec;

  @BeforeAll
  void makeKeys(@TempDir Path parent) throws Exception {
    running = RunningGateway.start(parent.resolve("demo"));
    client = running.client();
    aes = aes();
    other = aes();
    hmac =
        client.generateKey(
            GenerateKeyRequest.newBuilder()
                .setMech(mech(Ckm.CKM_GENERIC_SECRET_KEY_GEN))
                .putTemplate(Cka.CKA_VALUE_LEN, number(32))
                .putTemplate(Cka.CKA_SIGN, flag(true))
                .putTemplate(Cka.CKA_VERIFY, flag(true))
                .build());
    rsa =
        client.generateKeyPair(
            GenerateKeyPairRequest.newBuilder()
                .setMech(mech(Ckm.CKM_RSA_PKCS_KEY_PAIR_GEN))
                .putPubKeyTemplate(Cka.CKA_MODULUS_BITS, number(2048))
                .putPubKeyTemplate(Cka.CKA_PUBLIC_EXPONENT, number(65537))
                .build());
    ec =
        client.generateKeyPair(
            GenerateKeyPairRequest.newBuilder()
                .setMech(mech(Ckm.CKM_EC_KEY_PAIR_GEN))
                .putPubKeyTemplate(
                    Cka.CKA_EC_PARAMS, AttributeValue.newBuilder().setAttributeB(P256).build())
                .putPrivKeyTemplate(Cka.CKA_DERIVE, flag(true))
                .build());
  }

  @AfterAll
  void stop() {
    running.close();
  }

  /** How a client sends a key. */
  enum Form {
    BARE_BLOB_FIRST_CLIENTS,
    KEY_BLOB_ONLY,
    /** With all that a client could hope to be believed. */
    KEY_BLOB_THAT_LIES,
    BOTH_AND_EQUAL;

    ByteString bytes(ByteString blob) {
      return this == BARE_BLOB_FIRST_CLIENTS || this == BOTH_AND_EQUAL ? blob : ByteString.EMPTY;
    }

    KeyBlob keyBlob(ByteString blob) {
      return switch (this) {
        case BARE_BLOB_FIRST_CLIENTS -> KeyBlob.getDefaultInstance();
        case KEY_BLOB_ONLY, BOTH_AND_EQUAL -> KeyBlob.newBuilder().addKeyBlobs(blob).build();
        case KEY_BLOB_THAT_LIES -> lying(blob);
      };
    }
  }

  private static KeyBlob lying(ByteString blob) {
    var lie = KeyBlob.newBuilder();
    for (long flag :
        new long[] {
          Cka.CKA_ENCRYPT, Cka.CKA_DECRYPT, Cka.CKA_SIGN, Cka.CKA_VERIFY, Cka.CKA_WRAP,
          Cka.CKA_UNWRAP, Cka.CKA_DERIVE, Cka.CKA_EXTRACTABLE, Cka.CKA_MODIFIABLE, Cka.CKA_TRUSTED
        }) {
      lie.putAttributes(flag, flag(true));
    }
    return lie.putAttributes(Cka.CKA_SENSITIVE, flag(false))
        .putAttributes(Cka.CKA_CLASS, number(Cko.CKO_PRIVATE_KEY))
        .putAttributes(Cka.CKA_KEY_TYPE, number(Ckk.CKK_RSA))
        .setVersion(Long.MAX_VALUE)
        .setTxID(ByteString.copyFromUtf8(UUID.randomUUID().toString()))
        .setKeyBlobID(ByteString.copyFrom(new byte[3]))
        .addKeyBlobs(blob)
        .addKeyBlobs(ByteString.copyFromUtf8("a second blob, which nobody reads"))
        .build();
  }

  @ParameterizedTest
  @EnumSource
  void encryptAndDecrypt(Form form) {
    var ciphered = client.encryptSingle(encrypt(form)).getCiphered();

    assertThat(ciphered)
        .isEqualTo(client.encryptSingle(encrypt(Form.BARE_BLOB_FIRST_CLIENTS)).getCiphered());
    assertThat(
            client
                .decryptSingle(
                    DecryptSingleRequest.newBuilder()
                        .setMech(cbc())
                        .setKeyBytes(form.bytes(aes.getKeyBytes()))
                        .setKey(form.keyBlob(aes.getKeyBytes()))
                        .setCiphered(ciphered)
                        .build())
                .getPlain())
        .isEqualTo(DATA);
  }

  private EncryptSingleRequest encrypt(Form form) {
    return EncryptSingleRequest.newBuilder()
        .setMech(cbc())
        .setKeyBytes(form.bytes(aes.getKeyBytes()))
        .setKey(form.keyBlob(aes.getKeyBytes()))
        .setPlain(DATA)
        .build();
  }

  @ParameterizedTest
  @EnumSource
  void reencrypt(Form form) {
    assertThat(reencrypted(form)).isEqualTo(reencrypted(Form.BARE_BLOB_FIRST_CLIENTS));
  }

  private ByteString reencrypted(Form form) {
    return client
        .reencryptSingle(
            ReencryptSingleRequest.newBuilder()
                .setDecMech(cbc())
                .setEncMech(cbc())
                .setDecKeyBytes(form.bytes(aes.getKeyBytes()))
                .setDecKey(form.keyBlob(aes.getKeyBytes()))
                .setEncKeyBytes(form.bytes(other.getKeyBytes()))
                .setEncKey(form.keyBlob(other.getKeyBytes()))
                .setCiphered(
                    client.encryptSingle(encrypt(Form.BARE_BLOB_FIRST_CLIENTS)).getCiphered())
                .build())
        .getReciphered();
  }

  @ParameterizedTest
  @EnumSource
  void signAndVerify(Form form) {
    for (var row :
        Map.of(
                Ckm.CKM_SHA256_RSA_PKCS,
                new ByteString[] {rsa.getPrivKeyBytes(), rsa.getPubKeyBytes()},
                Ckm.CKM_SHA256_HMAC,
                new ByteString[] {hmac.getKeyBytes(), hmac.getKeyBytes()},
                Ckm.CKM_AES_CMAC,
                new ByteString[] {aes.getKeyBytes(), aes.getKeyBytes()})
            .entrySet()) {
      var signature = sign(form, row.getKey(), row.getValue()[0]);
      assertThat(signature)
          .isEqualTo(sign(Form.BARE_BLOB_FIRST_CLIENTS, row.getKey(), row.getValue()[0]));
      assertThatCode(() ->
              client.verifySingle(
                  VerifySingleRequest.newBuilder()
                      .setMech(mech(row.getKey()))
                      .setPubKeyBytes(form.bytes(row.getValue()[1]))
                      .setPubKey(form.keyBlob(row.getValue()[1]))
                      .setData(DATA)
                      .setSignature(signature)
                      .build()))
          .doesNotThrowAnyException();
    }
  }

  private ByteString sign(Form form, long mechanism, ByteString key) {
    return client
        .signSingle(
            SignSingleRequest.newBuilder()
                .setMech(mech(mechanism))
                .setPrivKeyBytes(form.bytes(key))
                .setPrivKey(form.keyBlob(key))
                .setData(DATA)
                .build())
        .getSignature();
  }

  @ParameterizedTest
  @EnumSource
  void wrapAndUnwrap(Form form) {
    var wrapped = wrap(form);
    assertThat(wrapped).isEqualTo(wrap(Form.BARE_BLOB_FIRST_CLIENTS));

    var unwrapped =
        client.unwrapKey(
            UnwrapKeyRequest.newBuilder()
                .setMech(mech(Ckm.CKM_AES_KEY_WRAP))
                .setKeKBytes(form.bytes(other.getKeyBytes()))
                .setKeK(form.keyBlob(other.getKeyBytes()))
                .setWrapped(wrapped)
                .putTemplate(Cka.CKA_CLASS, number(Cko.CKO_SECRET_KEY))
                .putTemplate(Cka.CKA_KEY_TYPE, number(Ckk.CKK_AES))
                .putTemplate(Cka.CKA_ENCRYPT, flag(true))
                .build());

    assertThat(unwrapped.getCheckSum().substring(0, 3)).isEqualTo(aes.getCheckSum());
    assertBothForms(unwrapped.getUnwrappedBytes(), unwrapped.getUnwrapped());
  }

  @ParameterizedTest
  @EnumSource
  void wrapAndUnwrapWithAMacKey(Form form) {
    var macKey =
        client
            .generateKey(
                GenerateKeyRequest.newBuilder()
                    .setMech(mech(Ckm.CKM_GENERIC_SECRET_KEY_GEN))
                    .putTemplate(Cka.CKA_VALUE_LEN, number(16))
                    .putTemplate(Cka.CKA_IBM_ATTRBOUND, flag(true))
                    .build())
            .getKeyBytes();
    var kek = bound(Cka.CKA_WRAP, Cka.CKA_UNWRAP).getKeyBytes();
    var key = bound(Cka.CKA_EXTRACTABLE);
    var wrapped =
        client
            .wrapKey(
                WrapKeyRequest.newBuilder()
                    .setMech(mech(Ckm.CKM_IBM_ATTRIBUTEBOUND_WRAP))
                    .setKeyBytes(form.bytes(key.getKeyBytes()))
                    .setKey(form.keyBlob(key.getKeyBytes()))
                    .setKeKBytes(form.bytes(kek))
                    .setKeK(form.keyBlob(kek))
                    .setMacKeyBytes(form.bytes(macKey))
                    .setMacKey(form.keyBlob(macKey))
                    .build())
            .getWrapped();
    var unwrapped =
        client.unwrapKey(
            UnwrapKeyRequest.newBuilder()
                .setMech(mech(Ckm.CKM_IBM_ATTRIBUTEBOUND_WRAP))
                .setKeKBytes(form.bytes(kek))
                .setKeK(form.keyBlob(kek))
                .setMacKeyBytes(form.bytes(macKey))
                .setMacKey(form.keyBlob(macKey))
                .setWrapped(wrapped)
                .putTemplate(Cka.CKA_KEY_TYPE, number(Ckk.CKK_AES))
                .build());
    assertThat(unwrapped.getCheckSum().substring(0, 3)).isEqualTo(key.getCheckSum());
    assertBothForms(unwrapped.getUnwrappedBytes(), unwrapped.getUnwrapped());
  }

  private GenerateKeyResponse bound(long... flags) {
    var request =
        GenerateKeyRequest.newBuilder()
            .setMech(mech(Ckm.CKM_AES_KEY_GEN))
            .putTemplate(Cka.CKA_VALUE_LEN, number(32))
            .putTemplate(Cka.CKA_IBM_ATTRBOUND, flag(true));
    for (long flag : flags) {
      request.putTemplate(flag, flag(true));
    }
    return client.generateKey(request.build());
  }

  private ByteString wrap(Form form) {
    return client
        .wrapKey(
            WrapKeyRequest.newBuilder()
                .setMech(mech(Ckm.CKM_AES_KEY_WRAP))
                .setKeyBytes(form.bytes(aes.getKeyBytes()))
                .setKey(form.keyBlob(aes.getKeyBytes()))
                .setKeKBytes(form.bytes(other.getKeyBytes()))
                .setKeK(form.keyBlob(other.getKeyBytes()))
                .build())
        .getWrapped();
  }

  @ParameterizedTest
  @EnumSource
  void derive(Form form) {
    var derived = derived(form);

    assertThat(derived.getCheckSum()).hasSize(3);
    assertThat(derived.getCheckSum())
        .isEqualTo(derived(Form.BARE_BLOB_FIRST_CLIENTS).getCheckSum());
    assertBothForms(derived.getNewKeyBytes(), derived.getNewKey());
  }

  private DeriveKeyResponse derived(Form form) {
    var point =
        SubjectPublicKeyInfo.getInstance(firstObject(ec.getPubKeyBytes().toByteArray()))
            .getPublicKeyData()
            .getBytes();
    return client.deriveKey(
        DeriveKeyRequest.newBuilder()
            .setMech(
                mech(Ckm.CKM_ECDH1_DERIVE).toBuilder()
                    .setECDH1DeriveParameter(
                        ECDH1DeriveParm.newBuilder()
                            .setKdf(ECDH1DeriveParm.KeyDerivationFunction.CkdNull)
                            .setPublicData(ByteString.copyFrom(point))))
            .setBaseKeyBytes(form.bytes(ec.getPrivKeyBytes()))
            .setBaseKey(form.keyBlob(ec.getPrivKeyBytes()))
            .putTemplate(Cka.CKA_CLASS, number(Cko.CKO_SECRET_KEY))
            .putTemplate(Cka.CKA_KEY_TYPE, number(Ckk.CKK_AES))
            .putTemplate(Cka.CKA_VALUE_LEN, number(32))
            .putTemplate(Cka.CKA_ENCRYPT, flag(true))
            .build());
  }

  private static byte[] firstObject(byte[] blob) {
    try (var in = new org.bouncycastle.asn1.ASN1InputStream(blob)) {
      return in.readObject().getEncoded();
    } catch (java.io.IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  @ParameterizedTest
  @EnumSource
  void rewrapReadsItsKeyToo(Form form) {
    assertThatThrownBy(() ->
            client.rewrapKeyBlob(
                RewrapKeyBlobRequest.newBuilder()
                    .setWrappedKeyBytes(form.bytes(aes.getKeyBytes()))
                    .setWrappedKey(form.keyBlob(aes.getKeyBytes()))
                    .build()))
        .hasMessageContaining("CKR_IBM_WK_NOT_INITIALIZED");
  }

  @Test
  void newKeysAreTheSameInBothForms() {
    assertBothForms(aes.getKeyBytes(), aes.getKey());
    assertBothForms(rsa.getPrivKeyBytes(), rsa.getPrivKey());
    assertBothForms(rsa.getPubKeyBytes(), rsa.getPubKey());
  }

  private static void assertBothForms(ByteString bytes, KeyBlob keyBlob) {
    assertThat(bytes.isEmpty()).isFalse();
    assertThat(keyBlob.getKeyBlobsList()).containsExactly(bytes);
    assertThat(keyBlob.getAttributesMap()).isNotEmpty();
    assertThat(keyBlob.getKeyBlobID()).hasSize(16);
  }

  @Test
  void attributesThatAClientWritesIntoAKeyBlobGiveNoRight() {
    var poor =
        client.generateKey(
            GenerateKeyRequest.newBuilder()
                .setMech(mech(Ckm.CKM_AES_KEY_GEN))
                .putTemplate(Cka.CKA_VALUE_LEN, number(32))
                .putTemplate(Cka.CKA_ENCRYPT, flag(false))
                .putTemplate(Cka.CKA_EXTRACTABLE, flag(false))
                .build());
    var lie = lying(poor.getKeyBytes());

    assertCode(
        Ckr.CKR_KEY_FUNCTION_NOT_PERMITTED,
        () ->
            client.encryptSingle(
                EncryptSingleRequest.newBuilder()
                    .setMech(cbc())
                    .setKey(lie)
                    .setPlain(DATA)
                    .build()));
    assertCode(
        Ckr.CKR_KEY_UNEXTRACTABLE,
        () ->
            client.wrapKey(
                WrapKeyRequest.newBuilder()
                    .setMech(mech(Ckm.CKM_AES_KEY_WRAP))
                    .setKey(lie)
                    .setKeK(other.getKey())
                    .build()));
    var told =
        client.getAttributeValue(
            GetAttributeValueRequest.newBuilder()
                .setObject(lie.getKeyBlobs(0))
                .putAttributes(Cka.CKA_EXTRACTABLE, flag(true))
                .build());
    assertThat(told.getAttributesMap())
        .containsExactly(Map.entry(Cka.CKA_EXTRACTABLE, flag(false)));
  }

  @Test
  void twoDifferentKeysInOneRoleAreRefused() {
    assertCode(
        Ckr.CKR_ARGUMENTS_BAD,
        () ->
            client.encryptSingle(
                EncryptSingleRequest.newBuilder()
                    .setMech(cbc())
                    .setKeyBytes(aes.getKeyBytes())
                    .setKey(other.getKey())
                    .setPlain(DATA)
                    .build()));
  }

  static void assertCode(long code, org.assertj.core.api.ThrowableAssert.ThrowingCallable call) {
    assertThatThrownBy(call)
        .isInstanceOfSatisfying(
            StatusRuntimeException.class,
            refusal ->
                assertThat(Ckr.name(RunningGateway.detail(refusal).getCode()))
                    .isEqualTo(Ckr.name(code)));
  }

  private GenerateKeyResponse aes() {
    return client.generateKey(
        GenerateKeyRequest.newBuilder()
            .setMech(mech(Ckm.CKM_AES_KEY_GEN))
            .putTemplate(Cka.CKA_VALUE_LEN, number(32))
            .putTemplate(Cka.CKA_EXTRACTABLE, flag(true))
            .putTemplate(Cka.CKA_WRAP, flag(true))
            .putTemplate(Cka.CKA_UNWRAP, flag(true))
            .build());
  }

  private static Mechanism cbc() {
    return mech(Ckm.CKM_AES_CBC).toBuilder()
        .setParameterB(ByteString.copyFrom("sixteen bytes IV", UTF_8))
        .build();
  }

  private static Mechanism mech(long number) {
    return Mechanism.newBuilder().setMechanism(number).build();
  }

  private static AttributeValue number(long value) {
    return AttributeValue.newBuilder().setAttributeI(value).build();
  }

  private static AttributeValue flag(boolean value) {
    return AttributeValue.newBuilder().setAttributeTF(value).build();
  }
}
