package dev.grep11.gateway.rpc;

import static dev.grep11.gateway.rpc.WireServer.GOOD;
import static dev.grep11.gateway.rpc.WireServer.WITHOUT_SIGN;
import static dev.grep11.gateway.rpc.WireServer.detail;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import com.google.protobuf.ByteString;
import dev.grep11.gateway.operation.Workload;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.HsmUnavailableException;
import dev.grep11.gateway.pkcs11.OverloadedException;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.proto.AttributeValue;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.EncryptSingleRequest;
import dev.grep11.proto.EncryptSingleResponse;
import dev.grep11.proto.GenerateKeyRequest;
import dev.grep11.proto.GenerateKeyResponse;
import dev.grep11.proto.GenerateRandomRequest;
import dev.grep11.proto.GenerateRandomResponse;
import dev.grep11.proto.KeyBlob;
import dev.grep11.proto.SignSingleRequest;
import dev.grep11.proto.SignSingleResponse;
import dev.grep11.proto.VerifySingleRequest;
import dev.grep11.proto.VerifySingleResponse;
import io.grpc.CallOptions;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class WireTest {
  private static final SignSingleRequest SIGN = SignSingleRequest.getDefaultInstance();

  private WireServer server;
  private final CountDownLatch release = new CountDownLatch(1);

  @BeforeAll
  void start(@TempDir Path directory) throws Exception {
    server =
        WireServer.start(
            directory,
            Limits.DEFAULT,
            routes -> {
              routes.unary(
                  CryptoGrpc.getSignSingleMethod(),
                  _ -> Workload.INFORMATION,
                  (_, r) ->
                      SignSingleResponse.newBuilder()
                          .setSignature(
                              Codec.bytes(
                                  Codec.key("PrivKey", r.getPrivKeyBytes(), r.getPrivKey())))
                          .build());
              routes.unary(
                  CryptoGrpc.getVerifySingleMethod(),
                  _ -> Workload.INFORMATION,
                  (_, r) -> {
                    if (r.getSignature().isEmpty()) {
                      throw new Pkcs11Exception(Ckr.CKR_SIGNATURE_INVALID, "signature");
                    }
                    return VerifySingleResponse.getDefaultInstance();
                  });
              routes.unary(
                  CryptoGrpc.getEncryptSingleMethod(),
                  _ -> Workload.INFORMATION,
                  (_, r) ->
                      EncryptSingleResponse.newBuilder()
                          .setCiphered(
                              ByteString.copyFromUtf8(Integer.toString(r.getPlain().size())))
                          .build());
              routes.unary(
                  CryptoGrpc.getGenerateKeyMethod(),
                  _ -> Workload.INFORMATION,
                  (_, r) -> {
                    Codec.template(r.getTemplateMap());
                    return GenerateKeyResponse.getDefaultInstance();
                  });
              routes.unary(
                  CryptoGrpc.getGenerateRandomMethod(),
                  _ -> Workload.INFORMATION,
                  (_, r) ->
                      switch ((int) r.getLen()) {
                        case 1 -> throw new HsmUnavailableException("no token");
                        case 2 -> throw new OverloadedException("queue is full");
                        case 3 -> throw new IllegalStateException("internal words");
                        case 4 -> {
                          await(release);
                          yield GenerateRandomResponse.getDefaultInstance();
                        }
                        default -> GenerateRandomResponse.getDefaultInstance();
                      });
            });
  }

  private static void await(CountDownLatch latch) {
    try {
      assertThat(latch.await(20, TimeUnit.SECONDS)).isTrue();
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  @AfterAll
  void stop() {
    release.countDown();
    server.close();
  }

  @BeforeEach
  void forget() {
    server.audited.clear();
  }

  private static StatusRuntimeException refusal(
      org.assertj.core.api.ThrowableAssert.ThrowingCallable call) {
    return catchThrowableOfType(StatusRuntimeException.class, call);
  }

  @Test
  void bothDialectsReachTheSameHandlerWithTheSameKey() throws Exception {
    var blob = ByteString.copyFromUtf8("a sealed blob");
    var dialect1 = SignSingleRequest.newBuilder().setPrivKeyBytes(blob).build();
    var dialect2 =
        SignSingleRequest.newBuilder()
            .setPrivKey(
                KeyBlob.newBuilder()
                    .addKeyBlobs(blob)
                    .addKeyBlobs(ByteString.copyFromUtf8("ignored")))
            .build();
    var client = server.client();

    assertThat(client.signSingle(dialect1).getSignature()).isEqualTo(blob);
    assertThat(client.signSingle(dialect2).getSignature()).isEqualTo(blob);
    assertThat(client.signSingle(dialect2.toBuilder().setPrivKeyBytes(blob).build()).getSignature())
        .isEqualTo(blob);
  }

  @Test
  void refusesTwoDifferentKeysForOneRole() throws Exception {
    var request =
        SignSingleRequest.newBuilder()
            .setPrivKeyBytes(ByteString.copyFromUtf8("one"))
            .setPrivKey(KeyBlob.newBuilder().addKeyBlobs(ByteString.copyFromUtf8("other")))
            .build();
    var client = server.client();

    assertThat(detail(refusal(() -> client.signSingle(request))).getCode())
        .isEqualTo(Ckr.CKR_ARGUMENTS_BAD);
  }

  @Test
  void aFailingVerifyIsUnknownWithTheBareNameAndOneDetailOf192() throws Exception {
    var client = server.client();

    var refused = refusal(() -> client.verifySingle(VerifySingleRequest.getDefaultInstance()));

    assertThat(refused.getStatus().getCode()).isEqualTo(Status.Code.UNKNOWN);
    assertThat(refused.getStatus().getDescription()).isEqualTo("CKR_SIGNATURE_INVALID");
    assertThat(detail(refused).getCode()).isEqualTo(192);
    assertThat(detail(refused).getRetry()).isFalse();
  }

  @ParameterizedTest
  @CsvSource({
    "1, UNAVAILABLE, CKR_DEVICE_ERROR, true",
    "2, RESOURCE_EXHAUSTED, CKR_DEVICE_ERROR, true",
    "3, UNKNOWN, CKR_GENERAL_ERROR, false"
  })
  void otherFailuresHaveTheirOwnStatus(int length, Status.Code code, String name, boolean retry)
      throws Exception {
    var client = server.client();

    var refused =
        refusal(
            () -> client.generateRandom(GenerateRandomRequest.newBuilder().setLen(length).build()));

    assertThat(refused.getStatus().getCode()).isEqualTo(code);
    assertThat(refused.getStatus().getDescription()).isEqualTo(name);
    assertThat(detail(refused).getRetry()).isEqualTo(retry);
    assertThat(detail(refused).getDetail()).doesNotContain("internal words");
  }

  @Test
  void acceptsSixtyMebibytesAndRefusesSixtyFive() throws Exception {
    var client = server.client();
    var accepted =
        EncryptSingleRequest.newBuilder()
            .setPlain(ByteString.copyFrom(new byte[60 * Limits.MIB]))
            .build();
    var tooLong =
        EncryptSingleRequest.newBuilder()
            .setPlain(ByteString.copyFrom(new byte[65 * Limits.MIB]))
            .build();

    assertThat(client.encryptSingle(accepted).getCiphered().toStringUtf8())
        .isEqualTo(Integer.toString(60 * Limits.MIB));
    assertThat(refusal(() -> client.encryptSingle(tooLong)).getStatus().getCode())
        .isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
  }

  @Test
  void refusesATemplateOfAThousandEntries() throws Exception {
    var template = new HashMap<Long, AttributeValue>();
    for (long i = 0; i < 1000; i++) {
      template.put(0x80000000L + i, AttributeValue.newBuilder().setAttributeI(1).build());
    }
    var client = server.client();

    assertThat(
            detail(
                    refusal(() ->
                        client.generateKey(
                            GenerateKeyRequest.newBuilder().putAllTemplate(template).build())))
                .getCode())
        .isEqualTo(Ckr.CKR_TEMPLATE_INCONSISTENT);
  }

  @Test
  void bytesThatAreNoMessageAreARefusalWithADetail() throws Exception {
    var raw =
        CryptoGrpc.getSignSingleMethod().toBuilder(
                RAW, CryptoGrpc.getSignSingleMethod().getResponseMarshaller())
            .build();
    var channel = server.channel();
    var call =
        io.grpc.ClientInterceptors.intercept(
            channel, WireServer.headers("authorization", "Bearer " + GOOD));

    var refused =
        refusal(() ->
            ClientCalls.blockingUnaryCall(
                call, raw, CallOptions.DEFAULT, new byte[] {0x0a, (byte) 0xff, 1, 2}));

    assertThat(detail(refused).getCode()).isEqualTo(Ckr.CKR_IBM_GREP11_CANNOT_UNMARSHAL);
  }

  /** Each takes a few bytes on the wire; as objects, 60 MiB of them would fill a heap. */
  @Test
  void messagesOfAHundredThousandFieldsAreNotEvenParsed() throws Exception {
    var template = new HashMap<Long, AttributeValue>();
    for (long i = 0; i < 100_000; i++) {
      template.put(i, AttributeValue.getDefaultInstance());
    }
    var inTemplate = GenerateKeyRequest.newBuilder().putAllTemplate(template).build();
    var inKey =
        GenerateKeyRequest.newBuilder()
            .setMech(
                dev.grep11.proto.Mechanism.newBuilder()
                    .setUnknownFields(
                        com.google.protobuf.UnknownFieldSet.newBuilder()
                            .addField(99, manyTimes(1))
                            .build()))
            .build();
    var unknown =
        GenerateKeyRequest.newBuilder()
            .setUnknownFields(
                com.google.protobuf.UnknownFieldSet.newBuilder().addField(99, manyTimes(1)).build())
            .build();
    var client = server.client();
    for (var request : List.of(inTemplate, inKey, unknown)) {
      assertThat(detail(refusal(() -> client.generateKey(request))).getCode())
          .isEqualTo(Ckr.CKR_IBM_GREP11_CANNOT_UNMARSHAL);
    }
  }

  private static com.google.protobuf.UnknownFieldSet.Field manyTimes(long value) {
    var field = com.google.protobuf.UnknownFieldSet.Field.newBuilder();
    for (int i = 0; i < 100_000; i++) {
      field.addVarint(value);
    }
    return field.build();
  }

  private static final MethodDescriptor.Marshaller<byte[]> RAW =
      new MethodDescriptor.Marshaller<>() {
        @Override
        public InputStream stream(byte[] value) {
          return new ByteArrayInputStream(value);
        }

        @Override
        public byte[] parse(InputStream stream) {
          try {
            return stream.readAllBytes();
          } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
          }
        }
      };

  @Test
  void anUnknownRpcIsUnimplemented() throws Exception {
    var unknown =
        MethodDescriptor.newBuilder(RAW, RAW)
            .setType(MethodDescriptor.MethodType.UNARY)
            .setFullMethodName("grep11.Crypto/Frobnicate")
            .build();
    var channel = server.channel();

    assertThat(
            refusal(() ->
                    ClientCalls.blockingUnaryCall(
                        channel, unknown, CallOptions.DEFAULT, new byte[0]))
                .getStatus()
                .getCode())
        .isEqualTo(Status.Code.UNIMPLEMENTED);
  }

  @ParameterizedTest
  @ValueSource(strings = {"Bearer " + GOOD, "bearer " + GOOD, GOOD})
  void takesTheTokenWithAndWithoutTheSchemeWord(String authorization) throws Exception {
    assertThat(server.client("authorization", authorization).signSingle(SIGN)).isNotNull();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"Bearer", "Bearer ", "Basic Zm9vOmJhcg==", "Bearer two words", "Bearer a.b.c"})
  void refusesAHeaderThatIsNoGoodToken(String authorization) throws Exception {
    var client = server.client("authorization", authorization);

    var refused = refusal(() -> client.signSingle(SIGN));

    assertThat(refused.getStatus().getCode()).isEqualTo(Status.Code.UNAUTHENTICATED);
    assertThat(detail(refused).getCode()).isEqualTo(Ckr.CKR_IBM_GREP11_NOT_AUTHENTICATED);
  }

  @Test
  void refusesNoTokenAndTwoTokens() throws Exception {
    var none = CryptoGrpc.newBlockingStub(server.channel());
    var two = server.client("authorization", "Bearer " + GOOD, "authorization", "Bearer " + GOOD);

    for (var client : List.of(none, two)) {
      var refused = refusal(() -> client.signSingle(SIGN));
      assertThat(refused.getStatus().getCode()).isEqualTo(Status.Code.UNAUTHENTICATED);
      assertThat(detail(refused).getCode()).isEqualTo(Ckr.CKR_IBM_GREP11_NOT_AUTHENTICATED);
    }
  }

  @Test
  void aMissingActionIsPermissionDenied() throws Exception {
    var client = server.client("authorization", WITHOUT_SIGN);

    var refused = refusal(() -> client.signSingle(SIGN));

    assertThat(refused.getStatus().getCode()).isEqualTo(Status.Code.PERMISSION_DENIED);
    assertThat(detail(refused).getCode()).isEqualTo(Ckr.CKR_IBM_GREP11_NOT_AUTHENTICATED);
    assertThat(client.generateRandom(GenerateRandomRequest.getDefaultInstance())).isNotNull();
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "not-a-uuid", "11111111-0f4f-4a4b-b0d3-0d5ad4e4c1f7"})
  void refusesAnInstanceHeaderThatDisagrees(String header) throws Exception {
    var client = server.client("authorization", GOOD, "bluemix-instance", header);

    assertThat(refusal(() -> client.signSingle(SIGN)).getStatus().getCode())
        .isEqualTo(Status.Code.PERMISSION_DENIED);
  }

  @Test
  void takesAnInstanceHeaderThatAgrees() throws Exception {
    var client =
        server.client("authorization", GOOD, "bluemix-instance", WireServer.INSTANCE.toString());

    assertThat(client.signSingle(SIGN)).isNotNull();
  }

  @Test
  void takesASaneCorrelationIdAndReplacesAnother() throws Exception {
    for (var given : List.of("req-17.a:b", "with space")) {
      var headers = new AtomicReference<Metadata>();
      var trailers = new AtomicReference<Metadata>();
      var client =
          server
              .client("authorization", GOOD, "x-correlation-id", given)
              .withInterceptors(MetadataUtils.newCaptureMetadataInterceptor(headers, trailers));
      assertThat(client.signSingle(SIGN)).isNotNull();

      var returned = headers.get().get(CorrelationId.HEADER);
      assertThat(returned).matches("[A-Za-z0-9._:-]+");
      assertThat(given.equals(returned)).isEqualTo(given.startsWith("req"));
      assertThat(server.audited).last().extracting(CallRecord::correlationId).isEqualTo(returned);
    }
  }

  @Test
  void aRefusalHasItsCorrelationIdInTheTrailersToo() throws Exception {
    var client = server.client("authorization", GOOD, "x-correlation-id", "req-18");

    assertThatThrownBy(() -> client.verifySingle(VerifySingleRequest.getDefaultInstance()))
        .isInstanceOfSatisfying(
            StatusRuntimeException.class,
            refused ->
                assertThat(refused.getTrailers())
                    .isNotNull()
                    .extracting(trailers -> trailers.get(CorrelationId.HEADER))
                    .isEqualTo("req-18"));
  }

  @Test
  void recordsEachCallAndEachRefusalOnce() throws Exception {
    var client = server.client();
    assertThat(client.signSingle(SIGN)).isNotNull();
    assertThat(refusal(() -> client.verifySingle(VerifySingleRequest.getDefaultInstance())))
        .isNotNull();
    var stranger = server.client("authorization", "Bearer a.b.c");
    assertThat(refusal(() -> stranger.signSingle(SIGN))).isNotNull();

    assertThat(server.audited)
        .extracting(CallRecord::rpc, CallRecord::status, CallRecord::returnValue)
        .containsExactly(
            org.assertj.core.groups.Tuple.tuple("SignSingle", Status.Code.OK, 0L),
            org.assertj.core.groups.Tuple.tuple("VerifySingle", Status.Code.UNKNOWN, 192L),
            org.assertj.core.groups.Tuple.tuple(
                "SignSingle", Status.Code.UNAUTHENTICATED, Ckr.CKR_IBM_GREP11_NOT_AUTHENTICATED));
  }

  @Test
  void doesNotReadTheBodyBeforeTheTokenIsVerified() throws Exception {
    var gate = new CompletableFuture<Void>();
    server.authenticationGate = gate;
    var before = server.authentications.get();
    try {
      var future =
          CryptoGrpc.newFutureStub(server.channel())
              .withInterceptors(WireServer.headers("authorization", GOOD))
              .signSingle(SIGN);
      org.awaitility.Awaitility.await().until(() -> server.authentications.get() > before);
      // The event loop is free meanwhile.
      server.authenticationGate = CompletableFuture.completedFuture(null);
      assertThat(server.client().signSingle(SIGN)).isNotNull();
      assertThat(future.isDone()).isFalse();
      gate.complete(null);
      assertThat(future.get(10, TimeUnit.SECONDS)).isNotNull();
    } finally {
      server.authenticationGate = CompletableFuture.completedFuture(null);
    }
  }

  @Test
  void aClientThatGivesUpIsRecordedAndItsResultDropped() throws Exception {
    // Once, so that no handshake is in the time that the client waits.
    assertThat(server.client().signSingle(SIGN)).isNotNull();
    server.audited.clear();
    var client = server.client().withDeadlineAfter(1, TimeUnit.SECONDS);

    assertThatThrownBy(
            () -> client.generateRandom(GenerateRandomRequest.newBuilder().setLen(4).build()))
        .isInstanceOf(StatusRuntimeException.class);

    org.awaitility.Awaitility.await()
        .untilAsserted(() ->
            assertThat(server.audited)
                .extracting(CallRecord::status)
                .containsExactly(Status.Code.CANCELLED));
    release.countDown();
  }

  @Test
  void refusesCompressedMessages() throws Exception {
    var client = server.client().withCompression("gzip");

    assertThat(refusal(() -> client.signSingle(SIGN)).getStatus().getCode())
        .isEqualTo(Status.Code.UNIMPLEMENTED);
  }

  @Test
  void aServiceWithAnUnboundRpcDoesNotStart() {
    var empty = new Routes(CryptoGrpc.getServiceDescriptor(), server.services);

    assertThatThrownBy(empty::bind).hasMessageContaining("SignSingle");
  }
}
