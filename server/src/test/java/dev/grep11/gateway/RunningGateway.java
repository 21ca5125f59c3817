package dev.grep11.gateway;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.protobuf.ByteString;
import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.crypto.ECDSASigner;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.KeyUse;
import com.nimbusds.jose.jwk.gen.ECKeyGenerator;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import dev.grep11.gateway.command.DemoData;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.host.StartSteps;
import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.HsmSettings;
import dev.grep11.gateway.iam.GrantRegister;
import dev.grep11.gateway.iam.Roles;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.store.Entitlement;
import dev.grep11.gateway.store.Grant;
import dev.grep11.gateway.store.RegistryRecord;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.Subject;
import dev.grep11.gateway.token.HsmCalls;
import dev.grep11.proto.AttributeValue;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.EncryptSingleRequest;
import dev.grep11.proto.GenerateKeyRequest;
import dev.grep11.proto.Grep11Error;
import dev.grep11.proto.Mechanism;
import dev.grep11.proto.certmgr.CertificateManagerGrpc;
import dev.grep11.proto.certmgr.CertificateManagerGrpc.CertificateManagerBlockingStub;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.util.InsecureTrustManagerFactory;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.function.BiFunction;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import java.util.stream.Collectors;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * A demo gateway with one more issuer, whose keys the test holds, beside the embedded token
 * service; and clients of it.
 */
public final class RunningGateway implements AutoCloseable {
  static final String ISSUER = "https://issuer.test";
  static final String AUDIENCE = "grep11-test";

  /** Manager of the instance by a grant in the store. */
  static final String MANAGER = "IBMid-manager";

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Metadata.Key<String> CORRELATION =
      Metadata.Key.of("x-correlation-id", Metadata.ASCII_STRING_MARSHALLER);

  final Path directory;
  final DemoData demo;
  final GatewayConfig config;
  final ECKey issuerKey;
  final Gateway gateway;
  final UUID instance;

  /** What the gateway does to the token. */
  final CountedCalls calls;

  private final List<ManagedChannel> channels = new ArrayList<>();
  private final List<HttpClient> webClients = new ArrayList<>();

  /** A gateway in a directory, which is made a demo if it is none yet. */
  static RunningGateway start(Path directory) throws Exception {
    return start(directory, Map.of());
  }

  /**
   * @param settings replaced ones, by JSON pointer
   */
  static RunningGateway start(Path directory, Map<String, Object> settings) throws Exception {
    return start(directory, settings, InstantSource.system());
  }

  /** By a wall clock of the test. */
  static RunningGateway start(Path directory, Map<String, Object> settings, InstantSource clock)
      throws Exception {
    var calls = new CountedCalls();
    return new RunningGateway(
        directory, settings, calls, calls::open, StartSteps::openStore, clock);
  }

  /** Over a token that the test has wrapped, whose calls are not counted here. */
  static RunningGateway start(
      Path directory, Map<String, Object> settings, Function<HsmSettings, Hsm> openHsm)
      throws Exception {
    return new RunningGateway(
        directory,
        settings,
        new CountedCalls(),
        openHsm,
        StartSteps::openStore,
        InstantSource.system());
  }

  /** Over a store that the test has wrapped. */
  static RunningGateway start(
      Path directory,
      Map<String, Object> settings,
      BiFunction<GatewayConfig, HsmCalls, Store> openStore)
      throws Exception {
    var calls = new CountedCalls();
    return new RunningGateway(
        directory, settings, calls, calls::open, openStore, InstantSource.system());
  }

  /** Over a token and a store that the test has wrapped. */
  static RunningGateway start(
      Path directory,
      Map<String, Object> settings,
      Function<HsmSettings, Hsm> openHsm,
      BiFunction<GatewayConfig, HsmCalls, Store> openStore)
      throws Exception {
    return new RunningGateway(
        directory, settings, new CountedCalls(), openHsm, openStore, InstantSource.system());
  }

