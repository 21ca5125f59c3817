package dev.grep11.client;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.grep11.proto.GenerateRandomRequest;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.file.Files;
import java.time.Duration;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The client against a gateway over real TLS that fails on purpose. */
class Grep11ClientTest extends AgainstFakeGateway {
  @Test
  void runsTheExampleWithATokenForTheApiKey() throws Exception {
    try (var tokens = new FakeTokenService(authority.issue("iam"));
        var client =
            Grep11Client.builder(gateway.address())
                .trustedCa(authority.ca())
                .apiKey("key".toCharArray(), tokens.endpoint())
                .build()) {
      assertThat(ClientExample.signAndVerify(client)).isTrue();
      assertThat(tokens.requests()).hasSize(1);
      assertThat(gateway.calls())
          .hasSize(3)
          .allSatisfy(call -> assertThat(call.header("authorization")).isEqualTo("Bearer t0"));
    }
  }

  @Test
  void namesTheReasonWhenThereIsNoTokenAndSendsNothing() throws Exception {
    try (var tokens = new FakeTokenService(authority.issue("iam"))) {
      tokens.answerWith(
          400, "{\"errorCode\":\"BXNIM0415E\",\"errorMessage\":\"Provided API key not found.\"}");
      try (var client =
          Grep11Client.builder(gateway.address())
              .trustedCa(authority.ca())
              .apiKey("wrong".toCharArray(), tokens.endpoint())
              .build()) {
        var failure = failure(() -> client.generateRandom(1));
        assertThat(failure.status()).isEqualTo(Status.Code.UNAUTHENTICATED);
        assertThat(failure.answered()).isFalse();
        assertThat(failure).hasMessageContaining("BXNIM0415E Provided API key not found.");
        assertThat(failure).hasMessageNotContaining("wrong");
      }
    }
    assertThat(gateway.calls()).isEmpty();
  }

  @Test
  void rewrapsABlobOfEachTypeAndKnowsWhenAllAreDone() {
    try (var client = builder().build()) {
      var secret = new SecretKeyBlob(new byte[] {1});
      var privateKey = new PrivateKeyBlob(new byte[] {2});
      var publicKey = new PublicKeyBlob(new byte[] {3});
      assertThat(client.rewrap(secret)).isEqualTo(new SecretKeyBlob(new byte[] {1, '\''}));
      assertThat(client.rewrap(privateKey)).isEqualTo(new PrivateKeyBlob(new byte[] {2, '\''}));
      assertThat(client.rewrap(publicKey)).isEqualTo(new PublicKeyBlob(new byte[] {3, '\''}));

      var stored = new HashMap<String, KeyBlob>(Map.of("one", secret, "two", publicKey));
      assertThat(RewrapExample.rewrapAll(client, stored)).isEqualTo(2);
      assertThat(RewrapExample.rewrapAll(client, stored)).isZero();
      assertThat(stored).containsEntry("one", new SecretKeyBlob(new byte[] {1, '\''}));

      gateway.failNext(
          FakeGateway.refusal(
              Status.Code.UNKNOWN, Ckr.CKR_IBM_WK_NOT_INITIALIZED, "not everywhere yet", true));
      assertThat(client.rewrap(secret)).as("asked again").isNotEqualTo(secret);
    }
  }

  @Test
  void namesTheAddressWhereThereIsNoGateway() throws Exception {
    var address = nobody();
    try (var client =
        Grep11Client.builder(address)
            .trustedCa(authority.ca())
            .deadline(Duration.ofSeconds(3))
            .build()) {
      var failure = failure(() -> client.generateRandom(1));
      assertThat(failure.status()).isEqualTo(Status.Code.UNAVAILABLE);
      assertThat(failure.retry()).isTrue();
      assertThat(failure)
          .hasMessage("UNAVAILABLE: gateway %s cannot be reached: connection refused", address);
    }
  }

