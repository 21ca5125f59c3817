package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.MANAGER;
import static dev.grep11.gateway.RunningGateway.aesKey;
import static dev.grep11.gateway.TestAdministrator.p256;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.grep11.gateway.command.DemoData;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.trust.CertificateCases;
import dev.grep11.gateway.trust.CertificateCases.Case;
import dev.grep11.gateway.trust.TestCertificates;
import dev.grep11.gateway.trust.TestCertificates.Identity;
import dev.grep11.proto.CryptoGrpc;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.handler.ssl.SslProvider;
import io.netty.handler.ssl.util.InsecureTrustManagerFactory;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.bouncycastle.asn1.x509.Extension;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The table of docs/client-certificates.md by real TLS connections and a real token: at a port of
 * one instance, which refuses in the handshake, and at a port of two, where a connection stands
 * because of the other instance and each call is refused.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class ClientCertificatesOverTlsTest {
  private static final Duration BOUND = Duration.ofSeconds(10);
  private static final String SINGLE_LOG = "single.jsonl";
  private static final String SEVERAL_LOG = "audit.jsonl";
  private static final UUID UNLOCKED = UUID.fromString("7d1a0cf5-51a0-4c43-8b4a-8f6a8f2f2c11");
  private static final Map<String, Object> SETTINGS =
      Map.of("/store/pollMillis", 20, "/limits/administrativeCallsPerMinute", 1_000_000);

  /** Each is issued when it is asked for, so once. */
  private static final List<Case> ROWS = CertificateCases.clients().toList();

  /**
   * What BoringSSL refuses itself, at every port that asks for a certificate: in TLS 1.3 before our
   * judge sees it, and by its own word.
   */
  private static final Map<String, String> BY_THE_LIBRARY =
      Map.of(
          "registered CA used as client certificate", "KEY_USAGE_BIT_INCORRECT",
          "registered intermediate used as client certificate", "KEY_USAGE_BIT_INCORRECT",
          "another CA used as client certificate", "KEY_USAGE_BIT_INCORRECT",
          "leaf whose key usage lacks digitalSignature", "KEY_USAGE_BIT_INCORRECT",
          "leaf with RSA 16384", "MODULUS_TOO_LARGE");

  /** Says that the registry of a row is in force: its client is let in. */
  private record Herald(Identity ca, Identity client) {
    static Herald create() {
      var ca = TestCertificates.ca("CN=Herald").selfSigned();
      return new Herald(ca, TestCertificates.client("CN=herald").signedBy(ca));
    }
  }

  /**
   * How a row went.
   *
   * @param call in which the port of two instances was asked
   * @param reached keys that the token made for it
   */
  private record Outcome(Status handshake, Status call, String correlationId, int reached) {}

  private final Map<String, Outcome> outcomes = new HashMap<>();
  private RunningGateway several;
  private Gateway single;

  @BeforeAll
  void askForEveryRow(@TempDir Path parent) throws Exception {
    var directory = parent.resolve("demo");
    var demo = DemoData.open(directory);
    try (var host = Host.open(GatewayConfig.read(demo.config()))) {
      host.createInstance(UNLOCKED, "unlocked", "demo", "local");
    }
    var settings = new HashMap<>(SETTINGS);
    settings.put("/instance", null);
    settings.put("/multiInstance", true);
    several = RunningGateway.start(directory, settings);
    several.grant(MANAGER, "Manager", UNLOCKED);
    single = several.another("single", SETTINGS);
    for (var row : ROWS) {
      outcomes.put(row.title(), ask(row));
    }
  }

  @AfterAll
  void stop() {
    single.close();
    several.close();
  }

  /** Puts these in the place of what is registered, and waits until both gateways act on it. */
  private void register(List<Identity> cas) throws Exception {
    var herald = Herald.create();
    several.registerClientCas(
        several.instance,
        Stream.concat(cas.stream(), Stream.of(herald.ca())).map(Identity::der).toList());
    var identity = ShownIdentity.of(herald.client());
    for (int port : List.of(single.cryptoPort(), several.gateway.cryptoPort())) {
      await()
          .atMost(BOUND)
          .pollInterval(Duration.ofMillis(20))
          .until(() -> answer(port, identity, "herald").isOk());
    }
  }

  private Outcome ask(Case row) throws Exception {
    register(row.registered());
    var shown =
        row.sent().isEmpty()
            ? null
            : new ShownIdentity(
                TestCertificates.certificates(row.sent()), row.sent().getFirst().privateKey());
    int before = several.calls.generated();
    var correlationId = UUID.randomUUID().toString();
    var handshake = answer(single.cryptoPort(), shown, "single-" + correlationId);
    var call = answer(several.gateway.cryptoPort(), shown, correlationId);
    return new Outcome(handshake, call, correlationId, several.calls.generated() - before);
  }

  /** Of a call that has the token make a key, over a connection of its own. */
  private Status answer(int port, @Nullable ShownIdentity identity, String correlationId)
      throws Exception {
    // The JDK's TLS: OpenSSL does not take a key that is not the certificate's.
    var ssl =
        GrpcSslContexts.configure(GrpcSslContexts.forClient(), SslProvider.JDK)
            .trustManager(InsecureTrustManagerFactory.INSTANCE);
    if (identity != null) {
      ssl.keyManager(identity);
    }
    ManagedChannel channel =
        NettyChannelBuilder.forAddress("localhost", port).sslContext(ssl.build()).build();
    try {
      aesKey(
          CryptoGrpc.newBlockingStub(channel)
              .withDeadlineAfter(20, TimeUnit.SECONDS)
              .withInterceptors(
                  RunningGateway.headers(
                      "authorization",
                      "Bearer " + several.token(MANAGER),
                      "bluemix-instance",
                      several.instance.toString()),
                  RunningGateway.correlation(correlationId)));
      return Status.OK;
    } catch (StatusRuntimeException e) {
      return e.getStatus();
    } finally {
      channel.shutdownNow();
    }
  }

  private static String fingerprint(X509Certificate certificate) {
    try {
      return HexFormat.of()
          .formatHex(MessageDigest.getInstance("SHA-256").digest(certificate.getEncoded()));
    } catch (java.security.GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }

  static Stream<Case> rows() {
    return ROWS.stream();
  }

  @ParameterizedTest
  @MethodSource("rows")
  void everyRowIsJudgedSoOnTheWireIsAuditedAndReachesTheTokenOnlyWhenAccepted(Case row) {
    var outcome = Objects.requireNonNull(outcomes.get(row.title()));
    if (row.reason().isEmpty()) {
      assertThat(outcome.handshake()).isEqualTo(Status.OK);
      assertThat(outcome.call()).isEqualTo(Status.OK);
      assertThat(outcome.reached()).isEqualTo(2);
      return;
    }
    var word = row.reason().get().name().toLowerCase(Locale.ROOT).replace('_', '-');
    assertThat(outcome.reached()).as("calls that reached the token").isZero();
    assertThat(outcome.handshake().getCode()).isEqualTo(Status.Code.UNAVAILABLE);
    var library = BY_THE_LIBRARY.get(row.title());
    if (library != null) {
      assertThat(outcome.call().getCode()).isEqualTo(Status.Code.UNAVAILABLE);
      long rows = BY_THE_LIBRARY.values().stream().filter(library::equals).count();
      for (var log : List.of(SINGLE_LOG, SEVERAL_LOG)) {
        await()
            .atMost(BOUND)
            .untilAsserted(() ->
                assertThat(several.events(log, library)).hasSizeGreaterThanOrEqualTo((int) rows));
      }
      return;
    }
    assertThat(outcome.call().getCode())
        .as("%s", outcome.call())
        .isEqualTo(Status.Code.UNAUTHENTICATED);
    assertThat(several.audited(outcome.correlationId()))
        .singleElement()
        .satisfies(event ->
            assertThat(event.at("/reason/reasonForFailure").asText()).contains("(" + word + ")"));
    await()
        .atMost(BOUND)
        .untilAsserted(() ->
            assertThat(several.events(SINGLE_LOG, "\"" + word + "\""))
                .anyMatch(event ->
                    row.sent().isEmpty()
                        || event
                            .toString()
                            .contains(fingerprint(row.sent().getFirst().certificate()))));
  }

  @Test
  void aCertificateShownWithAnothersKeyEndsTheHandshakeAndIsAudited() throws Exception {
    var ca = TestCertificates.ca("CN=Mine").selfSigned();
    var stolen = TestCertificates.client("CN=stolen").signedBy(ca);
    register(List.of(ca));
    assertThat(answer(single.cryptoPort(), ShownIdentity.of(stolen), "own-key").isOk()).isTrue();
    int before = several.calls.generated();

    for (int port : List.of(single.cryptoPort(), several.gateway.cryptoPort())) {
      var shown = new ShownIdentity(List.of(stolen.certificate()), p256().getPrivate());
      assertThat(answer(port, shown, "mismatch").getCode()).isEqualTo(Status.Code.UNAVAILABLE);
    }

    assertThat(several.calls.generated()).isEqualTo(before);
    for (var log : List.of(SINGLE_LOG, SEVERAL_LOG)) {
      await()
          .atMost(BOUND)
          .untilAsserted(() ->
              assertThat(several.events(log, fingerprint(stolen.certificate())))
                  .anyMatch(event ->
                      event.at("/reason/reasonType").asText().equals("handshake")
                          && event.at("/outcome").asText().equals("failure")));
    }
  }

  @Test
  void aCaWithoutKeyUsageIsNoClientEitherAndTheJudgeSaysSo() throws Exception {
    var ca = TestCertificates.ca("CN=Plain CA").without(Extension.keyUsage).selfSigned();
    register(List.of(ca));
    int before = several.calls.generated();

    assertThat(answer(single.cryptoPort(), ShownIdentity.of(ca), "ca").getCode())
        .isEqualTo(Status.Code.UNAVAILABLE);
    assertThat(answer(several.gateway.cryptoPort(), ShownIdentity.of(ca), "ca").getCode())
        .isEqualTo(Status.Code.UNAUTHENTICATED);

    assertThat(several.calls.generated()).isEqualTo(before);
    await()
        .atMost(BOUND)
        .untilAsserted(() ->
            assertThat(several.events(SINGLE_LOG, fingerprint(ca.certificate())))
                .anyMatch(event -> event.at("/reason/reasonType").asText().equals("ca-as-leaf")));
  }

  /** The docs say so: they are good for CAs, and BoringSSL offers no such signature to clients. */
  @ParameterizedTest
  @ValueSource(strings = {"secp521r1", "Ed25519"})
  void aClientsOwnKeyIsNoneThatTheTlsLibraryDoesNotVerifyWith(String algorithm) throws Exception {
    var ca = TestCertificates.ca("CN=CA").selfSigned();
    var keys =
        algorithm.startsWith("Ed")
            ? TestCertificates.edwards(algorithm)
            : TestCertificates.curve(algorithm);
    register(List.of(ca));

    var shown = ShownIdentity.of(TestCertificates.client("CN=x").keys(keys).signedBy(ca));
    assertThat(answer(single.cryptoPort(), shown, "own key").getCode())
        .isEqualTo(Status.Code.UNAVAILABLE);
  }

  @Test
  void whatCannotBeAClientCaIsRefusedToASignedCommandAndAudited() throws Exception {
    var administrator = TestAdministrator.granted(several, "uploader", p256(), single);
    administrator.execute(administrator.setKey(""));
    for (var upload : CertificateCases.refusedUploads().toList()) {
      var id = UUID.randomUUID().toString();
      var signed = administrator.sign(administrator.set("ca", upload.der()));
      assertThatThrownBy(() ->
              administrator.client.withInterceptors(RunningGateway.correlation(id)).execute(signed))
          .as(upload.title())
          .isInstanceOfSatisfying(
              StatusRuntimeException.class,
              refusal -> {
                assertThat(refusal.getStatus().getCode()).isEqualTo(Status.Code.INVALID_ARGUMENT);
                assertThat(refusal.getStatus().getDescription()).contains("certificate");
              });
      await().atMost(BOUND).until(() -> !several.events(SINGLE_LOG, id).isEmpty());
      assertThat(several.events(SINGLE_LOG, id))
          .as(upload.title())
          .singleElement()
          .satisfies(event -> {
            assertThat(event.get("action").asText()).isEqualTo("hs-crypto.mtlscert-cert.set");
            assertThat(event.get("outcome").asText()).isEqualTo("failure");
          });
    }
    assertThat(administrator.list().getCertificatesCount()).isZero();
  }
}