  private RunningGateway(
      Path directory,
      Map<String, Object> settings,
      CountedCalls calls,
      Function<HsmSettings, Hsm> openHsm,
      BiFunction<GatewayConfig, HsmCalls, Store> openStore,
      InstantSource clock)
      throws Exception {
    this.directory = directory;
    this.calls = calls;
    demo = DemoData.open(directory);
    issuerKey = new ECKeyGenerator(Curve.P_256).keyID("test-1").keyUse(KeyUse.SIGNATURE).generate();
    Files.writeString(directory.resolve("jwks.json"), new JWKSet(issuerKey).toString());
    instance = GatewayConfig.read(demo.config()).instance().orElseThrow();
    var replaced = new HashMap<String, Object>();
    replaced.put("/listen/portBase", 0);
    replaced.put("/store/pollMillis", 100);
    replaced.put("/audit/file", "audit.jsonl");
    replaced.put(
        "/issuers",
        List.of(Map.of("issuer", ISSUER, "jwksFile", "jwks.json", "audience", AUDIENCE)));
    replaced.putAll(settings);
    config = GatewayConfig.read(demo.config(), replaced);
    grant(MANAGER, "Manager");
    gateway = Gateway.start(config, openHsm, openStore, clock);
  }

  /** Another gateway on the same store and token; the caller's to close. */
  Gateway another(String name, Map<String, Object> settings) {
    return another(name, settings, calls::open);
  }

  /** The same, over a token that the test has wrapped. */
  Gateway another(String name, Map<String, Object> settings, Function<HsmSettings, Hsm> openHsm) {
    return Gateway.start(configOf(name, settings), openHsm);
  }

  /** The same, over a store that the test has wrapped. */
  Gateway anotherOver(
      BiFunction<GatewayConfig, HsmCalls, Store> openStore,
      String name,
      Map<String, Object> settings) {
    return Gateway.start(configOf(name, settings), calls::open, openStore, InstantSource.system());
  }

  private GatewayConfig configOf(String name, Map<String, Object> settings) {
    var replaced = new HashMap<String, Object>();
    replaced.put("/listen/portBase", 0);
    replaced.put("/store/pollMillis", 100);
    replaced.put("/audit/file", name + ".jsonl");
    replaced.put(
        "/issuers",
        List.of(Map.of("issuer", ISSUER, "jwksFile", "jwks.json", "audience", AUDIENCE)));
    replaced.putAll(settings);
    return GatewayConfig.read(demo.config(), replaced);
  }

  // ---- Who may what

  boolean grant(String subject, String role) {
    return grant(subject, role, instance);
  }

  boolean grant(String subject, String role, UUID where) {
    return changeGrants(register -> register.add(grantOf(subject, role, where)));
  }

  boolean revoke(String subject, String role) {
    return changeGrants(register -> register.remove(grantOf(subject, role, instance)));
  }

  private static Grant grantOf(String subject, String role, UUID where) {
    return new Grant(
        new Subject(ISSUER, subject), where, new Entitlement.Role(role), Optional.empty());
  }

  private boolean changeGrants(java.util.function.Predicate<GrantRegister> change) {
    try (var host = Host.open(config)) {
      return change.test(new GrantRegister(host.store(), Roles.standard()));
    }
  }

  /** Puts these client CAs in the place of those that the instance has. */
  void registerClientCas(UUID where, List<byte[]> certificates) {
    try (var host = Host.open(config)) {
      boolean replaced =
          host.store()
              .change(change -> {
                var entries = new ArrayList<RegistryRecord.Entry>();
                for (var certificate : certificates) {
                  entries.add(
                      new RegistryRecord.Entry(
                          new Subject(ISSUER, "administrator"),
                          "ca-" + entries.size(),
                          certificate,
                          Instant.now()));
                }
                return change.replace(
                    change.snapshot().registry(where).orElseThrow().next(entries));
              });
      assertThat(replaced).isTrue();
    }
  }

  // ---- Tokens

  JWTClaimsSet.Builder claims(String subject) {
    var now = Instant.now();
    return new JWTClaimsSet.Builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .subject(subject)
        .claim("iam_id", subject)
        .issueTime(Date.from(now))
        .expirationTime(Date.from(now.plus(Duration.ofHours(1))));
  }

  String token(String subject) {
    return token(subject, claims -> claims);
  }

  String token(String subject, UnaryOperator<JWTClaimsSet.Builder> change) {
    return signed(issuerKey, change.apply(claims(subject)).build());
  }

  static String signed(ECKey key, JWTClaimsSet claims) {
    try {
      var jwt =
          new SignedJWT(
              new JWSHeader.Builder(JWSAlgorithm.ES256).keyID(key.getKeyID()).build(), claims);
      jwt.sign(new ECDSASigner(key));
      return jwt.serialize();
    } catch (JOSEException e) {
      throw new IllegalStateException(e);
    }
  }