  @Test
  void namesTheTokenServiceThatIsNotThereAndMayBeAskedAgain() throws Exception {
    var address = nobody();
    try (var client =
        Grep11Client.builder(gateway.address())
            .trustedCa(authority.ca())
            .deadline(Duration.ofSeconds(3))
            .apiKey("k".toCharArray(), URI.create("https://" + address))
            .build()) {
      var failure = failure(() -> client.generateRandom(1));
      assertThat(failure.status()).isEqualTo(Status.Code.UNAVAILABLE);
      assertThat(failure.answered()).isFalse();
      assertThat(failure.retry()).isTrue();
      assertThat(failure)
          .hasMessage(
              "UNAVAILABLE: no token: token service %s cannot be reached: connection refused",
              address);
    }
    assertThat(gateway.calls()).isEmpty();
  }

  @ParameterizedTest
  @ValueSource(ints = {429, 503})
  void asksATokenServiceAgainThatCannotAtPresent(int status) throws Exception {
    try (var tokens = new FakeTokenService(authority.issue("iam"))) {
      tokens.answerWith(status, "{}");
      try (var client =
          Grep11Client.builder(gateway.address())
              .trustedCa(authority.ca())
              .apiKey("k".toCharArray(), tokens.endpoint())
              .build()) {
        var failure = failure(() -> client.generateRandom(1));
        assertThat(failure.status()).isEqualTo(Status.Code.UNAVAILABLE);
        assertThat(failure).hasMessageContaining("refused: HTTP " + status);
        assertThat(tokens.requests()).hasSizeBetween(2, 4);
      }
    }
  }

  /** An address where nobody listens, as far as one can know. */
  private static String nobody() throws IOException {
    try (var socket = new ServerSocket(0)) {
      return "localhost:" + socket.getLocalPort();
    }
  }

  @Test
  void sendsTheInstanceWithEveryCallAlsoThroughTheStub() {
    var instance = UUID.randomUUID();
    try (var client = builder().instance(instance).build()) {
      client.generateRandom(1);
      client.stub().generateRandom(GenerateRandomRequest.newBuilder().setLen(1).build());
    }
    assertThat(gateway.calls())
        .hasSize(2)
        .allSatisfy(call -> {
          assertThat(call.header("bluemix-instance")).isEqualTo(instance.toString());
          assertThat(call.header("authorization")).isEqualTo("Bearer t");
        });
  }

  @Test
  void presentsItsCertificateToAGatewayThatAsksForOne() throws Exception {
    var clients = new TestAuthority(directory, "clients");
    var identity = clients.issue("billing");
    try (var locked = new FakeGateway(authority.issue("locked"), clients.ca())) {
      try (var client =
          Grep11Client.builder(locked.address())
              .trustedCa(authority.ca())
              .clientCertificate(identity.certificate(), identity.key())
              .build()) {
        assertThat(client.generateRandom(8)).hasSize(8);
      }
      assertThat(locked.calls())
          .singleElement()
          .satisfies(call -> assertThat(call.clientCertificate()).isEqualTo("CN=billing"));

      try (var client = Grep11Client.builder(locked.address()).trustedCa(authority.ca()).build()) {
        assertThat(failure(() -> client.generateRandom(8)).status())
            .isEqualTo(Status.Code.UNAVAILABLE);
      }
      assertThat(locked.calls()).hasSize(1);
    }
  }

  @Test
  void saysWhyAGatewayOfAnotherCaIsNotTrusted() throws Exception {
    var other = new TestAuthority(directory, "other");
    try (var client = builder().trustedCa(other.ca()).build()) {
      var failure = failure(() -> client.generateRandom(1));
      assertThat(failure.status()).isEqualTo(Status.Code.UNAVAILABLE);
      assertThat(failure)
          .hasMessageContaining("presented \"CN=server\", issued by \"CN=gateway\"")
          .hasMessageContaining("trusted are " + other.ca() + ", that is \"CN=other\"")
          .hasMessageContaining("name the PEM of the CA that issued the server's certificate");
      saysNothingTwice(failure);
    }
    assertThat(gateway.calls()).isEmpty();
  }

  @Test
  void saysThatAGatewayHasAnotherNameThanItsCertificate() {
    try (var client = builder().authority("elsewhere.test").build()) {
      assertThat(failure(() -> client.generateRandom(1)))
          .hasMessageContaining("presented \"CN=server\"")
          .hasMessageContaining("elsewhere.test")
          .hasMessageNotContaining("name the PEM");
    }
    assertThat(gateway.calls()).isEmpty();
  }

