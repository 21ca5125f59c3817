package dev.grep11.gateway;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import dev.grep11.gateway.hsm.LentBuffer;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.proto.CryptoGrpc.CryptoBlockingStub;
import dev.grep11.proto.DecryptFinalRequest;
import dev.grep11.proto.DecryptInitRequest;
import dev.grep11.proto.DecryptRequest;
import dev.grep11.proto.DecryptUpdateRequest;
import dev.grep11.proto.DigestFinalRequest;
import dev.grep11.proto.DigestInitRequest;
import dev.grep11.proto.DigestRequest;
import dev.grep11.proto.DigestUpdateRequest;
import dev.grep11.proto.EncryptFinalRequest;
import dev.grep11.proto.EncryptInitRequest;
import dev.grep11.proto.EncryptRequest;
import dev.grep11.proto.EncryptUpdateRequest;
import dev.grep11.proto.GenerateKeyPairRequest;
import dev.grep11.proto.GenerateKeyPairResponse;
import dev.grep11.proto.Mechanism;
import dev.grep11.proto.SignFinalRequest;
import dev.grep11.proto.SignInitRequest;
import dev.grep11.proto.SignRequest;
import dev.grep11.proto.SignUpdateRequest;
import dev.grep11.proto.VerifyFinalRequest;
import dev.grep11.proto.VerifyInitRequest;
import dev.grep11.proto.VerifyRequest;
import dev.grep11.proto.VerifyUpdateRequest;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Parts that lie outside the heap, and are as good as one part. */
class LongPartsTest {
  /** Both halves are long, and none is of whole blocks. */
  private static final ByteString DATA = random(300_001);

  private static final ByteString FIRST = DATA.substring(0, 100_003);
  private static final ByteString SECOND = DATA.substring(FIRST.size());

  private static ByteString random(int length) {
    var bytes = new byte[length];
    new Random(length).nextBytes(bytes);
    return ByteString.copyFrom(bytes);
  }

  @Test
  void longPartsGiveWhatOnePartGives(@TempDir Path directory) throws Exception {
    try (var running = RunningGateway.start(directory)) {
      var client = running.client();
      digests(client);
      encryptsAndDecrypts(client, RunningGateway.aesKey(client));
      signsAndVerifies(client, rsaPair(client));

      await().untilAsserted(() -> assertThat(LentBuffer.lent()).isZero());
    }
  }

  private static void digests(CryptoBlockingStub client) throws Exception {
    var init =
        client
            .digestInit(
                DigestInitRequest.newBuilder()
                    .setMech(RunningGateway.mechanism(Ckm.CKM_SHA256))
                    .build())
            .getState();
    var expected =
        ByteString.copyFrom(MessageDigest.getInstance("SHA-256").digest(DATA.toByteArray()));

    var state = init;
    for (var part : new ByteString[] {FIRST, SECOND}) {
      state =
          client
              .digestUpdate(DigestUpdateRequest.newBuilder().setState(state).setData(part).build())
              .getState();
    }

    assertThat(
            client.digestFinal(DigestFinalRequest.newBuilder().setState(state).build()).getDigest())
        .isEqualTo(expected);
    assertThat(
            client
                .digest(DigestRequest.newBuilder().setState(init).setData(DATA).build())
                .getDigest())
        .isEqualTo(expected);
  }

  private static void encryptsAndDecrypts(CryptoBlockingStub client, ByteString key) {
    var cbc = RunningGateway.cbcPad();
    var ciphered = RunningGateway.encrypt(client, key, DATA);
    var init =
        client
            .encryptInit(EncryptInitRequest.newBuilder().setMech(cbc).setKeyBytes(key).build())
            .getState();

    assertThat(
            client
                .encrypt(EncryptRequest.newBuilder().setState(init).setPlain(DATA).build())
                .getCiphered())
        .isEqualTo(ciphered);
    var parts = ByteString.EMPTY;
    var state = init;
    for (var part : new ByteString[] {FIRST, SECOND}) {
      var update =
          client.encryptUpdate(
              EncryptUpdateRequest.newBuilder().setState(state).setPlain(part).build());
      state = update.getState();
      parts = parts.concat(update.getCiphered());
    }
    var last =
        client.encryptFinal(EncryptFinalRequest.newBuilder().setState(state).build()).getCiphered();
    assertThat(parts.concat(last)).isEqualTo(ciphered);

    decrypts(client, key, cbc, ciphered);
  }

