package dev.grep11.gateway;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.protobuf.ByteString;
import dev.grep11.agent.config.ClientConfig;
import dev.grep11.agent.config.ClientConfigFile;
import dev.grep11.gateway.command.DemoData;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.store.ApiKeyRecord;
import dev.grep11.gateway.store.KeystoreRecord;
import dev.grep11.gateway.token.StartException;
import dev.grep11.proto.AttributeValue;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.DecryptSingleRequest;
import dev.grep11.proto.DigestSingleRequest;
import dev.grep11.proto.EncryptSingleRequest;
import dev.grep11.proto.GenerateKeyRequest;
import dev.grep11.proto.Mechanism;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.MetadataUtils;
import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLHandshakeException;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** A whole gateway, as {@code grep11 up} runs it: token, store, tokens, TLS and health. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class GatewayTest {
  private static final Mechanism AES_CBC_PAD =
      Mechanism.newBuilder()
          .setMechanism(Ckm.CKM_AES_CBC_PAD)
          .setParameterB(ByteString.copyFrom(new byte[16]))
          .build();

  private Path directory = Path.of("");
  private @Nullable DemoData made;

  @BeforeAll
  void make(@TempDir Path parent) {
    directory = parent.resolve("demo");
    made = DemoData.open(directory);
  }

  @Test
  void replicasOpenEachOthersBlobs() throws Exception {
    try (var one = Gateway.start(demo().settings(0));
        var two = Gateway.start(replica());
        var atOne = new Client(one);
        var atTwo = new Client(two)) {
      var key = atOne.stub.generateKey(aes()).getKeyBytes();
      var plain = ByteString.copyFromUtf8("kept by nobody but the client");
      var ciphered =
          atOne
              .stub
              .encryptSingle(
                  EncryptSingleRequest.newBuilder()
                      .setKeyBytes(key)
                      .setMech(AES_CBC_PAD)
                      .setPlain(plain)
                      .build())
              .getCiphered();

      assertThat(
              atTwo
                  .stub
                  .decryptSingle(
                      DecryptSingleRequest.newBuilder()
                          .setKeyBytes(key)
                          .setMech(AES_CBC_PAD)
                          .setCiphered(ciphered)
                          .build())
                  .getPlain())
          .isEqualTo(plain);
    }
  }

  @Test
  void aKeyIsStillGoodAfterARestart() throws Exception {
    ByteString key;
    try (var gateway = Gateway.start(demo().settings(0));
        var client = new Client(gateway)) {
      key = client.stub.generateKey(aes()).getKeyBytes();
      gateway.drain();
    }
    DemoData.open(directory);
    try (var gateway = Gateway.start(demo().settings(0));
        var client = new Client(gateway)) {
      assertThat(
              client
                  .stub
                  .encryptSingle(
                      EncryptSingleRequest.newBuilder()
                          .setKeyBytes(key)
                          .setMech(AES_CBC_PAD)
                          .build())
                  .getCiphered())
          .hasSize(16);
    }
  }

  @Test
  void healthAnswersWithoutAToken() throws Exception {
    try (var gateway = Gateway.start(demo().settings(0));
        var http = http()) {
      for (var path : new String[] {"/livez", "/readyz", "/startupz"}) {
        var answer =
            http.send(
                HttpRequest.newBuilder(
                        URI.create("https://localhost:" + gateway.healthPort() + path))
                    .build(),
                HttpResponse.BodyHandlers.ofString());
        assertThat(answer.statusCode()).as(path).isEqualTo(200);
      }
    }
  }

  @Test
  void noPortTakesACipherSuiteWithoutAuthenticatedEncryption() throws Exception {
    try (var gateway = Gateway.start(demo().settings(0))) {
      var ports =
          List.of(
              gateway.cryptoPort(),
              gateway.healthPort(),
              gateway.tokenService().orElseThrow().getPort());
      for (int port : ports) {
        try (var socket =
            (SSLSocket) trusting().getSocketFactory().createSocket("localhost", port)) {
          socket.setEnabledProtocols(new String[] {"TLSv1.2"});
          socket.setEnabledCipherSuites(new String[] {"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384"});
          assertThatThrownBy(socket::startHandshake)
              .as("port %d", port)
              .isInstanceOf(SSLHandshakeException.class);
        }
      }
    }
  }

  @Test
  void aCallWithoutATokenIsRefusedAndAudited() throws Exception {
    try (var gateway = Gateway.start(demo().settings(0));
        var client = new Client(gateway)) {
      var stranger = CryptoGrpc.newBlockingStub(client.channel);

      assertThatThrownBy(() -> stranger.digestSingle(DigestSingleRequest.getDefaultInstance()))
          .isInstanceOfSatisfying(
              StatusRuntimeException.class,
              refused ->
                  assertThat(refused.getStatus().getCode()).isEqualTo(Status.Code.UNAUTHENTICATED));
    }
    assertThat(demo().settings(0).audit().file().orElseThrow())
        .content()
        .contains("hs-crypto.ep11.use")
        .contains("/grep11.Crypto/DigestSingle")
        .contains("CKR_IBM_GREP11_NOT_AUTHENTICATED");
  }

  @Test
  void theEnvironmentFileIsForItsOwnerOnly() throws Exception {
    try (var gateway = Gateway.start(demo().settings(0))) {
      var file = demo().writeEnvironment(demo().settings(0), gateway);

      assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file)))
          .isEqualTo("rw-------");
      assertThat(file)
          .content()
          .contains("export GREP11_ADDRESS='localhost:" + gateway.cryptoPort() + "'")
          .contains("export GREP11_IAMENDPOINT='https://localhost:");
    }
  }

  @Test
  void anAgentFindsItsConfigurationThroughTheEnvironmentFile() throws Exception {
    try (var gateway = Gateway.start(demo().settings(0))) {
      var settings = demo().settings(0);
      var file = demo().writeClientConfiguration(settings, gateway).orElseThrow();

      assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file)))
          .isEqualTo("rw-------");
      assertThat(demo().writeEnvironment(settings, gateway))
          .content()
          .contains("export EP11CLIENT_CFG='" + file + "'")
          .contains("export GREP11_AGENT_SOCKET='" + directory + "/agent-");
      var token = ClientConfigFile.read(file).tokens().values().iterator().next();
      assertThat(token.storage()).isInstanceOf(ClientConfig.Storage.Remote.class);
      assertThat(token.address()).isEqualTo("localhost:" + gateway.cryptoPort());
      assertThat(token.connection().ca()).contains(demo().ca());
      assertThat(ClientConfigFile.read(file).warnings()).isEmpty();
    }
  }

  @Test
  void aDemoOfBeforeGetsItsKeystoresAndTheGuestsKey() throws Exception {
    Files.delete(directory.resolve("guest-apikey"));
    DemoData.open(directory);
    assertThat(directory.resolve("guest-apikey")).content().isNotBlank();

    var config = GatewayConfig.read(demo().config());
    var instance = config.instance().orElseThrow();
    try (var host = Host.open(config)) {
      List<KeystoreRecord> made = host.store().keystores().read(instance, view -> view.keystores());
      assertThat(made).extracting(KeystoreRecord::name).containsExactly("demo", "demo");
      assertThat(host.store().apiKeys())
          .extracting(ApiKeyRecord::name)
          .containsOnlyOnce("demo-guest");
      var id = UUID.randomUUID();
      assertThat(host.createKeystore(instance, id, "mine")).isTrue();
      assertThat(host.createKeystore(instance, id, "again")).isFalse();
      Optional<KeystoreRecord> mine =
          host.store().keystores().read(instance, view -> view.find(id));
      assertThat(mine.map(KeystoreRecord::name)).contains("mine");
    }
  }

  @Test
  void aPartOfADemoIsRefusedAndWhatIsMissingIsNamed(@TempDir Path other) throws Exception {
    Files.writeString(other.resolve("apikey"), "left over");

    assertThatThrownBy(() -> DemoData.open(other))
        .isInstanceOf(StartException.class)
        .hasMessageContaining(other.resolve("token").toString())
        .hasMessageContaining(other.resolve("store").toString());
    assertThat(other.resolve("token")).doesNotExist();
  }

  private DemoData demo() {
    return java.util.Objects.requireNonNull(made);
  }

  /** As another process of it would be. */
  private GatewayConfig replica() {
    return GatewayConfig.read(
        demo().config(), Map.of("/listen/portBase", 0, "/audit/file", "audit-replica.jsonl"));
  }

  private static GenerateKeyRequest aes() {
    return GenerateKeyRequest.newBuilder()
        .setMech(Mechanism.newBuilder().setMechanism(Ckm.CKM_AES_KEY_GEN))
        .putTemplate(Cka.CKA_VALUE_LEN, AttributeValue.newBuilder().setAttributeI(32).build())
        .build();
  }

  private HttpClient http() throws Exception {
    return HttpClient.newBuilder().sslContext(trusting()).build();
  }

  private SSLContext trusting() throws Exception {
    var trusted = KeyStore.getInstance(KeyStore.getDefaultType());
    trusted.load(null, null);
    try (var in = new FileInputStream(demo().ca().toFile())) {
      trusted.setCertificateEntry(
          "ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
    }
    var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(trusted);
    var context = SSLContext.getInstance("TLS");
    context.init(null, trust.getTrustManagers(), null);
    return context;
  }

  /** A client with a token of the gateway's own token service. */
  private final class Client implements AutoCloseable {
    final ManagedChannel channel;
    final CryptoGrpc.CryptoBlockingStub stub;

    Client(Gateway gateway) throws Exception {
      channel =
          NettyChannelBuilder.forAddress("localhost", gateway.cryptoPort())
              .sslContext(GrpcSslContexts.forClient().trustManager(demo().ca().toFile()).build())
              .build();
      var headers = new Metadata();
      headers.put(
          Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER),
          "Bearer " + token(gateway));
      stub =
          CryptoGrpc.newBlockingStub(channel)
              .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers))
              .withDeadlineAfter(30, TimeUnit.SECONDS);
    }

    private String token(Gateway gateway) throws Exception {
      var port = gateway.tokenService().orElseThrow().getPort();
      var form =
          "grant_type=urn:ibm:params:oauth:grant-type:apikey&apikey="
              + Files.readString(directory.resolve("apikey"));
      try (var http = http()) {
        var answer =
            http.send(
                HttpRequest.newBuilder(URI.create("https://localhost:" + port + "/identity/token"))
                    .header("Content-Type", "application/x-www-form-urlencoded")
                    .POST(HttpRequest.BodyPublishers.ofString(form))
                    .build(),
                HttpResponse.BodyHandlers.ofString());
        return new ObjectMapper().readTree(answer.body()).get("access_token").asText();
      }
    }

    @Override
    public void close() {
      channel.shutdownNow();
    }
  }
}
