package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.aesKey;
import static dev.grep11.gateway.RunningGateway.cbcPad;
import static dev.grep11.gateway.RunningGateway.detail;
import static dev.grep11.gateway.RunningGateway.mechanism;
import static dev.grep11.gateway.RunningGateway.number;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import dev.grep11.gateway.key.StateSealer;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.proto.AESGCMParm;
import dev.grep11.proto.CryptoGrpc.CryptoBlockingStub;
import dev.grep11.proto.DecryptFinalRequest;
import dev.grep11.proto.DecryptInitRequest;
import dev.grep11.proto.DecryptUpdateRequest;
import dev.grep11.proto.DigestFinalRequest;
import dev.grep11.proto.DigestInitRequest;
import dev.grep11.proto.DigestKeyRequest;
import dev.grep11.proto.DigestSingleRequest;
import dev.grep11.proto.DigestUpdateRequest;
import dev.grep11.proto.EncryptFinalRequest;
import dev.grep11.proto.EncryptInitRequest;
import dev.grep11.proto.EncryptUpdateRequest;
import dev.grep11.proto.GenerateKeyRequest;
import dev.grep11.proto.KeyBlob;
import dev.grep11.proto.Mechanism;
import dev.grep11.proto.SignFinalRequest;
import dev.grep11.proto.SignInitRequest;
import dev.grep11.proto.SignSingleRequest;
import dev.grep11.proto.SignUpdateRequest;
import dev.grep11.proto.VerifyFinalRequest;
import dev.grep11.proto.VerifyInitRequest;
import dev.grep11.proto.VerifyUpdateRequest;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What a running gateway makes of operations in parts that no honest client has: states that it
 * never gave, states in the wrong place, and very many parts.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class StatesTest {
  private static final int MIB = 1 << 20;
  private static final int BUFFERED_BYTES = 4096;
  private static final ByteString ONE = ByteString.copyFrom(new byte[] {'x'});
  private static final ByteString DATA = ByteString.copyFromUtf8("some data of 27 bytes' size");

  private RunningGateway running;
  private CryptoBlockingStub client;
  private ByteString aes;
  private ByteString secret;

  @BeforeAll
  void start(@TempDir Path parent) throws Exception {
    running = RunningGateway.start(parent.resolve("demo"));
    client = client();
    aes = aesKey(client);
    secret =
        client
            .generateKey(
                GenerateKeyRequest.newBuilder()
                    .setMech(mechanism(Ckm.CKM_GENERIC_SECRET_KEY_GEN))
                    .putTemplate(Cka.CKA_VALUE_LEN, number(64))
                    .build())
            .getKeyBytes();
  }

  @AfterAll
  void stop() {
    running.close();
  }

  /** Of the manager, with time for the longest test. */
  private CryptoBlockingStub client() throws IOException {
    return running.client().withDeadlineAfter(30, TimeUnit.MINUTES);
  }

  /** The five functions by the same three calls. */
  enum Function {
    DIGEST {
      @Override
      ByteString begin(CryptoBlockingStub stub, Mechanism mechanism, ByteString key) {
        return stub.digestInit(DigestInitRequest.newBuilder().setMech(mechanism).build())
            .getState();
      }

      @Override
      Step update(CryptoBlockingStub stub, ByteString state, ByteString data) {
        return new Step(
            stub.digestUpdate(
                    DigestUpdateRequest.newBuilder().setState(state).setData(data).build())
                .getState(),
            ByteString.EMPTY);
      }

      @Override
      ByteString finish(CryptoBlockingStub stub, ByteString state) {
        return stub.digestFinal(DigestFinalRequest.newBuilder().setState(state).build())
            .getDigest();
      }
    },
    ENCRYPT {
      @Override
      ByteString begin(CryptoBlockingStub stub, Mechanism mechanism, ByteString key) {
        return stub.encryptInit(
                EncryptInitRequest.newBuilder().setMech(mechanism).setKeyBytes(key).build())
            .getState();
      }

      @Override
      Step update(CryptoBlockingStub stub, ByteString state, ByteString data) {
        var answer =
            stub.encryptUpdate(
                EncryptUpdateRequest.newBuilder().setState(state).setPlain(data).build());
        return new Step(answer.getState(), answer.getCiphered());
      }

      @Override
      ByteString finish(CryptoBlockingStub stub, ByteString state) {
        return stub.encryptFinal(EncryptFinalRequest.newBuilder().setState(state).build())
            .getCiphered();
      }
    },
    DECRYPT {
      @Override
      ByteString begin(CryptoBlockingStub stub, Mechanism mechanism, ByteString key) {
        return stub.decryptInit(
                DecryptInitRequest.newBuilder().setMech(mechanism).setKeyBytes(key).build())
            .getState();
      }

      @Override
      Step update(CryptoBlockingStub stub, ByteString state, ByteString data) {
        var answer =
            stub.decryptUpdate(
                DecryptUpdateRequest.newBuilder().setState(state).setCiphered(data).build());
        return new Step(answer.getState(), answer.getPlain());
      }

      @Override
      ByteString finish(CryptoBlockingStub stub, ByteString state) {
        return stub.decryptFinal(DecryptFinalRequest.newBuilder().setState(state).build())
            .getPlain();
      }
    },
    SIGN {
      @Override
      ByteString begin(CryptoBlockingStub stub, Mechanism mechanism, ByteString key) {
        return stub.signInit(
                SignInitRequest.newBuilder().setMech(mechanism).setPrivKeyBytes(key).build())
            .getState();
      }

      @Override
      Step update(CryptoBlockingStub stub, ByteString state, ByteString data) {
        return new Step(
            stub.signUpdate(SignUpdateRequest.newBuilder().setState(state).setData(data).build())
                .getState(),
            ByteString.EMPTY);
      }

      @Override
      ByteString finish(CryptoBlockingStub stub, ByteString state) {
        return stub.signFinal(SignFinalRequest.newBuilder().setState(state).build()).getSignature();
      }
    },
    VERIFY {
      @Override
      ByteString begin(CryptoBlockingStub stub, Mechanism mechanism, ByteString key) {
        return stub.verifyInit(
                VerifyInitRequest.newBuilder().setMech(mechanism).setPubKeyBytes(key).build())
            .getState();
      }

      @Override
      Step update(CryptoBlockingStub stub, ByteString state, ByteString data) {
        return new Step(
            stub.verifyUpdate(
                    VerifyUpdateRequest.newBuilder().setState(state).setData(data).build())
                .getState(),
            ByteString.EMPTY);
      }

      @Override
      ByteString finish(CryptoBlockingStub stub, ByteString state) {
        stub.verifyFinal(
            VerifyFinalRequest.newBuilder()
                .setState(state)
                .setSignature(ByteString.copyFrom(new byte[32]))
                .build());
        return ByteString.EMPTY;
      }
    };

    abstract ByteString begin(CryptoBlockingStub stub, Mechanism mechanism, ByteString key);

    abstract Step update(CryptoBlockingStub stub, ByteString state, ByteString data);

    abstract ByteString finish(CryptoBlockingStub stub, ByteString state);
  }

  record Step(ByteString state, ByteString output) {}

  /** A state that has taken some data. */
  private ByteString begun(Function function) {
    return function.update(client, first(function), DATA).state();
  }

  private ByteString first(Function function) {
    return switch (function) {
      case DIGEST -> function.begin(client, mechanism(Ckm.CKM_SHA256), ByteString.EMPTY);
      case ENCRYPT, DECRYPT -> function.begin(client, cbcPad(), aes);
      case SIGN, VERIFY -> function.begin(client, mechanism(Ckm.CKM_SHA256_HMAC), secret);
    };
  }

  // ---- No state, no key

  @ParameterizedTest
  @EnumSource
  void withoutAnInitThereIsNoUpdateAndNoFinal(Function function) {
    assertRefused(
        Ckr.CKR_OPERATION_NOT_INITIALIZED, () -> function.update(client, ByteString.EMPTY, DATA));
    assertRefused(
        Ckr.CKR_OPERATION_NOT_INITIALIZED, () -> function.finish(client, ByteString.EMPTY));
  }

  @ParameterizedTest
  @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "DIGEST")
  void withoutAKeyThereIsNoInit(Function function) {
    var mechanism =
        switch (function) {
          case DIGEST, ENCRYPT, DECRYPT -> cbcPad();
          case SIGN, VERIFY -> mechanism(Ckm.CKM_SHA256_HMAC);
        };
    assertRefused(
        Ckr.CKR_KEY_HANDLE_INVALID, () -> function.begin(client, mechanism, ByteString.EMPTY));
  }

  // ---- States in the wrong place, and what is no state

  private static Stream<Arguments> twoFunctions() {
    return Stream.of(Function.values())
        .flatMap(of ->
            Stream.of(Function.values()).filter(at -> at != of).map(at -> Arguments.of(of, at)));
  }

  @ParameterizedTest
  @MethodSource("twoFunctions")
  void aStateIsOfOneFunctionOnly(Function of, Function at) {
    var state = begun(of);

    assertRefused(Ckr.CKR_SAVED_STATE_INVALID, () -> at.update(client, state, DATA));
    assertRefused(Ckr.CKR_SAVED_STATE_INVALID, () -> at.finish(client, state));
  }

  /** Offset of the format number: another one is that of another version. */
  private static final int FORMAT = 4;

  @ParameterizedTest
  @EnumSource
  void everyFlippedByteIsNoticed(Function function) {
    var state = begun(function);
    for (int i = 0; i < state.size(); i++) {
      var flipped = state.toByteArray();
      flipped[i] ^= (byte) (1 << i % 8);
      var altered = ByteString.copyFrom(flipped);
      assertThat(refusal(() -> function.finish(client, altered)))
          .as("byte %d of %d", i, state.size())
          .isEqualTo(i == FORMAT ? "CKR_SAVED_STATE_INVALID" : "CKR_IBM_BLOB_ERROR");
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"DIGEST", "ENCRYPT"})
  void everyOtherLengthIsNoticed(Function function) {
    var state = begun(function);
    for (int length = 1; length < state.size(); length++) {
      var cut = state.substring(0, length);
      assertThat(refusal(() -> function.finish(client, cut)))
          .as("%d of %d bytes", length, state.size())
          .isEqualTo("CKR_IBM_BLOB_ERROR");
    }
    for (int more : new int[] {1, 16, StateSealer.MAX_LENGTH, MIB}) {
      var extended = state.concat(ByteString.copyFrom(new byte[more]));
      assertRefused(Ckr.CKR_IBM_BLOB_ERROR, () -> function.finish(client, extended));
    }
  }

  @Test
  void twoStatesCannotBeJoined() {
    var one = begun(Function.ENCRYPT);
    var other = begun(Function.ENCRYPT);
    int header = dev.grep11.gateway.key.StateHeader.LENGTH;

    assertRefused(
        Ckr.CKR_IBM_BLOB_ERROR,
        () ->
            Function.ENCRYPT.finish(
                client, one.substring(0, header).concat(other.substring(header))));
  }

  @Test
  void aKeyBlobIsNoStateAndAStateIsNoKey() {
    assertRefused(Ckr.CKR_IBM_BLOB_ERROR, () -> Function.ENCRYPT.update(client, aes, DATA));
    assertRefused(
        Ckr.CKR_IBM_BLOB_ERROR,
        () -> Function.ENCRYPT.begin(client, cbcPad(), begun(Function.ENCRYPT)));
  }

  // ---- Large parts, many parts

  @ParameterizedTest
  @EnumSource
  void aPartOfSixtyFiveMebibytesIsTooMuchAndTheStateStaysGood(Function function) {
    var state = first(function);
    var data = ByteString.copyFrom(new byte[65 * MIB]);

    var failure =
        catchThrowableOfType(
            StatusRuntimeException.class, () -> function.update(client, state, data));

    assertThat(failure.getStatus().getCode()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
    assertThat(function.update(client, state, DATA).state().isEmpty()).isFalse();
  }

  @Test
  void aPartOfSixtyMebibytesIsTaken() {
    var data = ByteString.copyFrom(new byte[60 * MIB]);

    var digested = Function.DIGEST.update(client, first(Function.DIGEST), data);
    var encrypted = Function.ENCRYPT.update(client, first(Function.ENCRYPT), data);

    assertThat(Function.DIGEST.finish(client, digested.state())).isEqualTo(sha256(data));
    assertThat(encrypted.output().size()).isEqualTo(60 * MIB);
  }

  @Test
  void twoThousandPartsOfOneByteCostNothingThatStays() throws Exception {
    manyParts(2_000);
  }

  @Test
  @Tag("long")
  void aHundredThousandPartsOfOneByteCostNothingThatStays() throws Exception {
    manyParts(100_000);
  }

  /** A digest and an encryption, side by side. */
  private void manyParts(int parts) throws Exception {
    var data =
        ByteString.copyFrom("x".repeat(parts).getBytes(java.nio.charset.StandardCharsets.UTF_8));
    int warm = parts / 10;
    byParts(Function.DIGEST, client, warm);
    byParts(Function.ENCRYPT, client, warm);
    var sessions = running.calls.openSessions();
    var objects = running.calls.objects();
    long heap = heap();
    // As small as it gets within a second: from more it would be easier to stay within the bound.
    long outside = settledOutsideHeap();

    try (var threads = Executors.newVirtualThreadPerTaskExecutor()) {
      var digest = threads.submit(ofParts(Function.DIGEST, parts));
      var encrypted = threads.submit(ofParts(Function.ENCRYPT, parts));
      assertThat(digest.get()).isEqualTo(sha256(data));
      assertThat(encrypted.get()).isEqualTo(RunningGateway.encrypt(client, aes, data));
    }

    assertThat(running.calls.openSessions()).isEqualTo(sessions);
    assertThat(running.calls.objects()).isEqualTo(objects);
    assertThat(heap() - heap).as("bytes of heap more").isLessThan(16L * MIB);
    // What a collection takes from the heap goes back to the system some time after it.
    await()
        .atMost(Duration.ofSeconds(30))
        .untilAsserted(() ->
            assertThat(outsideHeap() - outside)
                .as("bytes outside of the heap more")
                .isLessThan(96L * MIB));
  }

  private Callable<ByteString> ofParts(Function function, int parts) throws IOException {
    var own = client();
    return () -> byParts(function, own, parts);
  }

  /** The result of an operation on so many single bytes, whose states do not grow. */
  private ByteString byParts(Function function, CryptoBlockingStub stub, int parts)
      throws IOException {
    var state = first(function);
    var output = ByteString.newOutput();
    int largest = state.size() + 64;
    for (int i = 0; i < parts; i++) {
      var step = function.update(stub, state, ONE);
      state = step.state();
      assertThat(state.size()).isLessThanOrEqualTo(largest);
      step.output().writeTo(output);
    }
    return output.toByteString().concat(function.finish(stub, state));
  }

  private static long settledOutsideHeap() throws IOException, InterruptedException {
    long least = outsideHeap();
    for (int i = 0; i < 20; i++) {
      Thread.sleep(50);
      least = Math.min(least, outsideHeap());
    }
    return least;
  }

  private static long heap() {
    System.gc();
    return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
  }

  /** Of the process; the heap, which grows as it likes, is touched as soon as it is committed. */
  private static long outsideHeap() throws IOException {
    System.gc();
    return resident() - Runtime.getRuntime().totalMemory();
  }

  private static long resident() throws IOException {
    try (var lines = Files.lines(Path.of("/proc/self/status"))) {
      return lines
              .filter(line -> line.startsWith("VmRSS:"))
              .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")))
              .findFirst()
              .orElseThrow()
          * 1024;
    }
  }

  // ---- Kinds that wait in the state

  record Buffered(String name, Function function, Mechanism mechanism, boolean ofAes) {
    @Override
    public String toString() {
      return name;
    }
  }

  private static Stream<Buffered> buffered() {
    var gcm =
        mechanism(Ckm.CKM_AES_GCM).toBuilder()
            .setAESGCMParameter(AESGCMParm.newBuilder().setTagBits(128))
            .build();
    var hmac = mechanism(Ckm.CKM_SHA256_HMAC);
    var cmac = mechanism(Ckm.CKM_AES_CMAC);
    return Stream.of(
        new Buffered("sign with HMAC", Function.SIGN, hmac, false),
        new Buffered("verify with HMAC", Function.VERIFY, hmac, false),
        new Buffered("sign with CMAC", Function.SIGN, cmac, true),
        new Buffered("verify with CMAC", Function.VERIFY, cmac, true),
        new Buffered("encrypt with GCM", Function.ENCRYPT, gcm, true),
        new Buffered("decrypt with GCM", Function.DECRYPT, gcm, true));
  }

  /** However the bytes are cut: the limit counts bytes, not updates. */
  @ParameterizedTest
  @MethodSource("buffered")
  void takesFourKibibytesInPartsAndNamesTheOtherWayBeyondThem(Buffered kind) {
    var state = kind.function().begin(client, kind.mechanism(), kind.ofAes() ? aes : secret);
    for (int part = 0; part < 4; part++) {
      var quarter = ByteString.copyFrom(new byte[BUFFERED_BYTES / 4]);
      state = kind.function().update(client, state, quarter).state();
      assertThat(state.size()).isLessThanOrEqualTo(StateSealer.MAX_LENGTH);
    }
    var full = state;

    var refusal =
        catchThrowableOfType(
            StatusRuntimeException.class, () -> kind.function().update(client, full, ONE));

    assertThat(refusal.getStatus().getDescription())
        .isEqualTo(
            kind.function() == Function.DECRYPT
                ? "CKR_ENCRYPTED_DATA_LEN_RANGE"
                : "CKR_DATA_LEN_RANGE");
    assertThat(detail(refusal).getDetail()).contains("4096 bytes").contains("call for one part");
    assertThat(kind.function().update(client, full, ByteString.EMPTY).state().isEmpty()).isFalse();
  }

  @Test
  void whatWaitedInTheStateIsSignedAsAWhole() {
    var data = ByteString.copyFrom(new byte[BUFFERED_BYTES]);
    var hmac = mechanism(Ckm.CKM_SHA256_HMAC);
    var state = Function.SIGN.begin(client, hmac, secret);
    state = Function.SIGN.update(client, state, data.substring(0, 1000)).state();
    state = Function.SIGN.update(client, state, data.substring(1000)).state();

    assertThat(Function.SIGN.finish(client, state))
        .isEqualTo(
            client
                .signSingle(
                    SignSingleRequest.newBuilder()
                        .setMech(hmac)
                        .setPrivKeyBytes(secret)
                        .setData(data)
                        .build())
                .getSignature());
  }

  @Test
  void associatedDataThatLeavesNoRoomInTheStateIsRefused() {
    var gcm =
        mechanism(Ckm.CKM_AES_GCM).toBuilder()
            .setAESGCMParameter(
                AESGCMParm.newBuilder()
                    .setTagBits(128)
                    .setAad(ByteString.copyFrom(new byte[StateSealer.MAX_LENGTH])))
            .build();

    assertRefused(Ckr.CKR_STATE_UNSAVEABLE, () -> Function.ENCRYPT.begin(client, gcm, aes));
  }

  /** Semantics, section 1: under 1 KiB for digests. */
  @ParameterizedTest
  @ValueSource(
      longs = {
        Ckm.CKM_SHA_1,
        Ckm.CKM_SHA224,
        Ckm.CKM_SHA256,
        Ckm.CKM_SHA384,
        Ckm.CKM_SHA512,
        Ckm.CKM_SHA512_224,
        Ckm.CKM_SHA512_256,
        Ckm.CKM_IBM_SHA3_224,
        Ckm.CKM_IBM_SHA3_256,
        Ckm.CKM_IBM_SHA3_384,
        Ckm.CKM_IBM_SHA3_512
      })
  void theStateOfADigestIsShort(long digest) {
    var state = Function.DIGEST.begin(client, mechanism(digest), ByteString.EMPTY);
    for (int length : new int[] {1, 127, 1000}) {
      var data = ByteString.copyFrom(new byte[length]);
      state = Function.DIGEST.update(client, state, data).state();
      assertThat(state.size()).isLessThan(1024);
    }
  }

  @Test
  void aForkedStateGoesOnInBoth() {
    var state = begun(Function.ENCRYPT);
    var left = Function.ENCRYPT.update(client, state, DATA);
    var right = Function.ENCRYPT.update(client, state, ONE);

    assertThat(left.output().concat(Function.ENCRYPT.finish(client, left.state())))
        .isEqualTo(RunningGateway.encrypt(client, aes, DATA.concat(DATA)).substring(16));
    assertThat(right.output().concat(Function.ENCRYPT.finish(client, right.state())))
        .isEqualTo(RunningGateway.encrypt(client, aes, DATA.concat(ONE)).substring(16));
  }

  @Test
  void aKeyIsDigestedFromEitherFieldOfTheRequest() {
    var key =
        client
            .generateKey(
                GenerateKeyRequest.newBuilder()
                    .setMech(mechanism(Ckm.CKM_GENERIC_SECRET_KEY_GEN))
                    .putTemplate(Cka.CKA_VALUE_LEN, number(32))
                    .putTemplate(Cka.CKA_IBM_USE_AS_DATA, RunningGateway.flag(true))
                    .build())
            .getKeyBytes();
    var request = DigestKeyRequest.newBuilder().setState(first(Function.DIGEST));

    var byBytes = client.digestKey(request.clone().setKeyBytes(key).build()).getState();
    var byBlob =
        client
            .digestKey(
                request.clone().setKey(KeyBlob.newBuilder().addKeyBlobs(key).build()).build())
            .getState();

    assertThat(Function.DIGEST.finish(client, byBytes))
        .isEqualTo(Function.DIGEST.finish(client, byBlob))
        .isNotEqualTo(Function.DIGEST.finish(client, first(Function.DIGEST)));
  }

  private ByteString sha256(ByteString data) {
    return client
        .digestSingle(
            DigestSingleRequest.newBuilder()
                .setMech(mechanism(Ckm.CKM_SHA256))
                .setData(data)
                .build())
        .getDigest();
  }

  private static void assertRefused(
      long returnValue, org.assertj.core.api.ThrowableAssert.ThrowingCallable call) {
    assertThat(refusal(call)).isEqualTo(Ckr.name(returnValue));
  }

  private static String refusal(org.assertj.core.api.ThrowableAssert.ThrowingCallable call) {
    var refusal = catchThrowableOfType(StatusRuntimeException.class, call);
    assertThat(refusal).as("a refusal").isNotNull();
    assertThat(refusal.getStatus().getCode()).isEqualTo(Status.Code.UNKNOWN);
    assertThat(detail(refusal).getRetry()).isFalse();
    return Ckr.name(detail(refusal).getCode());
  }
}