  @Test
  void saysWhyATokenServiceOfAnotherCaIsNotTrusted() throws Exception {
    var other = new TestAuthority(directory, "other");
    try (var tokens = new FakeTokenService(authority.issue("iam"));
        var client =
            Grep11Client.builder(gateway.address())
                .trustedCa(authority.ca())
                .iamCa(other.ca())
                .apiKey("key".toCharArray(), tokens.endpoint())
                .build()) {
      var failure = failure(() -> client.generateRandom(1));
      assertThat(failure)
          .hasMessageContaining("presented \"CN=iam\"")
          .hasMessageContaining(other.ca().toString());
      saysNothingTwice(failure);
      assertThat(tokens.requests()).isEmpty();
    }
  }

  private static void saysNothingTwice(Grep11Exception failure) {
    var parts = Pattern.compile("[:;,] ").splitAsStream(String.valueOf(failure.getMessage()));
    assertThat(parts).as(failure.getMessage()).doesNotHaveDuplicates();
  }

  /**
   * gRPC's own first pause is 0.8 s at least. On a machine that is busy one of several clients has
   * to show it.
   */
  @Test
  void aRepetitionConnectsAnew() throws Exception {
    var connected = new LinkedBlockingQueue<Long>();
    try (var down = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
      var accepting =
          new Thread(() -> {
            try {
              while (true) {
                var connection = down.accept();
                connected.add(System.nanoTime());
                // A reset, as of a host whose process was killed.
                connection.setSoLinger(true, 0);
                connection.close();
              }
            } catch (IOException closed) {
              // At the end of the test.
            }
          });
      accepting.start();
      var pause = Duration.ofDays(1);
      for (int i = 0; i < 5 && pause.toMillis() >= 700; i++) {
        try (var client =
            Grep11Client.builder("127.0.0.1:" + down.getLocalPort())
                .trustedCa(authority.ca())
                .build()) {
          var failure = failure(() -> client.generateRandom(1));
          assertThat(failure.status()).isEqualTo(Status.Code.UNAVAILABLE);
          var first = connected.poll(20, TimeUnit.SECONDS);
          var second = connected.poll(20, TimeUnit.SECONDS);
          if (first != null && second != null) {
            pause = Duration.ofNanos(second - first);
          }
        }
        connected.clear();
      }
      assertThat(pause).isLessThan(Duration.ofMillis(700));
    }
  }

  @Test
  void repeatsASignatureWhileTheGatewayIsUnavailable() {
    try (var client = builder().build()) {
      var pair = client.generateKeyPair(Templates.ecPair(Curve.P256));
      gateway.failNext(
          Status.UNAVAILABLE.asRuntimeException(), Status.UNAVAILABLE.asRuntimeException());

      byte[] signature = client.sign(Mechanisms.ecdsaSha256(), pair.privateKey(), MESSAGE);

      assertThat(client.verify(Mechanisms.ecdsaSha256(), pair.publicKey(), MESSAGE, signature))
          .isTrue();
    }
    assertThat(gateway.calls())
        .extracting(FakeGateway.Call::method)
        .containsExactly(
            "GenerateKeyPair", "SignSingle", "SignSingle", "SignSingle", "VerifySingle");
  }