  private static void decrypts(
      CryptoBlockingStub client, ByteString key, Mechanism cbc, ByteString ciphered) {
    var init =
        client
            .decryptInit(DecryptInitRequest.newBuilder().setMech(cbc).setKeyBytes(key).build())
            .getState();

    assertThat(
            client
                .decrypt(DecryptRequest.newBuilder().setState(init).setCiphered(ciphered).build())
                .getPlain())
        .isEqualTo(DATA);
    var parts = ByteString.EMPTY;
    var state = init;
    for (var part :
        new ByteString[] {ciphered.substring(0, FIRST.size()), ciphered.substring(FIRST.size())}) {
      var update =
          client.decryptUpdate(
              DecryptUpdateRequest.newBuilder().setState(state).setCiphered(part).build());
      state = update.getState();
      parts = parts.concat(update.getPlain());
    }
    var last =
        client.decryptFinal(DecryptFinalRequest.newBuilder().setState(state).build()).getPlain();
    assertThat(parts.concat(last)).isEqualTo(DATA);
  }

  /** RSA PKCS #1 v1.5 signs alike each time. */
  private static void signsAndVerifies(CryptoBlockingStub client, GenerateKeyPairResponse pair) {
    var mechanism = RunningGateway.mechanism(Ckm.CKM_SHA256_RSA_PKCS);
    var init =
        client
            .signInit(
                SignInitRequest.newBuilder()
                    .setMech(mechanism)
                    .setPrivKeyBytes(pair.getPrivKeyBytes())
                    .build())
            .getState();
    var signature =
        client.sign(SignRequest.newBuilder().setState(init).setData(DATA).build()).getSignature();

    var state = init;
    for (var part : new ByteString[] {FIRST, SECOND}) {
      state =
          client
              .signUpdate(SignUpdateRequest.newBuilder().setState(state).setData(part).build())
              .getState();
    }
    assertThat(
            client.signFinal(SignFinalRequest.newBuilder().setState(state).build()).getSignature())
        .isEqualTo(signature);
    verifies(client, mechanism, pair.getPubKeyBytes(), signature);
  }

  private static void verifies(
      CryptoBlockingStub client, Mechanism mechanism, ByteString key, ByteString signature) {
    var init =
        client
            .verifyInit(
                VerifyInitRequest.newBuilder().setMech(mechanism).setPubKeyBytes(key).build())
            .getState();
    var whole = VerifyRequest.newBuilder().setState(init).setSignature(signature);

    assertThatCode(() -> client.verify(whole.setData(DATA).build())).doesNotThrowAnyException();
    assertThatCode(() -> client.verify(whole.setData(FIRST).build()))
        .hasMessageContaining("CKR_SIGNATURE_INVALID");
    var state = init;
    for (var part : new ByteString[] {FIRST, SECOND}) {
      state =
          client
              .verifyUpdate(VerifyUpdateRequest.newBuilder().setState(state).setData(part).build())
              .getState();
    }
    var end = VerifyFinalRequest.newBuilder().setState(state).setSignature(signature).build();
    assertThatCode(() -> client.verifyFinal(end)).doesNotThrowAnyException();
  }

  private static GenerateKeyPairResponse rsaPair(CryptoBlockingStub client) {
    return client.generateKeyPair(
        GenerateKeyPairRequest.newBuilder()
            .setMech(RunningGateway.mechanism(Ckm.CKM_RSA_PKCS_KEY_PAIR_GEN))
            .putPubKeyTemplate(Cka.CKA_MODULUS_BITS, RunningGateway.number(2048))
            .putPubKeyTemplate(Cka.CKA_VERIFY, RunningGateway.flag(true))
            .putPrivKeyTemplate(Cka.CKA_SIGN, RunningGateway.flag(true))
            .build());
  }
}
