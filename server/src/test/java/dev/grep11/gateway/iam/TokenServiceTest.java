package dev.grep11.gateway.iam;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.classic.spi.ThrowableProxyUtil;
import ch.qos.logback.core.read.ListAppender;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.grep11.gateway.audit.AuditLog;
import dev.grep11.gateway.audit.AuditSettings;
import dev.grep11.gateway.http.HttpListener;
import dev.grep11.gateway.store.FollowSettings;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.SoftwareAnchor;
import dev.grep11.gateway.store.SoftwareEnvelope;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.StoreFollower;
import dev.grep11.gateway.store.StoreLocation;
import dev.grep11.gateway.tls.Connections;
import dev.grep11.gateway.tls.ServerTls;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.UUID;
import javax.net.ssl.SSLSocket;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.slf4j.LoggerFactory;

class TokenServiceTest {
  private static final UUID INSTANCE = UUID.randomUUID();
  private static final String GRANT_TYPE = "urn:ibm:params:oauth:grant-type:apikey";
  private static final ObjectMapper JSON = new ObjectMapper();

  @TempDir Path directory;
  private final ListAppender<ILoggingEvent> logged = new ListAppender<>();
  private final Logger root = (Logger) LoggerFactory.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME);
  private TestIdentity identity;
  private ServerTls tls;
  private Connections connections;
  private Store store;
  private StoreFollower follower;
  private Grants grants;
  private AuditLog audit;
  private SoftwareSigner signer;
  private TokenServiceSettings settings;
  private HttpListener service;
  private ApiKeys apiKeys;
  private ApiKeys.Created created;
  private String key;

  @BeforeEach
  void start() throws Exception {
    logged.start();
    root.addAppender(logged);
    root.setLevel(Level.TRACE);
    useNewIdentity();
    tls =
        ServerTls.start(
            directory.resolve("server.pem"),
            directory.resolve("server.key"),
            Duration.ofMillis(50),
            _ -> {});
    connections = new Connections(1);
    store =
        Store.create(
            new StoreLocation.Directory(directory.resolve("data")),
            new SoftwareEnvelope(),
            new SoftwareAnchor());
    store.createInstance(new InstanceRecord(INSTANCE, "one", "acc", "local", List.of()));
    follower =
        StoreFollower.start(
            store, new FollowSettings(Duration.ofSeconds(20), Duration.ofMinutes(5)));
    grants = new Grants(follower, Roles.standard());
    audit = AuditLog.open(AuditSettings.toFile(auditFile()));
    signer = SoftwareSigner.create("token-key-1");
    settings =
        TokenServiceSettings.of(
            new InetSocketAddress(InetAddress.getLoopbackAddress(), 0),
            "https://iam.local",
            "grep11",
            "acc");
    service = listen();
    apiKeys = new ApiKeys(store, Roles.standard(), settings.issuer());
    created = apiKeys.create("ci", INSTANCE, "Writer");
    key = new String(created.secret().chars());
  }

  private void useNewIdentity() throws Exception {
    identity = TestIdentity.create();
    identity.writePem(directory.resolve("server.pem"));
    identity.writeKey(directory.resolve("server.key"));
  }

  private HttpListener listen() throws IOException {
    return HttpListener.start(
        settings.address(),
        tls.httpContext(),
        connections,
        TokenService.LIMITS,
        new TokenService(settings, signer, grants, audit));
  }

  @AfterEach
  void stop() {
    service.close();
    connections.close();
    tls.close();
    audit.close();
    follower.close();
    store.close();
    root.detachAppender(logged);
    root.setLevel(Level.INFO);
  }

  @Test
  void answersTheUnescapedFormOfTheGoClient() throws Exception {
    accepted(
        post(
            "",
            "application/x-www-form-urlencoded",
            "grant_type=" + GRANT_TYPE + "&apikey=" + key));
  }

  @Test
  void answersTheEscapedFormOfEveryoneElse() throws Exception {
    accepted(
        post(
            "",
            "application/x-www-form-urlencoded",
            "apikey=" + key + "&grant_type=" + URLEncoder.encode(GRANT_TYPE, UTF_8) + "\n"));
  }

  @Test
  void answersTheQueryOfTheJavaScriptClientWithItsEmptyBody() throws Exception {
    accepted(
        post(
            "?grant_type=" + URLEncoder.encode(GRANT_TYPE, UTF_8) + "&apikey=" + key,
            "application/x-www-form-urlencoded",
            ""));
    accepted(post("?grant_type=" + GRANT_TYPE + "&apikey=" + key, "application/json", ""));
  }

  private void accepted(HttpResponse<String> response) throws Exception {
    assertThat(response.statusCode()).as(response.body()).isEqualTo(200);
    assertThat(response.headers().firstValue("Cache-Control")).contains("no-store");
    JsonNode body = JSON.readTree(response.body());
    assertThat(body.get("token_type").asText()).isEqualTo("Bearer");
    assertThat(body.get("expires_in").asLong()).isEqualTo(3600);
    assertThat(body.get("expiration").asLong())
        .isBetween(Instant.now().getEpochSecond() + 3590, Instant.now().getEpochSecond() + 3600);
    assertThat(body.get("refresh_token").asText()).isNotEmpty();
    assertThat(body.get("scope").asText()).isEqualTo("ibm openid");
    VerifiedToken token = verifier().verify(body.get("access_token").asText());
    assertThat(token.subject()).isEqualTo(created.record().subject());
    assertThat(token.apiKey()).contains(created.record().id());
    assertThat(grants.authorize(token, INSTANCE, Actions.ofRpc("GenerateKey")))
        .isInstanceOf(Decision.Allowed.class);
    assertThat(grants.authorize(token, UUID.randomUUID(), Actions.ofRpc("Sign")))
        .isInstanceOf(Decision.Denied.class);
  }

  @Test
  void publishesTheKeysThatVerifyItsTokens() throws Exception {
    HttpResponse<String> response =
        client()
            .send(
                HttpRequest.newBuilder(uri("/identity/keys")).build(),
                HttpResponse.BodyHandlers.ofString());
    assertThat(response.statusCode()).isEqualTo(200);
    JsonNode jwk = JSON.readTree(response.body()).get("keys").get(0);
    assertThat(jwk.get("kid").asText()).isEqualTo("token-key-1");
    assertThat(jwk.get("alg").asText()).isEqualTo("ES256");
    assertThat(jwk.has("d")).isFalse();
    Path file = Files.writeString(directory.resolve("jwks.json"), response.body());
    IssuerSettings external =
        IssuerSettings.of(
            settings.issuer(), new IssuerSettings.Jwks.File(file), settings.audience());
    assertThat(new TokenVerifier(List.of(external)).verify(token()).subject())
        .isEqualTo(created.record().subject());
  }

  @Test
  void saysInJsonWhatIsWrong() throws Exception {
    String form = "application/x-www-form-urlencoded";
    refused(post("", form, "grant_type=" + GRANT_TYPE + "&apikey=" + key + "x"), 400, "BXNIM0415E");
    refused(post("", form, "grant_type=" + GRANT_TYPE + "&apikey="), 400, "BXNIM0109E");
    refused(post("", form, "grant_type=" + GRANT_TYPE), 400, "BXNIM0109E");
    refused(post("", form, ""), 400, "BXNIM0109E");
    refused(post("", form, "%zz=%zz&=&&&apikey=%"), 400, "BXNIM0109E");
    refused(post("", form, "grant_type=password&apikey=" + key), 400, "GREP11-GRANT-TYPE");
    refused(
        post("?apikey=other", form, "grant_type=" + GRANT_TYPE + "&apikey=" + key),
        400,
        "GREP11-AMBIGUOUS");
    refused(post("", form, "apikey=" + "x".repeat(9_000)), 413, "GREP11-TOO-LARGE");
    HttpResponse<String> get =
        client()
            .send(
                HttpRequest.newBuilder(
                        uri("/identity/token?grant_type=" + GRANT_TYPE + "&apikey=" + key))
                    .build(),
                HttpResponse.BodyHandlers.ofString());
    refused(get, 404, "GREP11-NOT-FOUND");
  }

  private static void refused(HttpResponse<String> response, int status, String code)
      throws IOException {
    assertThat(response.statusCode()).as(response.body()).isEqualTo(status);
    JsonNode body = JSON.readTree(response.body());
    assertThat(body.get("errorCode").asText()).isEqualTo(code);
    assertThat(body.get("errorMessage").asText()).isNotEmpty();
    assertThat(body.has("access_token")).isFalse();
  }

  @Test
  void givesNoTokenForADeletedKeyAndEndsThoseGivenBefore() throws Exception {
    VerifiedToken token = verifier().verify(token());
    apiKeys.delete("ci");
    follower.refresh();
    refused(
        post("", "text/plain", "grant_type=" + GRANT_TYPE + "&apikey=" + key), 400, "BXNIM0415E");
    assertThat(grants.authorize(token, INSTANCE, Actions.ofRpc("Sign")))
        .isInstanceOf(Decision.Denied.class);
  }

  @Test
  void knowsAKeyMadeByAnotherProcessAtOnce() throws Exception {
    ApiKeys.Created next = apiKeys.create("next", INSTANCE, "Reader");
    HttpResponse<String> response =
        post(
            "",
            "text/plain",
            "grant_type=" + GRANT_TYPE + "&apikey=" + new String(next.secret().chars()));
    assertThat(response.statusCode()).isEqualTo(200);
  }

  @Test
  void slowsDownWhoTriesKeys() throws Exception {
    int refusals = 0;
    HttpResponse<String> response;
    do {
      response = post("", "text/plain", "grant_type=" + GRANT_TYPE + "&apikey=guess-" + refusals++);
    } while (response.statusCode() == 400 && refusals < 100);
    refused(response, 429, "GREP11-TOO-MANY-REQUESTS");
    assertThat(refusals).isBetween(20, 40);
    assertThat(response.headers().firstValue("Retry-After")).isPresent();
  }

  @Test
  void whoHasNoKeyTakesNoTokenFromWhoHasOneAtTheSameAddress() throws Exception {
    String body = "grant_type=" + GRANT_TYPE + "&apikey=";
    for (int i = 0; i < 60; i++) {
      post("", "text/plain", body + "guess-" + i);
    }
    refused(post("", "text/plain", body + "guess"), 429, "GREP11-TOO-MANY-REQUESTS");
    refused(post("", "text/plain", "neither"), 429, "GREP11-TOO-MANY-REQUESTS");

    accepted(post("", "text/plain", body + key));

    // Nor does an unknown key reach the database: this one would be found there.
    ApiKeys.Created next = apiKeys.create("next", INSTANCE, "Reader");
    String made = new String(next.secret().chars());
    refused(post("", "text/plain", body + made), 429, "GREP11-TOO-MANY-REQUESTS");
    follower.refresh();
    assertThat(post("", "text/plain", body + made).statusCode()).isEqualTo(200);
    service.close();
    audit.close();
    assertThat(
            Files.readAllLines(auditFile()).stream()
                .filter(line -> line.contains("\"429\"") || line.contains("\"reasonCode\":429")))
        .as("told once, not each time")
        .hasSize(1);
  }

  @Test
  void whoAsksForTokensTooOftenUsesUpNobodyElsesBudget() throws Exception {
    service.close();
    settings =
        new TokenServiceSettings(
            new InetSocketAddress(InetAddress.getLoopbackAddress(), 0),
            settings.issuer(),
            settings.audience(),
            settings.account(),
            settings.lifetime(),
            3);
    service = listen();
    ApiKeys.Created other = apiKeys.create("other", INSTANCE, "Reader");
    follower.refresh();
    String body = "grant_type=" + GRANT_TYPE + "&apikey=";
    for (int i = 0; i < 3; i++) {
      accepted(post("", "text/plain", body + key));
    }
    var late = post("", "text/plain", body + key);
    refused(late, 429, "GREP11-TOO-MANY-REQUESTS");
    assertThat(late.headers().firstValue("Retry-After")).isPresent();

    String second = new String(other.secret().chars());
    assertThat(post("", "text/plain", body + second).statusCode()).isEqualTo(200);
  }

  @Test
  void showsANewCertificateWithoutARestart() throws Exception {
    HttpClient old = client();
    useNewIdentity();
    HttpClient young = client();
    await()
        .atMost(Duration.ofSeconds(30))
        .ignoreException(IOException.class)
        .until(() -> keys(young).statusCode() == 200);
    assertThatThrownBy(() -> keys(old)).isInstanceOf(IOException.class);
  }

  private HttpResponse<String> keys(HttpClient client) throws Exception {
    return client.send(
        HttpRequest.newBuilder(uri("/identity/keys")).build(),
        HttpResponse.BodyHandlers.ofString());
  }

  @Test
  void speaksHttpAsCurlSendsIt() throws Exception {
    String form = "grant_type=" + GRANT_TYPE + "&apikey=" + key;
    try (SSLSocket socket = connect()) {
      socket
          .getOutputStream()
          .write(
              ("POST /identity/token HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8.0\r\nAccept: */*\r\n"
                      + "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: "
                      + form.length()
                      + "\r\nConnection: close\r\n\r\n"
                      + form)
                  .getBytes(US_ASCII));
      String answer = new String(socket.getInputStream().readAllBytes(), US_ASCII);
      assertThat(answer).startsWith("HTTP/1.1 200 OK").contains("\"access_token\":\"ey");
    }
  }

  @Test
  void speaksTls13And12Only() throws Exception {
    for (String protocol : List.of("TLSv1.3", "TLSv1.2")) {
      try (SSLSocket socket = connect()) {
        socket.setEnabledProtocols(new String[] {protocol});
        socket.startHandshake();
        assertThat(socket.getSession().getProtocol()).isEqualTo(protocol);
      }
    }
  }

  private SSLSocket connect() throws IOException {
    InetSocketAddress address = service.address();
    SSLSocket socket =
        (SSLSocket)
            identity
                .client()
                .getSocketFactory()
                .createSocket(address.getAddress(), address.getPort());
    socket.setSoTimeout(5_000);
    return socket;
  }

  @Test
  void leavesNoKeyAndNoTokenInLogsAuditOrStore() throws Exception {
    String token = token();
    post("?grant_type=" + GRANT_TYPE + "&apikey=" + key, "application/json", "");
    post("?grant_type=" + GRANT_TYPE + "&apikey=wrong-canary", "application/json", "");
    post("?apikey=twice-canary", "text/plain", "grant_type=" + GRANT_TYPE + "&apikey=" + key);
    verifierRefuses(token + "x");
    service.close();
    audit.close();
    StringBuilder output = new StringBuilder(Files.readString(auditFile()));
    assertThat(output.toString().lines().skip(1).map(TokenServiceTest::outcome))
        .containsExactly("success 200", "success 200", "failure 400", "failure 400");
    for (ILoggingEvent event : List.copyOf(logged.list)) {
      output.append(event.getFormattedMessage());
      if (event.getThrowableProxy() != null) {
        output.append(ThrowableProxyUtil.asString(event.getThrowableProxy()));
      }
    }
    try (var files = Files.list(directory.resolve("data"))) {
      for (Path file : files.toList()) {
        output.append(Files.readString(file, ISO_8859_1));
      }
    }
    String signature = token.substring(token.lastIndexOf('.') + 1);
    for (String secret :
        List.of(key, key.substring(4), "wrong-canary", "twice-canary", signature, token)) {
      assertThat(output.toString()).doesNotContain(secret);
    }
    assertThat(output.toString()).contains(created.record().id().toString());
  }

  private static String outcome(String line) {
    try {
      JsonNode event = JSON.readTree(line);
      assertThat(event.get("correlationId").asText()).isNotEmpty();
      assertThat(event.get("requestData").get("requestURI").asText()).isEqualTo("/identity/token");
      return event.get("outcome").asText() + " " + event.get("reason").get("reasonCode").asInt();
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  private void verifierRefuses(String token) {
    assertThatThrownBy(() -> verifier().verify(token))
        .isInstanceOf(TokenRejectedException.class)
        .hasMessageNotContaining(token);
  }

  private TokenVerifier verifier() {
    return new TokenVerifier(List.of(TokenService.issuerSettings(settings, signer)));
  }

  private String token() throws Exception {
    HttpResponse<String> response =
        post("", "text/plain", "grant_type=" + GRANT_TYPE + "&apikey=" + key);
    return JSON.readTree(response.body()).get("access_token").asText();
  }

  private HttpResponse<String> post(String query, String contentType, String body)
      throws Exception {
    return client()
        .send(
            HttpRequest.newBuilder(uri("/identity/token" + query))
                .header("Content-Type", contentType)
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build(),
            HttpResponse.BodyHandlers.ofString());
  }

  private HttpClient client() {
    return HttpClient.newBuilder().sslContext(identity.client()).build();
  }

  private URI uri(String path) {
    return URI.create("https://127.0.0.1:" + service.address().getPort() + path);
  }

  private Path auditFile() {
    return directory.resolve("audit.jsonl");
  }
}