  /** As after a restart, or an upgrade, of the only one. */
  @Test
  void aGatewayThatIsBackWithinSecondsFailsNoCall() throws Exception {
    var identity = authority.issue("restarted");
    var first = new FakeGateway(identity, null);
    int port = first.port();
    try (var client = Grep11Client.builder(first.address()).trustedCa(authority.ca()).build()) {
      assertThat(client.generateRandom(8)).hasSize(8);
      first.close();
      var call = CompletableFuture.supplyAsync(() -> client.generateRandom(8));
      Thread.sleep(1000);
      assertThat(call).isNotDone();
      try (var second = new FakeGateway(identity, null, port)) {
        assertThat(call.get(20, TimeUnit.SECONDS)).hasSize(8);
        assertThat(second.calls()).hasSize(1);
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"UNAVAILABLE", "RESOURCE_EXHAUSTED"})
  void givesUpAfterFourAnswersThatSayTheSame(Status.Code status) {
    var refusal = FakeGateway.refusal(status, Ckr.CKR_DEVICE_ERROR, "not now", true);
    gateway.failNext(Collections.nCopies(20, refusal).toArray(StatusRuntimeException[]::new));
    try (var client = builder().build()) {
      assertThat(failure(() -> client.generateRandom(1)).detail()).isEqualTo("not now");
    }
    assertThat(gateway.calls()).hasSize(4);
  }

  /** It had too much to do when all its clients came back. */
  @Test
  void triesALongWhileToReachAGatewayWhateverItAnswersThen() {
    var away = Collections.nCopies(6, Status.UNAVAILABLE.asRuntimeException());
    gateway.failNext(away.toArray(StatusRuntimeException[]::new));
    var busy =
        FakeGateway.refusal(Status.Code.RESOURCE_EXHAUSTED, Ckr.CKR_DEVICE_ERROR, "busy", true);
    gateway.failNext(busy, busy, busy);
    try (var client = builder().build()) {
      assertThat(client.generateRandom(4)).hasSize(4);
    }
    assertThat(gateway.calls()).hasSize(10);
  }

  @Test
  void repeatsWhateverStatusSaysThatRepeatingMayHelp() {
    gateway.failNext(
        FakeGateway.refusal(Status.Code.RESOURCE_EXHAUSTED, Ckr.CKR_DEVICE_ERROR, "busy", true));
    try (var client = builder().build()) {
      assertThat(client.generateRandom(4)).hasSize(4);
    }
    assertThat(gateway.calls()).hasSize(2);
  }

  @Test
  void doesNotRepeatWhatIsRefusedForGood() {
    gateway.failNext(
        FakeGateway.refusal(Status.Code.UNKNOWN, Ckr.CKR_ARGUMENTS_BAD, "length", false),
        Status.RESOURCE_EXHAUSTED.withDescription("message too large").asRuntimeException());
    try (var client = builder().build()) {
      assertThat(failure(() -> client.generateRandom(1)).returnValue())
          .isEqualTo(Ckr.CKR_ARGUMENTS_BAD);
      assertThat(failure(() -> client.generateRandom(1)).retry()).isFalse();
    }
    assertThat(gateway.calls()).hasSize(2);
  }

  @Test
  void doesNotRepeatTheGenerationOfAKey() {
    gateway.failNext(
        FakeGateway.refusal(Status.Code.UNAVAILABLE, Ckr.CKR_DEVICE_ERROR, "HSM is down", true));
    try (var client = builder().build()) {
      var failure = failure(() -> client.generateKey(Mechanisms.aesKeyGen(), Templates.aes(256)));
      assertThat(failure.retry()).isTrue();
    }
    assertThat(gateway.calls()).hasSize(1);
  }

  @Test
  void endsACallAtItsDeadlineWithAllItsAttempts() {
    gateway.fallSilent();
    try (var client = builder().deadline(Duration.ofMillis(300)).build()) {
      long begin = System.nanoTime();
      var failure = failure(() -> client.generateRandom(1));
      assertThat(failure.status()).isEqualTo(Status.Code.DEADLINE_EXCEEDED);
      assertThat(Duration.ofNanos(System.nanoTime() - begin)).isLessThan(Duration.ofSeconds(5));

      assertThatThrownBy(
              () -> client.stub().generateRandom(GenerateRandomRequest.getDefaultInstance()))
          .isInstanceOf(StatusRuntimeException.class)
          .hasMessageContaining("DEADLINE_EXCEEDED");
    }
  }

  @ParameterizedTest
  @ValueSource(longs = {Ckr.CKR_SIGNATURE_INVALID, Ckr.CKR_SIGNATURE_LEN_RANGE})
  void answersFalseForASignatureThatIsWrong(long returnValue) {
    gateway.failNext(FakeGateway.refusal(Status.Code.UNKNOWN, returnValue, "", false));
    try (var client = builder().build()) {
      assertThat(verifyAnything(client)).isFalse();
    }
  }

  @ParameterizedTest
  @ValueSource(
      longs = {Ckr.CKR_IBM_BLOB_ERROR, Ckr.CKR_GENERAL_ERROR, Ckr.CKR_KEY_FUNCTION_NOT_PERMITTED})
  void doesNotCallASignatureWrongThatWasNotChecked(long returnValue) {
    gateway.failNext(FakeGateway.refusal(Status.Code.UNKNOWN, returnValue, "", false));
    try (var client = builder().build()) {
      assertThat(failure(() -> verifyAnything(client)).returnValue()).isEqualTo(returnValue);
    }
  }

  @Test
  void keepsTheKindAndTheCheckSumOfAKey() {
    try (var client = builder().build()) {
      var key = client.generateKey(Mechanisms.aesKeyGen(), Templates.aes(256));
      assertThat(key.checkSum()).containsExactly(1, 2, 3);

      var changed = client.setAttributes(key, Template.empty().with(Cka.CKA_DECRYPT, false));
      assertThat(changed).isInstanceOf(SecretKeyBlob.class).isNotEqualTo(key);
      assertThat(new String(changed.bytes(), UTF_8)).isEqualTo("secret blob'");
      assertThat(changed.checkSum()).containsExactly(1, 2, 3);

      var attributes = client.attributes(key, Cka.CKA_SIGN, Cka.CKA_VALUE_LEN);
      assertThat(attributes.flag(Cka.CKA_SIGN)).isTrue();
      assertThat(attributes.number(Cka.CKA_VALUE_LEN)).isEqualTo(32);

      var unwrapped =
          client.unwrapKey(Mechanisms.aesKeyWrapPad(), key, MESSAGE, Templates.unwrappedAes());
      assertThat(unwrapped.checkSum()).startsWith(key.checkSum());
    }
  }

  @Test
  void tellsWhatTheGatewayCanDo() {
    try (var client = builder().build()) {
      assertThat(client.mechanisms()).containsExactly(1L, 0x80070001L);
      assertThat(client.mechanismInfo(Ckm.CKM_AES_KEY_GEN))
          .isEqualTo(new MechanismInfo(16, 32, 0x8000));
    }
  }

  @Test
  void takesAnAnswerBeyondTheDefaultOfGrpc() {
    try (var client = builder().build()) {
      byte[] plain = new byte[5 << 20];
      assertThat(client.encrypt(Mechanisms.aesGcm(), new SecretKeyBlob(MESSAGE), plain))
          .hasSameSizeAs(plain);
    }
  }

  @Test
  void refusesWhatCannotWorkBeforeTheFirstCall() throws Exception {
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Grep11Client.builder("https://host:9876"))
        .withMessageContaining("host:port");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> builder().trustedCa(directory.resolve("absent.pem")).build())
        .withMessageContaining("absent.pem");
    var empty = Files.writeString(directory.resolve("empty.pem"), "nothing");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> builder().trustedCa(empty).build())
        .withMessageContaining("no certificate");
    assertThatIllegalArgumentException()
        .isThrownBy(
            () -> builder().apiKey("k".toCharArray(), URI.create("https://localhost")).build())
        .withMessageContaining("one of them");
  }

  @Test
  void failsTheCallWhenTheSupplierOfTokensFails() {
    try (var client =
        builder()
            .token(() -> {
              throw new IllegalStateException("vault is sealed");
            })
            .build()) {
      var failure = failure(() -> client.generateRandom(1));
      assertThat(failure.status()).isEqualTo(Status.Code.UNAUTHENTICATED);
      assertThat(failure).hasMessageContaining("vault is sealed");
    }
    assertThat(gateway.calls()).isEqualTo(List.of());
  }

  private static boolean verifyAnything(Grep11Client client) {
    return client.verify(Mechanisms.ed25519(), new PublicKeyBlob(MESSAGE), MESSAGE, MESSAGE);
  }

  private static Grep11Exception failure(Runnable call) {
    var failure = catchThrowableOfType(Grep11Exception.class, call::run);
    assertThat(failure).as("a refusal").isNotNull();
    return failure;
  }
}
