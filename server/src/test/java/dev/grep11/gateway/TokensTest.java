package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.ISSUER;
import static dev.grep11.gateway.RunningGateway.MANAGER;
import static dev.grep11.gateway.RunningGateway.correlation;
import static dev.grep11.gateway.RunningGateway.detail;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.crypto.MACSigner;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.gen.ECKeyGenerator;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.PlainJWT;
import com.nimbusds.jwt.SignedJWT;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.iam.ApiKeys;
import dev.grep11.gateway.iam.Roles;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.proto.AttributeValue;
import dev.grep11.proto.GenerateKeyRequest;
import dev.grep11.proto.GenerateRandomRequest;
import dev.grep11.proto.Mechanism;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Date;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Who is let in by a running gateway, and how everybody else is told and recorded. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class TokensTest {
  private static final GenerateRandomRequest ONE_BYTE =
      GenerateRandomRequest.newBuilder().setLen(1).build();
  private static final String READER = "IBMid-reader";
  private static final String NOBODY = "IBMid-nobody";

  private RunningGateway running;

  @BeforeAll
  void start(@TempDir Path parent) throws Exception {
    running = RunningGateway.start(parent.resolve("demo"));
    running.grant(READER, "Reader");
    await()
        .atMost(Duration.ofSeconds(10))
        .ignoreExceptions()
        .until(() ->
            running
                    .client("authorization", running.token(READER))
                    .generateRandom(ONE_BYTE)
                    .getRnd()
                    .size()
                == 1);
  }

  @AfterAll
  void stop() {
    running.close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"Bearer %s", "bearer %s", "BEARER %s", "%s"})
  void takesAGoodTokenOfAnyConfiguredIssuer(String form) throws Exception {
    for (var token : List.of(running.token(MANAGER), running.tokenFor(running.demoApiKey()))) {
      var random = running.client("authorization", form.formatted(token)).generateRandom(ONE_BYTE);
      assertThat(random.getRnd()).hasSize(1);
    }
  }

  @Test
  void theAuditLineNamesTheCallerByItsTokenAndTheIssuerAsWhoVouchesForIt() throws Exception {
    var named = running.token(MANAGER, claims -> claims.claim("name", "Zoë Example"));
    var tokens = List.of(named, running.token(MANAGER));
    for (int i = 0; i < tokens.size(); i++) {
      var id = "initiator-" + i;
      assertThat(
              running
                  .client("authorization", "Bearer " + tokens.get(i), "x-correlation-id", id)
                  .generateRandom(ONE_BYTE)
                  .getRnd())
          .hasSize(1);
      var initiator = running.audited(id).getFirst().get("initiator");
      assertThat(initiator.get("id").asText()).isEqualTo(MANAGER);
      assertThat(initiator.at("/credential/type").asText()).isEqualTo("token");
      assertThat(initiator.at("/credential/authority").asText()).isEqualTo(ISSUER);
      assertThat(initiator.path("name").asText("none")).isEqualTo(i == 0 ? "Zoë Example" : "none");
    }
  }

  /** A header that must not open, and how its sender is told. */
  record Row(String what, Status.Code status, Function<TokensTest, List<String>> headers) {
    static Row of(String what, Status.Code status, Function<TokensTest, String> token) {
      return new Row(what, status, test -> List.of("authorization", "Bearer " + token.apply(test)));
    }

    static Row bare(String what, Function<TokensTest, String> token) {
      return new Row(
          what, Status.Code.UNAUTHENTICATED, test -> List.of("authorization", token.apply(test)));
    }

    @Override
    public String toString() {
      return what;
    }
  }

  static Stream<Row> refused() {
    var no = Status.Code.UNAUTHENTICATED;
    var mayNot = Status.Code.PERMISSION_DENIED;
    return Stream.of(
        new Row("no token", no, _ -> List.of()),
        Row.of("an empty token", no, _ -> ""),
        Row.of("not a token", no, _ -> "open sesame"),
        Row.bare("another scheme", t -> "Basic " + t.good()),
        new Row(
            "two tokens",
            no,
            t -> List.of("authorization", t.good(), "authorization", "Bearer " + t.good())),
        Row.of("expired", no, t -> t.token(c -> c.expirationTime(in(-120)))),
        Row.bare("expired, bare", t -> t.token(c -> c.expirationTime(in(-120)))),
        Row.of("without expiry", no, t -> t.token(c -> c.expirationTime(null))),
        Row.of("not yet valid", no, t -> t.token(c -> c.notBeforeTime(in(600)))),
        Row.of("wrong issuer", no, t -> t.token(c -> c.issuer("https://elsewhere.test"))),
        Row.of("wrong audience", no, t -> t.token(c -> c.audience("somebody else"))),
        Row.of("no audience", no, t -> t.token(c -> c.audience((String) null))),
        Row.of("none", no, t -> new PlainJWT(t.running.claims(MANAGER).build()).serialize()),
        Row.of("none with a signature", no, TokensTest::noneWithASignature),
        Row.of("HS256 with the public key", no, TokensTest::publicKeyAsSecret),
        Row.of("unknown kid", no, t -> RunningGateway.signed(other("test-2"), t.claims())),
        Row.of(
            "kid of ours, other key", no, t -> RunningGateway.signed(other("test-1"), t.claims())),
        Row.of("tampered claims", no, TokensTest::tampered),
        Row.of("tampered signature", no, t -> flipLast(t.good())),
        Row.of("truncated signature", no, t -> t.good().substring(0, t.good().length() - 8)),
        Row.of(
            "bound to another certificate",
            no,
            t -> t.token(c -> c.claim("cnf", Map.of("x5t#S256", "A".repeat(43))))),
        Row.of("nobody's grant", mayNot, t -> t.running.token(NOBODY)),
        new Row(
            "another instance in the header",
            mayNot,
            t ->
                List.of(
                    "authorization", t.good(), "bluemix-instance", UUID.randomUUID().toString())),
        new Row(
            "no UUID in the header",
            mayNot,
            t -> List.of("authorization", t.good(), "bluemix-instance", "mine")));
  }

  /** The class of the refusal is for the operator: it is in the audit line and in no answer. */
  @ParameterizedTest
  @CsvSource({
    "expired,           expired,     normal",
    "wrong issuer,      issuer,      critical",
    "wrong audience,    audience,    critical",
    "tampered claims,   signature,   critical",
    "unknown kid,       unknown-key, critical",
    "without expiry,    malformed,   critical",
    "no token,          missing,     critical",
  })
  void theAuditNamesTheClassOfARefusal(String what, String expected, String severity)
      throws Exception {
    var row = refused().filter(each -> each.what().equals(what)).findFirst().orElseThrow();
    var headers = row.headers().apply(this).toArray(String[]::new);
    var id = "class-" + UUID.randomUUID();
    var client = running.client(headers).withInterceptors(correlation(id));

    assertThatThrownBy(() -> client.generateRandom(ONE_BYTE)).isInstanceOf(Exception.class);

    var events = running.audited(id);
    assertThat(events).hasSize(1);
    assertThat(events.getFirst().at("/reason/tokenRefusal").asText()).isEqualTo(expected);
    assertThat(events.getFirst().get("severity").asText()).isEqualTo(severity);
    if (headers.length > 0) {
      assertThat(events.getFirst().toString())
          .doesNotContain(headers[1].substring("Bearer ".length()));
    }
  }

  @Test
  void theAuditNamesTheKeyBlobByItsFingerprint() throws Exception {
    var manager = running.client("authorization", "Bearer " + running.token(MANAGER));
    var key = RunningGateway.aesKey(manager);
    var id = "fingerprint-" + UUID.randomUUID();

    var _ =
        RunningGateway.encrypt(
            manager.withInterceptors(correlation(id)), key, ByteString.copyFromUtf8("plain"));

    var digest = MessageDigest.getInstance("SHA-256").digest(key.toByteArray());
    assertThat(running.audited(id))
        .singleElement()
        .satisfies(event ->
            assertThat(event.at("/requestData/keyFingerprint").asText())
                .isEqualTo(HexFormat.of().formatHex(digest, 0, 8)));
  }

  @ParameterizedTest
  @MethodSource
  void refused(Row row) throws Exception {
    assertRefused(row.status(), row.headers().apply(this).toArray(String[]::new));
  }

  @Test
  void aRoleWithoutTheActionIsPermissionDenied() throws Exception {
    var id = "missing-role-" + UUID.randomUUID();
    var reader =
        running
            .client("authorization", "Bearer " + running.token(READER))
            .withInterceptors(correlation(id));

    var refusal =
        catchThrowableOfType(
            StatusRuntimeException.class,
            () ->
                reader.generateKey(
                    GenerateKeyRequest.newBuilder()
                        .setMech(Mechanism.newBuilder().setMechanism(Ckm.CKM_AES_KEY_GEN))
                        .putTemplate(
                            Cka.CKA_VALUE_LEN,
                            AttributeValue.newBuilder().setAttributeI(32).build())
                        .build()));

    assertThat(refusal.getStatus().getCode()).isEqualTo(Status.Code.PERMISSION_DENIED);
    assertRefusal(refusal, id);
    assertThat(running.audited(id).getFirst().at("/initiator/id").asText()).isEqualTo(READER);
  }

  @Test
  void aDeletedApiKeyEndsItsTokensAndGivesNoMore() throws Exception {
    String key;
    try (var host = Host.open(running.config)) {
      try (var secret = apiKeys(host).create("short-lived", running.instance, "Manager").secret()) {
        key = new String(secret.chars());
      }
    }
    var token = new ArrayList<String>();
    await()
        .atMost(Duration.ofSeconds(10))
        .ignoreExceptions()
        .until(() -> token.add(running.tokenFor(key)));
    var client = running.client("authorization", "Bearer " + token.getFirst());
    await()
        .atMost(Duration.ofSeconds(10))
        .ignoreExceptions()
        .until(() -> client.generateRandom(ONE_BYTE).getRnd().size() == 1);

    try (var host = Host.open(running.config)) {
      assertThat(apiKeys(host).delete("short-lived")).isTrue();
    }

    await()
        .atMost(Duration.ofSeconds(10))
        .untilAsserted(() ->
            assertRefused(
                Status.Code.UNAUTHENTICATED, "authorization", "Bearer " + token.getFirst()));
    assertThat(running.identityToken(key).statusCode()).isEqualTo(400);
  }

  private ApiKeys apiKeys(Host host) {
    return new ApiKeys(
        host.store(), Roles.standard(), running.config.tokenService().orElseThrow().issuer());
  }

  @Test
  void aRemovedGrantEndsWhatWasGivenWithinThePoll() throws Exception {
    var subject = "IBMid-leaving";
    running.grant(subject, "Writer");
    var token = running.token(subject);
    var client = running.client("authorization", "Bearer " + token);
    await()
        .atMost(Duration.ofSeconds(10))
        .ignoreExceptions()
        .until(() -> client.generateRandom(ONE_BYTE).getRnd().size() == 1);

    assertThat(running.revoke(subject, "Writer")).isTrue();

    await()
        .atMost(Duration.ofSeconds(5))
        .untilAsserted(
            () -> assertRefused(Status.Code.PERMISSION_DENIED, "authorization", "Bearer " + token));
  }

  // ---- Tokens

  private String good() {
    return running.token(MANAGER);
  }

  private JWTClaimsSet claims() {
    return running.claims(MANAGER).build();
  }

  private String token(java.util.function.UnaryOperator<JWTClaimsSet.Builder> change) {
    return running.token(MANAGER, change);
  }

  private static Date in(int seconds) {
    return Date.from(Instant.now().plusSeconds(seconds));
  }

  private static ECKey other(String kid) {
    try {
      return new ECKeyGenerator(Curve.P_256).keyID(kid).generate();
    } catch (com.nimbusds.jose.JOSEException e) {
      throw new IllegalStateException(e);
    }
  }

  private String noneWithASignature() {
    var header = base64("{\"alg\":\"none\",\"kid\":\"test-1\"}");
    return header + good().substring(good().indexOf('.'));
  }

  private String publicKeyAsSecret() {
    try {
      var jwt =
          new SignedJWT(
              new JWSHeader.Builder(JWSAlgorithm.HS256).keyID("test-1").build(), claims());
      jwt.sign(new MACSigner(running.issuerKey.toECPublicKey().getEncoded()));
      return jwt.serialize();
    } catch (com.nimbusds.jose.JOSEException e) {
      throw new IllegalStateException(e);
    }
  }

  private String tampered() {
    var parts = running.token(NOBODY).split("\\.", -1);
    var claims = new String(Base64.getUrlDecoder().decode(parts[1]), UTF_8);
    return parts[0] + "." + base64(claims.replace(NOBODY, MANAGER)) + "." + parts[2];
  }

  private static String flipLast(String token) {
    int at = token.length() - 10;
    return token.substring(0, at) + (token.charAt(at) == 'A' ? 'B' : 'A') + token.substring(at + 1);
  }

  private static String base64(String text) {
    return Base64.getUrlEncoder().withoutPadding().encodeToString(text.getBytes(UTF_8));
  }

  // ---- Refusals

  private void assertRefused(Status.Code status, String... headers) throws Exception {
    var id = "refused-" + UUID.randomUUID();
    var client = running.client(headers).withInterceptors(correlation(id));
    var refusal =
        catchThrowableOfType(StatusRuntimeException.class, () -> client.generateRandom(ONE_BYTE));
    assertThat(refusal).as("it is let in").isNotNull();
    assertThat(refusal.getStatus().getCode()).isEqualTo(status);
    assertRefusal(refusal, id);
  }

  /** One detail, and one event that says the same. */
  private void assertRefusal(StatusRuntimeException refusal, String correlationId) {
    var detail = detail(refusal);
    assertThat(detail.getCode()).isEqualTo(Ckr.CKR_IBM_GREP11_NOT_AUTHENTICATED);
    assertThat(detail.getRetry()).isFalse();
    var events = running.audited(correlationId);
    assertThat(events).hasSize(1);
    var event = events.getFirst();
    assertThat(event.get("action").asText()).isEqualTo("hs-crypto.ep11.use");
    assertThat(event.get("outcome").asText()).isEqualTo("failure");
    assertThat(event.at("/reason/reasonType").asText())
        .isEqualTo("CKR_IBM_GREP11_NOT_AUTHENTICATED");
    assertThat(event.at("/reason/reasonCode").asInt())
        .isEqualTo(refusal.getStatus().getCode() == Status.Code.UNAUTHENTICATED ? 401 : 403);
    assertThat(Optional.of(event.at("/reason/reasonForFailure").asText()))
        .hasValue(detail.getDetail());
  }
}