  /** The embedded token service's answer to an API key. */
  HttpResponse<String> identityToken(String apiKey) throws Exception {
    var port = gateway.tokenService().orElseThrow().getPort();
    return web()
        .send(
            HttpRequest.newBuilder(URI.create("https://localhost:" + port + "/identity/token"))
                .header("Content-Type", "application/x-www-form-urlencoded")
                .POST(
                    HttpRequest.BodyPublishers.ofString(
                        "grant_type=urn:ibm:params:oauth:grant-type:apikey&apikey=" + apiKey))
                .build(),
            HttpResponse.BodyHandlers.ofString());
  }

  String tokenFor(String apiKey) throws Exception {
    return JSON.readTree(identityToken(apiKey).body()).get("access_token").asText();
  }

  String demoApiKey() throws IOException {
    return Files.readString(directory.resolve("apikey"));
  }

  // ---- Clients

  ManagedChannel channel() throws IOException {
    return channel("localhost");
  }

  /**
   * @param authority host name that the calls are for
   */
  ManagedChannel channel(String authority) throws IOException {
    var ssl =
        authority.equals("localhost")
            ? GrpcSslContexts.forClient().trustManager(demo.ca().toFile())
            // The demo's certificate does not name it, and who the server is does not matter here.
            : GrpcSslContexts.forClient().trustManager(InsecureTrustManagerFactory.INSTANCE);
    return channel(authority, ssl);
  }

  /** As the host name, with this side of TLS. */
  ManagedChannel channel(String authority, SslContextBuilder ssl) throws IOException {
    return channel(gateway, authority, ssl);
  }

  /** The same, to another gateway. */
  ManagedChannel channel(Gateway through, String authority, SslContextBuilder ssl)
      throws IOException {
    var channel =
        NettyChannelBuilder.forAddress("localhost", through.cryptoPort())
            .overrideAuthority(authority)
            .sslContext(ssl.build())
            .maxInboundMessageSize(80 << 20)
            .build();
    channels.add(channel);
    return channel;
  }

  /** A client of a gateway's certificate manager, with these headers. */
  CertificateManagerBlockingStub certificateManager(Gateway through, String... headers)
      throws IOException {
    var channel =
        NettyChannelBuilder.forAddress("localhost", through.certificateManagerPort())
            .sslContext(GrpcSslContexts.forClient().trustManager(demo.ca().toFile()).build())
            .build();
    channels.add(channel);
    return CertificateManagerGrpc.newBlockingStub(channel)
        .withInterceptors(new Patience(), headers(headers));
  }

  static AttributeValue number(long value) {
    return AttributeValue.newBuilder().setAttributeI(value).build();
  }

  static AttributeValue flag(boolean value) {
    return AttributeValue.newBuilder().setAttributeTF(value).build();
  }

  static Mechanism mechanism(long number) {
    return Mechanism.newBuilder().setMechanism(number).build();
  }

  static Mechanism cbcPad() {
    return Mechanism.newBuilder()
        .setMechanism(Ckm.CKM_AES_CBC_PAD)
        .setParameterB(ByteString.copyFrom(new byte[16]))
        .build();
  }

  static ByteString aesKey(CryptoGrpc.CryptoBlockingStub client) {
    return client
        .generateKey(
            GenerateKeyRequest.newBuilder()
                .setMech(mechanism(Ckm.CKM_AES_KEY_GEN))
                .putTemplate(Cka.CKA_VALUE_LEN, number(32))
                .build())
        .getKeyBytes();
  }

  static ByteString encrypt(
      CryptoGrpc.CryptoBlockingStub client, ByteString key, ByteString plain) {
    return client
        .encryptSingle(
            EncryptSingleRequest.newBuilder()
                .setMech(cbcPad())
                .setKeyBytes(key)
                .setPlain(plain)
                .build())
        .getCiphered();
  }

  /** Of the manager. */
  CryptoGrpc.CryptoBlockingStub client() throws IOException {
    return client("authorization", "Bearer " + token(MANAGER));
  }

  /** With these headers, names and values in turn. */
  CryptoGrpc.CryptoBlockingStub client(String... headers) throws IOException {
    return CryptoGrpc.newBlockingStub(channel()).withInterceptors(new Patience(), headers(headers));
  }

