package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.MANAGER;
import static dev.grep11.gateway.RunningGateway.aesKey;
import static dev.grep11.gateway.RunningGateway.detail;
import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import dev.grep11.client.Grep11Client;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.Templates;
import dev.grep11.gateway.trust.TestCertificates;
import dev.grep11.gateway.trust.TestCertificates.Identity;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.CryptoGrpc.CryptoBlockingStub;
import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.GrpcSslContexts;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Stream;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The second lock of a port with one instance, by real handshakes and a real token. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class SecondLockTest {
  /** What is promised of a change, from its commit on. */
  private static final Duration BOUND = Duration.ofSeconds(5);

  private static final Identity ONE = TestCertificates.ca("CN=One CA").selfSigned();
  private static final Identity TWO = TestCertificates.ca("CN=Two CA").selfSigned();
  private static final Identity APP = TestCertificates.client("CN=app").signedBy(ONE);
  private static final Identity OTHER_APP = TestCertificates.client("CN=other app").signedBy(TWO);

  private Path parent = Path.of("");
  private RunningGateway running;

  @BeforeAll
  void start(@TempDir Path directory) throws Exception {
    parent = directory;
    running = RunningGateway.start(parent.resolve("demo"));
  }

  @AfterAll
  void stop() {
    running.close();
  }

  @BeforeEach
  void open() throws Exception {
    register();
    var probe = client(null);
    await()
        .atMost(Duration.ofSeconds(20))
        .ignoreExceptions()
        .until(() -> aesKey(probe.calls).size() > 0);
  }

  private void register(Identity... cas) {
    running.registerClientCas(running.instance, Stream.of(cas).map(Identity::der).toList());
  }

  // Registers and waits until a handshake without a certificate is refused.
  private void lockTo(Identity... cas) throws Exception {
    register(cas);
    awaitLocked();
  }

  private void awaitLocked() {
    await().atMost(BOUND).until(() -> answer(client(null)) == Status.Code.UNAVAILABLE);
  }

  private record Client(ManagedChannel channel, CryptoBlockingStub calls) {}

  private Client client(@Nullable Identity identity, X509Certificate... above) throws Exception {
    var ssl = GrpcSslContexts.forClient().trustManager(running.demo.ca().toFile());
    if (identity != null) {
      var chain = new ArrayList<>(List.of(identity.certificate()));
      chain.addAll(List.of(above));
      ssl.keyManager(identity.privateKey(), chain.toArray(X509Certificate[]::new));
    }
    var channel = running.channel("localhost", ssl);
    return new Client(
        channel,
        CryptoGrpc.newBlockingStub(channel)
            .withInterceptors(
                RunningGateway.headers("authorization", "Bearer " + running.token(MANAGER))));
  }

  // How a call that makes the token work ends.
  private static Status.Code answer(Client client) {
    try {
      return aesKey(client.calls()).isEmpty() ? Status.Code.DATA_LOSS : Status.Code.OK;
    } catch (StatusRuntimeException e) {
      return e.getStatus().getCode();
    }
  }

  // ---- Opening and closing

  @Test
  void withoutAnyCaNoCertificateIsNeededAndAnyIsLetThrough() throws Exception {
    assertThat(answer(client(null))).isEqualTo(Status.Code.OK);
    assertThat(answer(client(APP))).isEqualTo(Status.Code.OK);
    assertThat(answer(client(TestCertificates.client("CN=old").expired().signedBy(TWO))))
        .isEqualTo(Status.Code.OK);
    assertThat(handshake("-tls1_3")).contains("No client certificate CA names sent");
  }

  @Test
  void theFirstCaShutsOutConnectionsThatShowedNoCertificateAndTheLastOneLetsThemInAgain()
      throws Exception {
    var bare = client(null);
    assertThat(answer(bare)).isEqualTo(Status.Code.OK);

    register(ONE);
    await().atMost(BOUND).until(() -> answer(bare) != Status.Code.OK);
    awaitLocked();
    int before = running.calls.generated();
    assertThat(answer(client(null))).isEqualTo(Status.Code.UNAVAILABLE);
    assertThat(answer(bare)).isNotEqualTo(Status.Code.OK);
    assertThat(running.calls.generated()).isEqualTo(before);
    assertThat(answer(client(APP))).isEqualTo(Status.Code.OK);

    register();
    await()
        .atMost(BOUND)
        .until(
            () -> answer(client(null)) == Status.Code.OK && answer(client(APP)) == Status.Code.OK);
  }

  /** Its connection was made when nobody was asked, and cannot show the certificate any more. */
  @RepeatedTest(5)
  void theFirstCaCostsAClientWithItsCertificateNoCall() throws Exception {
    APP.write(parent, "app");
    try (var client =
        Grep11Client.builder("localhost:" + running.gateway.cryptoPort())
            .trustedCa(running.demo.ca())
            .clientCertificate(parent.resolve("app.pem"), parent.resolve("app.key"))
            .token(() -> running.token(MANAGER))
            .build()) {
      var failures = new ConcurrentLinkedQueue<Throwable>();
      var calls = new AtomicInteger();
      var stopped = new AtomicBoolean();
      var threads = new ArrayList<Thread>();
      for (int i = 0; i < 8; i++) {
        threads.add(
            Thread.startVirtualThread(() -> {
              while (!stopped.get()) {
                try {
                  // Counted by the gateway, and so not repeated for most failures.
                  var _ = client.generateKey(Mechanisms.aesKeyGen(), Templates.aes(256));
                } catch (RuntimeException e) {
                  failures.add(e);
                }
                calls.incrementAndGet();
              }
            }));
      }
      try {
        await().atMost(Duration.ofSeconds(20)).until(() -> calls.get() > 50);
        lockTo(ONE);
        int before = calls.get();
        await().atMost(Duration.ofSeconds(20)).until(() -> calls.get() > before + 50);
      } finally {
        stopped.set(true);
        for (var thread : threads) {
          thread.join();
        }
      }
      assertThat(failures).isEmpty();
    }
  }

  @Test
  void aTokenIsNeededBesidesTheCertificate() throws Exception {
    lockTo(ONE);
    var withoutToken = CryptoGrpc.newBlockingStub(client(APP).channel());

    var refused = catchThrowableOfType(StatusRuntimeException.class, () -> aesKey(withoutToken));

    assertThat(refused.getStatus().getCode()).isEqualTo(Status.Code.UNAUTHENTICATED);
  }

  @Test
  void healthStaysWhileTheLockIsClosed() throws Exception {
    lockTo(ONE);

    assertThat(running.health(running.web(), "/readyz")).isEqualTo(200);
  }

  @Test
  void itIsClosedFromTheFirstHandshakeOnAfterARestart() throws Exception {
    register(ONE);
    running.close();
    running = RunningGateway.start(parent.resolve("demo"));
    // It tries the token when it starts.
    int before = running.calls.generated();

    assertThat(answer(client(null))).isEqualTo(Status.Code.UNAVAILABLE);
    assertThat(answer(client(OTHER_APP))).isEqualTo(Status.Code.UNAVAILABLE);
    assertThat(running.calls.generated()).isEqualTo(before);
    assertThat(answer(client(APP))).isEqualTo(Status.Code.OK);

    register();
    running.close();
    running = RunningGateway.start(parent.resolve("demo"));
    assertThat(answer(client(null))).isEqualTo(Status.Code.OK);
  }

  @Test
  void aRegisteredCertificateThatDoesNotParseRefusesEverybody() throws Exception {
    var bare = client(null);
    var good = client(APP);
    assertThat(answer(bare)).isEqualTo(Status.Code.OK);
    assertThat(answer(good)).isEqualTo(Status.Code.OK);

    running.registerClientCas(running.instance, List.of(ONE.der(), new byte[] {48, 3, 2, 1, 0}));

    await().atMost(BOUND).until(() -> answer(good) == Status.Code.UNAVAILABLE);
    var refused = catchThrowableOfType(StatusRuntimeException.class, () -> aesKey(bare.calls()));
    assertThat(detail(refused).getDetail()).contains("could not be confirmed");
    assertThat(answer(client(APP))).isEqualTo(Status.Code.UNAVAILABLE);
  }

  // ---- Certificates

  static Stream<Arguments> bad() {
    return Stream.of(
        Arguments.of("unknown-ca", "unknown ca", OTHER_APP),
        Arguments.of("unknown-ca", "unknown ca", TestCertificates.client("CN=alone").selfSigned()),
        Arguments.of(
            "expired",
            "certificate expired",
            TestCertificates.client("CN=late").expired().signedBy(ONE)),
        Arguments.of(
            "not-yet-valid",
            "certificate expired",
            TestCertificates.client("CN=early").notYetValid().signedBy(ONE)),
        Arguments.of(
            "not-for-clients",
            "unsupported certificate",
            TestCertificates.client("CN=server")
                .purpose(KeyPurposeId.id_kp_serverAuth)
                .signedBy(ONE)),
        Arguments.of("ca-as-leaf", "unsupported certificate", ONE));
  }

  @ParameterizedTest(name = "{0}: {2}")
  @MethodSource("bad")
  void aBadCertificateEndsTheHandshakeWithAnAlertAndIsAuditedWithItsNames(
      String word, String alert, Identity identity) throws Exception {
    lockTo(ONE);
    int before = running.calls.generated();
    identity.write(parent, "bad");
    var fingerprint = fingerprint(identity.certificate());
    int events = running.events(fingerprint).size();

    assertThat(answer(client(identity))).isEqualTo(Status.Code.UNAVAILABLE);
    assertThat(handshake("-tls1_2", "-cert", file("bad.pem"), "-key", file("bad.key")))
        .contains("alert " + alert);

    assertThat(running.calls.generated()).isEqualTo(before);
    // A Java client shows no certificate whose issuer is not named; openssl shows any.
    await().atMost(BOUND).until(() -> running.events(fingerprint).size() > events);
    var event = running.events(fingerprint).getLast();
    assertThat(event.get("action").asText()).isEqualTo("hs-crypto.ep11.connect");
    assertThat(event.get("severity").asText()).isEqualTo("critical");
    assertThat(event.at("/reason/reasonType").asText()).isEqualTo(word);
    assertThat(event.at("/reason/reasonForFailure").asText())
        .contains(identity.certificate().getSubjectX500Principal().getName())
        .contains(identity.certificate().getIssuerX500Principal().getName());
    assertThat(event.at("/initiator/host/address").asText()).isEqualTo("127.0.0.1");
  }

  private String file(String name) {
    return parent.resolve(name).toString();
  }

  private static String fingerprint(X509Certificate certificate) throws Exception {
    return java.util.HexFormat.of()
        .formatHex(
            java.security.MessageDigest.getInstance("SHA-256").digest(certificate.getEncoded()));
  }

  @ParameterizedTest
  @ValueSource(strings = {"-tls1_3", "-tls1_2"})
  void aHandshakeWithoutACertificateIsRefusedAndAudited(String version) throws Exception {
    lockTo(ONE);
    int before = running.events("no-certificate").size();

    handshake(version);

    await().atMost(BOUND).until(() -> running.events("no-certificate").size() > before);
  }

  @Test
  void nothingIsVerifiedBesideTheRegistry() throws Exception {
    var intermediate = TestCertificates.ca("CN=Department").signedBy(ONE);
    var leaf = TestCertificates.client("CN=deep").signedBy(intermediate);
    var version1 = TestCertificates.bare("CN=One CA").version1().signedBy(ONE);
    lockTo(ONE);

    // No extension at all, and the name of its issuer: what the published recipe makes.
    assertThat(answer(client(version1))).isEqualTo(Status.Code.OK);
    assertThat(answer(client(leaf, intermediate.certificate()))).isEqualTo(Status.Code.OK);
    assertThat(answer(client(leaf, intermediate.certificate(), ONE.certificate())))
        .isEqualTo(Status.Code.OK);
    assertThat(answer(client(leaf))).isEqualTo(Status.Code.UNAVAILABLE);

    register(intermediate);
    await().atMost(BOUND).until(() -> answer(client(leaf)) == Status.Code.OK);
    assertThat(answer(client(leaf, intermediate.certificate()))).isEqualTo(Status.Code.OK);
    assertThat(answer(client(version1))).isEqualTo(Status.Code.UNAVAILABLE);
  }

  @Test
  void anExpiringCertificateTakesItsConnectionAlong() throws Exception {
    lockTo(ONE);
    var end = Instant.now().plusSeconds(4);
    var shortLived =
        client(
            TestCertificates.client("CN=short")
                .valid(Instant.now().minusSeconds(60), end)
                .signedBy(ONE));
    assertThat(answer(shortLived)).isEqualTo(Status.Code.OK);

    await().atMost(Duration.ofSeconds(8)).until(() -> answer(shortLived) != Status.Code.OK);

    assertThat(Instant.now()).isAfter(end.minusSeconds(1)).isBefore(end.plus(BOUND));
    await()
        .atMost(BOUND)
        .until(() -> shortLived.channel().getState(false) != ConnectivityState.READY);
  }

  // ---- Open connections

  @Test
  void deletingACaEndsTheCallsOfItsClientsAndNobodyElseNotices() throws Exception {
    lockTo(ONE, TWO);
    try (var deleted = new Traffic(client(APP));
        var kept = new Traffic(client(OTHER_APP))) {
      deleted.awaitCalls(20);
      kept.awaitCalls(20);

      register(TWO);
      var committed = Instant.now();
      await().atMost(BOUND).until(() -> deleted.failure.get() != null);

      var atRefusal = kept.calls.get();
      kept.awaitCalls(atRefusal + 50);
      assertThat(deleted.lastSuccess.get()).isBefore(committed.plus(BOUND));
      assertThat(Objects.requireNonNull(deleted.failure.get()).getCode())
          .isIn(Status.Code.UNAUTHENTICATED, Status.Code.UNAVAILABLE);
      assertThat(kept.failure.get()).isNull();
    }
  }

  @Test
  void aSilentConnectionIsClosedWithinTheBound() throws Exception {
    lockTo(ONE, TWO);
    var silent = client(APP);
    assertThat(answer(silent)).isEqualTo(Status.Code.OK);
    assertThat(silent.channel().getState(false)).isEqualTo(ConnectivityState.READY);

    register(TWO);

    await().atMost(BOUND).until(() -> silent.channel().getState(false) != ConnectivityState.READY);
  }

  // Calls one after the other until the first that fails.
  private static final class Traffic implements AutoCloseable {
    final AtomicInteger calls = new AtomicInteger();
    final AtomicReference<Instant> lastSuccess = new AtomicReference<>(Instant.MIN);
    final AtomicReference<@Nullable Status> failure = new AtomicReference<>();
    private final Thread thread;
    private volatile boolean stopped;

    Traffic(Client client) {
      thread =
          Thread.ofPlatform()
              .daemon()
              .start(() -> {
                while (!stopped && failure.get() == null) {
                  try {
                    aesKey(client.calls());
                    calls.incrementAndGet();
                    lastSuccess.set(Instant.now());
                  } catch (StatusRuntimeException e) {
                    failure.set(e.getStatus());
                  }
                }
              });
    }

    void awaitCalls(int number) {
      await()
          .atMost(Duration.ofSeconds(20))
          .until(() -> calls.get() >= number || failure.get() != null);
    }

    @Override
    public void close() {
      stopped = true;
      try {
        thread.join();
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
    }
  }

  // ---- What a handshake asks for

  @ParameterizedTest
  @ValueSource(strings = {"-tls1_3", "-tls1_2"})
  void theRequestNamesEveryRegisteredCaOnce(String version) throws Exception {
    var renewed = TestCertificates.ca("CN=One CA").selfSigned();
    lockTo(ONE, renewed, TWO);

    // Clients in Go choose their certificate by these names.
    var names =
        handshake(version)
            .lines()
            .dropWhile(line -> !line.startsWith("Acceptable client certificate CA names"))
            .skip(1)
            .takeWhile(line -> line.startsWith("CN"))
            .toList();
    assertThat(names).containsExactlyInAnyOrder("CN = One CA", "CN = Two CA");
  }

  @ParameterizedTest
  @ValueSource(strings = {"-tls1_3", "-tls1_2"})
  void neverResumesASession(String version) throws Exception {
    lockTo(ONE);
    APP.write(parent, "app");
    var session = Files.createTempDirectory(parent, "session").resolve("session.pem");
    var identity = List.of("-cert", file("app.pem"), "-key", file("app.key"));

    var first = new ArrayList<>(List.of(version, "-sess_out", session.toString()));
    first.addAll(identity);
    assertThat(handshake(first.toArray(String[]::new))).containsPattern("New, TLSv1\\.[23]");

    if (Files.exists(session)) {
      var second = new ArrayList<>(List.of(version, "-sess_in", session.toString()));
      second.addAll(identity);
      assertThat(handshake(second.toArray(String[]::new)))
          .doesNotContain("Reused")
          .containsPattern("New, TLSv1\\.[23]");
      // And the session of a client that was let in is no way in without its certificate.
      assertThat(handshake(version, "-sess_in", session.toString())).doesNotContain("Reused");
    }
  }

  private String handshake(String... arguments) throws IOException, InterruptedException {
    var command =
        new ArrayList<>(
            List.of(
                "openssl",
                "s_client",
                "-connect",
                "127.0.0.1:" + running.gateway.cryptoPort(),
                "-alpn",
                "h2"));
    command.addAll(List.of(arguments));
    var process = new ProcessBuilder(command).redirectErrorStream(true).start();
    // In TLS 1.3 the server refuses after the client believes that it is done.
    Thread.sleep(500);
    process.getOutputStream().close();
    var output = new String(process.getInputStream().readAllBytes(), US_ASCII);
    process.waitFor();
    return output;
  }
}
