package dev.grep11.gateway.command;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.common.util.concurrent.ListenableFuture;
import com.google.protobuf.ByteString;
import dev.grep11.gateway.Gateway;
import dev.grep11.gateway.RunningGateway;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.token.StartException;
import dev.grep11.proto.AttributeValue;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.EncryptSingleRequest;
import dev.grep11.proto.GenerateKeyPairRequest;
import dev.grep11.proto.GenerateKeyPairResponse;
import dev.grep11.proto.GenerateKeyRequest;
import dev.grep11.proto.GenerateKeyResponse;
import dev.grep11.proto.Mechanism;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import java.io.IOException;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The program as people and supervisors run it: processes, signals, and what is left on disk. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class ProcessTest {
  private static final Mechanism CBC_PAD =
      Mechanism.newBuilder()
          .setMechanism(Ckm.CKM_AES_CBC_PAD)
          .setParameterB(ByteString.copyFrom(new byte[16]))
          .build();
  private static final ByteString PLAIN = ByteString.copyFromUtf8("the same in every process");

  private Path made = Path.of("");
  private Path output = Path.of("");

  @BeforeAll
  void make(@TempDir Path parent) throws IOException {
    made = parent.resolve("demo");
    output = Files.createDirectory(parent.resolve("output"));
    DemoData.open(made);
  }

  @Test
  void upDrainsOnSigtermAndItsKeysAreGoodInTheNextProcessAndInAReplica() throws Exception {
    ByteString key;
    ByteString ciphered;
    try (var first =
            GatewayProcess.start(output, "up", "--data", made.toString(), "--port-base", "0");
        var client = new Client(made, first.awaitReady())) {
      key = client.aes();
      ciphered = client.encrypt(key);
      first.terminate();
      assertThat(first.awaitExit()).as(first.stderr()).isZero();
      assertThat(first.stdout() + first.stderr())
          .doesNotContain(PLAIN.toStringUtf8())
          .doesNotContain(Files.readString(made.resolve("apikey")))
          .doesNotContain(Files.readString(made.resolve("token").resolve("pin")))
          .doesNotContain(HexFormat.of().formatHex(key.substring(key.size() - 32).toByteArray()));
    }
    int base = GatewayProcess.freePorts();
    try (var second =
            GatewayProcess.start(output, "up", "--data", made.toString(), "--port-base", "0");
        var replica =
            GatewayProcess.start(
                output, "up", "--data", made.toString(), "--port-base", Integer.toString(base));
        var atSecond = new Client(made, second.awaitReady());
        var atReplica = new Client(made, replica.awaitReady())) {
      assertThat(replica.awaitReady())
          .containsEntry("grep11", "localhost:" + base)
          .containsEntry("iam", "https://localhost:" + (base + 2))
          .containsEntry("health", "localhost:" + (base + 3));
      assertThat(atSecond.encrypt(key)).isEqualTo(ciphered);
      assertThat(atReplica.encrypt(key)).isEqualTo(ciphered);
      var ofReplica = atReplica.aes();
      var ofSecond = atSecond.aes();
      assertThat(atSecond.encrypt(ofReplica)).isEqualTo(atReplica.encrypt(ofReplica));
      assertThat(atReplica.encrypt(ofSecond)).isEqualTo(atSecond.encrypt(ofSecond));
    }
  }

  @Test
  void aSecondProcessWritesNothingIntoTheAuditFileOfTheFirst(@TempDir Path parent)
      throws Exception {
    var demo = DemoData.open(parent.resolve("demo"));
    var file = parent.resolve("audit.jsonl");
    var one = configuration(demo, "one.yaml", file);
    var two = configuration(demo, "two.yaml", file);
    try (var first = GatewayProcess.start(output, "serve", "--config", one.toString())) {
      assertThat(first.awaitReady()).containsKey("grep11");
      assertThat(verify(file, one)).as("of which nobody asked anything yet").isZero();
      assertThat(verify(Files.createFile(parent.resolve("audit.copy")), one)).isEqualTo(1);
    }
    try (var first = GatewayProcess.start(output, "serve", "--config", one.toString());
        var client = new Client(parent.resolve("demo"), first.awaitReady())) {
      assertThat(client.encrypt(client.aes()).isEmpty()).isFalse();
      await().until(() -> Files.size(file) > 0);
      var before = Files.readAllBytes(file);
      try (var second = GatewayProcess.start(output, "serve", "--config", two.toString())) {
        assertThat(second.awaitExit()).isEqualTo(1);
        assertThat(second.stderr()).contains(file + ": another gateway writes it");
      }
      assertThat(Files.readAllBytes(file)).startsWith(before);
      try (var doctor = GatewayProcess.start(output, "doctor", "--config", two.toString())) {
        assertThat(doctor.awaitExit()).isEqualTo(1);
        assertThat(doctor.stdout()).contains("give each gateway an audit.file of its own");
      }
      // It has not taken the lock from the first by looking.
      try (var second = GatewayProcess.start(output, "serve", "--config", two.toString())) {
        assertThat(second.awaitExit()).isEqualTo(1);
      }
      first.kill();
      assertThat(first.awaitExit()).isNotZero();
    }
    try (var second = GatewayProcess.start(output, "serve", "--config", two.toString())) {
      assertThat(second.awaitReady()).containsKey("grep11");
    }
    assertThat(verify(file, one)).isZero();
  }

  private int verify(Path file, Path configuration) throws Exception {
    try (var verify =
        GatewayProcess.start(
            output, "audit", "verify", file.toString(), "--config", configuration.toString())) {
      return verify.awaitExit();
    }
  }

  /** Of the demo, with ports of its own. */
  private static Path configuration(DemoData demo, String name, Path audit) throws IOException {
    var file = demo.config().resolveSibling(name);
    var settings =
        Files.readString(demo.config())
            .replaceFirst(
                "(?m)^( *)host: 127.0.0.1$",
                "$1host: 127.0.0.1\n$1portBase: " + GatewayProcess.freePorts())
            .replaceFirst("(?m)^( *)file: .*audit.*$", "$1file: " + audit);
    assertThat(settings).contains(audit.toString(), "portBase: ");
    return Files.writeString(file, settings);
  }

  @Test
  void withoutTracingNothingOfOpenTelemetryIsLoaded() throws Exception {
    var classes = output.resolve("classes");
    try (var gateway =
            GatewayProcess.start(
                output,
                // Collections tell metrics of their own.
                List.of("-Xlog:class+load:file=" + classes, "-Xmn4m"),
                "up",
                "--data",
                made.toString(),
                "--port-base",
                "0");
        var client = new Client(made, gateway.awaitReady());
        var web = RunningGateway.web(made.resolve("tls").resolve("ca.pem"))) {
      assertThat(client.encrypt(client.aes()).isEmpty()).isFalse();
      var metrics =
          URI.create("https://" + gateway.awaitReady().getOrDefault("health", "") + "/metrics");
      await()
          .atMost(Duration.ofMinutes(1))
          .untilAsserted(() ->
              assertThat(
                      web.send(
                              HttpRequest.newBuilder(metrics).build(),
                              HttpResponse.BodyHandlers.ofString())
                          .body())
                  .contains("grep11_calls_total{", "jvm_memory_pool_allocated_bytes_total{"));
      gateway.terminate();
      assertThat(gateway.awaitExit()).as(gateway.stderr()).isZero();
    }

    var loaded = Files.readString(classes).lines().toList();
    assertThat(loaded).anyMatch(line -> line.contains(" dev.grep11.gateway.trace.Tracing "));
    assertThat(loaded).filteredOn(line -> line.contains(" io.opentelemetry.")).isEmpty();
  }

  @Test
  void serveLetsARunningCallEndAndExitsWithZero() throws Exception {
    var config = production();
    try (var gateway = GatewayProcess.start(output, "serve", "--config", config.toString())) {
      var ready = new HashMap<>(gateway.awaitReady());
      try (var client = new Client(made, ready)) {
        var key = client.aes();
        // Two at a time, so that the third still waits when the signal comes.
        var calls = Stream.generate(client::rsa3072).limit(3).toList();
        Thread.sleep(100);
        assertThat(calls).anyMatch(call -> !call.isDone());

        gateway.terminate();

        for (var call : calls) {
          assertThat(call.get(30, TimeUnit.SECONDS).getPrivKeyBytes().isEmpty()).isFalse();
        }
        assertThatThrownBy(() -> client.encrypt(key)).isInstanceOf(StatusRuntimeException.class);
        assertThat(gateway.awaitExit()).isZero();
        assertThat(gateway.stderr()).doesNotContain("Exception").doesNotContain("cut off");
      }
    }
  }

  /**
   * OpenSSL cleans up when a process exits, under the feet of a search for primes. Where exit
   * handlers run, this ends by SIGSEGV now and then, not always.
   */
  @Test
  @Tag("load")
  void aSearchForPrimesDoesNotCrashTheEndOfTheProcess() throws Exception {
    try (var gateway = GatewayProcess.start(output, "serve", "--config", production().toString())) {
      try (var client = new Client(made, new HashMap<>(gateway.awaitReady()))) {
        var parameters = client.dhParameters(2048);
        Thread.sleep(500);
        gateway.terminate();

        assertThat(gateway.awaitExit()).as(gateway.stderr()).isZero();
        assertThat(parameters).isDone();
      }
    }
  }

  @Test
  void serveThatIsToldToEndWhileItStartsExitsWithZero() throws Exception {
    var config = production();
    var audit = made.resolve("audit-starting.jsonl");
    Files.writeString(
        config, Files.readString(config).replace("audit-production.jsonl", audit.toString()));
    try (var gateway = GatewayProcess.start(output, "serve", "--config", config.toString())) {
      // The first thing that a starting gateway opens.
      await()
          .pollInterval(Duration.ofMillis(2))
          .atMost(Duration.ofSeconds(30))
          .until(() -> Files.exists(audit));
      gateway.terminate();

      assertThat(gateway.awaitExit()).as(gateway.stderr()).isZero();
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"TERM", "KILL"})
  void upThatIsEndedDuringItsFirstCreationBeginsAnew(String signal, @TempDir Path parent)
      throws Exception {
    var data = parent.resolve("data");
    try (var cutOff =
        GatewayProcess.start(output, "up", "--data", data.toString(), "--port-base", "0")) {
      await()
          .pollInterval(Duration.ofMillis(2))
          .atMost(Duration.ofSeconds(30))
          .until(() -> Files.exists(data.resolve(".unfinished").resolve("gateway.yaml")));
      if (signal.equals("KILL")) {
        cutOff.kill();
      } else {
        cutOff.terminate();
        assertThat(cutOff.awaitExit()).as(cutOff.stderr()).isZero();
      }
      assertThat(cutOff.stdout()).isEmpty();
    }
    assertThat(data.resolve("gateway.yaml")).doesNotExist();

    DemoData.open(data);

    assertThat(data.resolve(".unfinished")).doesNotExist();
    try (var gateway = Gateway.start(DemoData.open(data).settings(0))) {
      assertThat(gateway.cryptoPort()).isPositive();
    }
  }

  @Test
  void aCreationThatWasCutOffWhileItWasPublishedIsFinished(@TempDir Path parent) throws Exception {
    var data = parent.resolve("data");
    DemoData.open(data);
    var apiKey = Files.readString(data.resolve("apikey"));
    var unfinished = Files.createDirectory(data.resolve(".unfinished"));
    for (var part : List.of("store", "apikey")) {
      Files.move(data.resolve(part), unfinished.resolve(part));
    }
    Files.createFile(unfinished.resolve("finished"));

    DemoData.open(data);

    assertThat(data.resolve("apikey")).hasContent(apiKey);
    assertThat(data.resolve("store")).isDirectory();
    assertThat(unfinished).doesNotExist();
  }

  @ParameterizedTest
  @ValueSource(strings = {"token", "tls", "gateway.yaml", "store", "apikey", "certmgr-apikey"})
  void aDemoThatLostAPartIsRefusedAndNotRepaired(String part, @TempDir Path parent)
      throws Exception {
    var data = parent.resolve("data");
    Files.createDirectory(data);
    for (var other : List.of("token", "tls", "gateway.yaml", "store", "apikey", "certmgr-apikey")) {
      if (!other.equals(part)) {
        Files.createFile(data.resolve(other));
      }
    }

    assertThatThrownBy(() -> DemoData.open(data))
        .isInstanceOf(StartException.class)
        .hasMessageContaining("missing: " + data.resolve(part) + ".");
    assertThat(data.resolve(part)).doesNotExist();
  }

  @Test
  void aCopyOfADemoIsRefusedWhileTheOriginalIsThere(@TempDir Path parent) throws Exception {
    var original = parent.resolve("original");
    var copy = parent.resolve("copy");
    DemoData.open(original);
    DemoCopy.plain(original, copy);

    assertThatThrownBy(() -> DemoData.open(copy))
        .isInstanceOf(StartException.class)
        .hasMessageContaining("would use the token of the original, " + original.resolve("token"))
        .hasMessageContaining("sed -i");
    assertThatThrownBy(() -> DemoData.configuration(copy)).isInstanceOf(StartException.class);
    DemoData.open(original);
  }

  @Test
  void aDemoThatWasMovedGoesOnWithItsOwnToken(@TempDir Path parent) throws Exception {
    var original = parent.resolve("original");
    DemoData.open(original);
    var moved = Files.move(original, parent.resolve("moved"));

    try (var gateway = Gateway.start(DemoData.open(moved).settings(0))) {
      assertThat(gateway.cryptoPort()).isPositive();
    }

    assertThat(moved.resolve("token").resolve("softhsm2.conf"))
        .content()
        .contains("directories.tokendir = " + moved.resolve("token").resolve("tokens"));
    assertThat(GatewayConfig.read(moved.resolve("gateway.yaml")).hsm().environment())
        .containsEntry("SOFTHSM2_CONF", moved.resolve("token").resolve("softhsm2.conf").toString());
    assertThat(original).doesNotExist();
  }

  /** The remedy of the refusal, by hand. */
  @Test
  void aCopyWithATokenOfItsOwnIsADemo(@TempDir Path parent) throws Exception {
    var original = parent.resolve("original");
    var copy = parent.resolve("copy");
    DemoData.open(original);
    DemoCopy.plain(original, copy);
    for (var file : List.of(copy.resolve("gateway.yaml"), copy.resolve("token/softhsm2.conf"))) {
      Files.writeString(
          file,
          Files.readString(file)
              .replace(original.resolve("token").toString(), copy.resolve("token").toString()));
    }

    assertThat(DemoData.open(copy).ca()).exists();
  }

  @Test
  void aPortThatIsTakenIsAFailureInOneLine() throws Exception {
    // The ports after it are free: of two that are taken, the line says both.
    try (var taken = new ServerSocket(GatewayProcess.freePorts())) {
      try (var gateway =
          GatewayProcess.start(
              output,
              "up",
              "--data",
              made.toString(),
              "--port-base",
              Integer.toString(taken.getLocalPort()))) {
        assertThat(gateway.awaitExit()).isEqualTo(1);
        assertThat(gateway.stdout()).isEmpty();
        assertThat(gateway.stderr().lines()).hasSize(1);
        assertThat(gateway.stderr())
            .startsWith("grep11: port " + taken.getLocalPort() + " is in use")
            .contains("another --port-base");
      }
    }
  }

  /** The same gateway with a configuration for production, on free ports. */
  private Path production() throws IOException {
    var text = Files.readString(DemoData.config(made));
    var file = Files.createTempFile(made, "production", ".yaml");
    Files.writeString(
        file,
        text.replace("mode: demo", "mode: production\npolicy: compatible")
            .replace("host: 127.0.0.1", "host: 127.0.0.1\n  portBase: 0")
            .replace("audit.jsonl", "audit-production.jsonl"));
    return file;
  }

  private static AttributeValue number(long value) {
    return AttributeValue.newBuilder().setAttributeI(value).build();
  }

  /** A client that knows no more than the ready line and the environment file say. */
  private static final class Client implements AutoCloseable {
    final ManagedChannel channel;
    final io.grpc.ClientInterceptor authorization;
    final CryptoGrpc.CryptoBlockingStub stub;

    Client(Path demo, Map<String, String> ready) throws Exception {
      var address = ready.getOrDefault("grep11", "").split(":", -1);
      var ca = demo.resolve("tls").resolve("ca.pem");
      channel =
          NettyChannelBuilder.forAddress(address[0], Integer.parseInt(address[1]))
              .sslContext(GrpcSslContexts.forClient().trustManager(ca.toFile()).build())
              .build();
      authorization =
          RunningGateway.headers(
              "authorization", "Bearer " + token(demo, ca, ready.getOrDefault("iam", "")));
      stub =
          CryptoGrpc.newBlockingStub(channel)
              .withInterceptors(authorization)
              .withDeadlineAfter(30, TimeUnit.SECONDS);
    }

    private static String token(Path demo, Path ca, String iam) throws Exception {
      try (var web = RunningGateway.web(ca)) {
        var answer =
            web.send(
                HttpRequest.newBuilder(URI.create(iam + "/identity/token"))
                    .header("Content-Type", "application/x-www-form-urlencoded")
                    .POST(
                        HttpRequest.BodyPublishers.ofString(
                            "grant_type=urn:ibm:params:oauth:grant-type:apikey&apikey="
                                + Files.readString(demo.resolve("apikey"))))
                    .build(),
                HttpResponse.BodyHandlers.ofString());
        return new ObjectMapper().readTree(answer.body()).get("access_token").asText();
      }
    }

    ListenableFuture<GenerateKeyPairResponse> rsa3072() {
      return CryptoGrpc.newFutureStub(channel)
          .withInterceptors(authorization)
          .generateKeyPair(
              GenerateKeyPairRequest.newBuilder()
                  .setMech(Mechanism.newBuilder().setMechanism(Ckm.CKM_RSA_PKCS_KEY_PAIR_GEN))
                  .putPubKeyTemplate(Cka.CKA_MODULUS_BITS, number(3072))
                  .putPubKeyTemplate(Cka.CKA_PUBLIC_EXPONENT, number(65537))
                  .build());
    }

    /** A search that takes from seconds to minutes. */
    ListenableFuture<GenerateKeyResponse> dhParameters(int bits) {
      return CryptoGrpc.newFutureStub(channel)
          .withInterceptors(authorization)
          .generateKey(
              GenerateKeyRequest.newBuilder()
                  .setMech(Mechanism.newBuilder().setMechanism(Ckm.CKM_DH_PKCS_PARAMETER_GEN))
                  .putTemplate(Cka.CKA_PRIME_BITS, number(bits))
                  .build());
    }

    ByteString aes() {
      return stub.generateKey(
              GenerateKeyRequest.newBuilder()
                  .setMech(Mechanism.newBuilder().setMechanism(Ckm.CKM_AES_KEY_GEN))
                  .putTemplate(Cka.CKA_VALUE_LEN, number(32))
                  .build())
          .getKeyBytes();
    }

    ByteString encrypt(ByteString key) {
      return stub.encryptSingle(
              EncryptSingleRequest.newBuilder()
                  .setKeyBytes(key)
                  .setMech(CBC_PAD)
                  .setPlain(PLAIN)
                  .build())
          .getCiphered();
    }

    @Override
    public void close() {
      channel.shutdownNow();
    }
  }
}