  public static ClientInterceptor headers(String... namesAndValues) {
    var metadata = new Metadata();
    for (int i = 0; i < namesAndValues.length; i += 2) {
      metadata.put(
          Metadata.Key.of(namesAndValues[i], Metadata.ASCII_STRING_MARSHALLER),
          namesAndValues[i + 1]);
    }
    return MetadataUtils.newAttachHeadersInterceptor(metadata);
  }

  /** Of each call: a deadline of the stub's would be one of all its calls together. */
  private static final class Patience implements ClientInterceptor {
    @Override
    public <Q, A> ClientCall<Q, A> interceptCall(
        MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
      return next.newCall(
          method,
          options.getDeadline() == null
              ? options.withDeadlineAfter(60, TimeUnit.SECONDS)
              : options);
    }
  }

  static ClientInterceptor correlation(String id) {
    var metadata = new Metadata();
    metadata.put(CORRELATION, id);
    return MetadataUtils.newAttachHeadersInterceptor(metadata);
  }

  HttpClient web() throws IOException, GeneralSecurityException {
    var client = web(demo.ca());
    webClients.add(client);
    return client;
  }

  /** A client that trusts this CA. */
  public static HttpClient web(Path ca) throws IOException, GeneralSecurityException {
    var trusted = KeyStore.getInstance(KeyStore.getDefaultType());
    trusted.load(null, null);
    try (var in = Files.newInputStream(ca)) {
      trusted.setCertificateEntry(
          "ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
    }
    var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(trusted);
    var context = SSLContext.getInstance("TLS");
    context.init(null, trust.getTrustManagers(), null);
    return HttpClient.newBuilder().sslContext(context).build();
  }

  int health(HttpClient client, String path) throws IOException, InterruptedException {
    return client
        .send(
            HttpRequest.newBuilder(URI.create("https://localhost:" + gateway.healthPort() + path))
                .build(),
            HttpResponse.BodyHandlers.discarding())
        .statusCode();
  }

  // ---- What was answered and recorded

  /** The one detail of a refusal; fails where there is none, or more than one. */
  static Grep11Error detail(StatusRuntimeException refusal) {
    var status = StatusProto.fromThrowable(refusal);
    if (status == null) {
      throw new AssertionError("no detail: " + refusal.getStatus());
    }
    assertThat(status.getDetailsList()).as("details of %s", refusal.getStatus()).hasSize(1);
    assertThat(status.getCode()).isEqualTo(refusal.getStatus().getCode().value());
    assertThat(status.getMessage()).isEqualTo(refusal.getStatus().getDescription());
    try {
      return status.getDetails(0).unpack(Grep11Error.class);
    } catch (com.google.protobuf.InvalidProtocolBufferException e) {
      throw new AssertionError(e);
    }
  }

  /** The events of a call, once there is one. */
  List<JsonNode> audited(String correlationId) {
    await().atMost(Duration.ofSeconds(10)).until(() -> !events(correlationId).isEmpty());
    return events(correlationId);
  }

  /** Every line of the audit log so far that has this word in it. */
  List<JsonNode> events(String word) {
    return events("audit.jsonl", word);
  }

  /** The same of another gateway of the directory. */
  List<JsonNode> events(String file, String word) {
    try {
      var found = new ArrayList<JsonNode>();
      for (var line : Files.readAllLines(directory.resolve(file), UTF_8)) {
        if (line.contains(word) && line.endsWith("}")) {
          found.add(JSON.readTree(line));
        }
      }
      return found;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * Stops it, and requires that its audit file has an event of each of these administrators'
   * commands, as one that was done, and that nothing else is wrong with the file.
   */
  void assertRecorded(List<String> acknowledgedCommands) throws IOException {
    // Events are rows of the store until they are in the file.
    await()
        .atMost(Duration.ofSeconds(30))
        .untilAsserted(() ->
            assertThat(acknowledgedCommands)
                .as("commands that were acknowledged and not recorded")
                .isNotEmpty()
                .isSubsetOf(done()));
    close();
    try (var host = Host.open(config)) {
      assertThat(host.verifyAudit(directory.resolve("audit.jsonl"), _ -> {}).findings()).isEmpty();
    }
  }

  private Set<String> done() {
    return events("\"hs-crypto.mtlscert-").stream()
        .filter(event -> event.path("outcome").asText().equals("success"))
        .map(event -> event.path("correlationId").asText())
        .collect(Collectors.toSet());
  }

  @Override
  public void close() {
    channels.forEach(ManagedChannel::shutdownNow);
    webClients.forEach(HttpClient::shutdownNow);
    gateway.close();
  }
}
