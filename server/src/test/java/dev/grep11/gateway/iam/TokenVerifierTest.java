package dev.grep11.gateway.iam;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.JWSSigner;
import com.nimbusds.jose.crypto.ECDSASigner;
import com.nimbusds.jose.crypto.MACSigner;
import com.nimbusds.jose.crypto.RSASSASigner;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.KeyUse;
import com.nimbusds.jose.jwk.RSAKey;
import com.nimbusds.jose.jwk.gen.ECKeyGenerator;
import com.nimbusds.jose.jwk.gen.RSAKeyGenerator;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.PlainJWT;
import com.nimbusds.jwt.SignedJWT;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import dev.grep11.gateway.iam.IssuerSettings.Algorithm;
import dev.grep11.gateway.iam.IssuerSettings.Audience;
import dev.grep11.gateway.iam.IssuerSettings.Jwks;
import dev.grep11.gateway.iam.TokenRejectedException.Reason;
import dev.grep11.gateway.store.Subject;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class TokenVerifierTest {
  private static final String ISSUER = "https://issuer.example";
  private static final String AUDIENCE = "grep11";
  private static final Instant NOW = Instant.parse("2026-11-21T10:00:00Z");
  private static final UUID INSTANCE = UUID.fromString("6f6a3f0e-52d5-4d1e-9d1c-0a7b1f0c2d3e");
  private static final KeySetTimings TIMINGS =
      new KeySetTimings(Duration.ofMinutes(5), Duration.ofHours(1), Duration.ofSeconds(10));

  private static final RSAKey rsa = rsaKey();
  private static final ECKey ec = ecKey();
  private static final ECKey stranger = ecKey();

  private final AtomicLong nanos = new AtomicLong();
  private final AtomicInteger fetches = new AtomicInteger();
  private volatile String keySet = new JWKSet(List.<JWK>of(rsa, ec)).toString();
  private volatile boolean down;
  @TempDir Path directory;

  private static RSAKey rsaKey() {
    try {
      return new RSAKeyGenerator(2048).keyID("rsa-1").keyUse(KeyUse.SIGNATURE).generate();
    } catch (JOSEException e) {
      throw new IllegalStateException(e);
    }
  }

  private static ECKey ecKey() {
    try {
      return new ECKeyGenerator(Curve.P_256).keyID("ec-1").keyUse(KeyUse.SIGNATURE).generate();
    } catch (JOSEException e) {
      throw new IllegalStateException(e);
    }
  }

  @Test
  void acceptsBothAlgorithmsAndSaysWhoItIs() throws Exception {
    for (JWK key : List.of(rsa, ec)) {
      VerifiedToken token = verifier().verify(signed(key, claims().build()));
      assertThat(token.subject()).isEqualTo(new Subject(ISSUER, "IBMid-1"));
      assertThat(token.expires()).isEqualTo(NOW.plusSeconds(3600));
      assertThat(token.certificateThumbprint()).isEmpty();
    }
  }

  @Test
  void takesTheSubjectWhereThereIsNoIamId() throws Exception {
    String token = signed(ec, claims().claim("iam_id", null).build());
    assertThat(verifier().verify(token).subject().id()).isEqualTo("sub-1");
  }

  @Test
  void showsTheCertificateThatATokenIsBoundTo() throws Exception {
    String bound = signed(ec, claims().claim("cnf", Map.of("x5t#S256", "thumb")).build());
    assertThat(verifier().verify(bound).certificateThumbprint()).contains("thumb");
    String otherwiseBound = signed(ec, claims().claim("cnf", Map.of("jkt", "thumb")).build());
    assertThatThrownBy(() -> verifier().verify(otherwiseBound))
        .isInstanceOf(TokenRejectedException.class);
  }

  static Stream<Arguments> badClaims() {
    return Stream.of(
        bad("expired", Reason.EXPIRED, c -> c.expirationTime(at(-31))),
        bad("without exp", Reason.MALFORMED, c -> c.expirationTime(null)),
        bad("not yet valid", Reason.NOT_YET_VALID, c -> c.notBeforeTime(at(31))),
        bad("issued in the future", Reason.NOT_YET_VALID, c -> c.issueTime(at(31))),
        bad("of another issuer", Reason.ISSUER, c -> c.issuer("https://evil.example")),
        bad("without issuer", Reason.ISSUER, c -> c.issuer(null)),
        bad("for another audience", Reason.AUDIENCE, c -> c.audience("somebody else")),
        bad("without audience", Reason.AUDIENCE, c -> c.audience((String) null)),
        bad("an ID token by its nonce", Reason.NOT_AN_ACCESS_TOKEN, c -> c.claim("nonce", "n")),
        bad("an ID token by its hash", Reason.NOT_AN_ACCESS_TOKEN, c -> c.claim("at_hash", "h")),
        bad("an ID token by its type", Reason.NOT_AN_ACCESS_TOKEN, c -> c.claim("typ", "ID")),
        bad("an ID token by its use", Reason.NOT_AN_ACCESS_TOKEN, c -> c.claim("token_use", "id")),
        bad("a refresh token", Reason.NOT_AN_ACCESS_TOKEN, c -> c.claim("typ", "Refresh")),
        bad("of nobody", Reason.SUBJECT, c -> c.claim("iam_id", null).subject(null)),
        bad("of a name with a line break", Reason.SUBJECT, c -> c.claim("iam_id", "a\nb")));
  }

  private static Arguments bad(
      String what, Reason reason, UnaryOperator<JWTClaimsSet.Builder> change) {
    return Arguments.of(what, reason, change);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("badClaims")
  void refusesATokenThatIs(String what, Reason reason, UnaryOperator<JWTClaimsSet.Builder> change)
      throws Exception {
    String token = signed(ec, change.apply(claims()).build());
    assertThat(refusal(verifier(), token)).as(what).isEqualTo(reason);
  }

  @Test
  void allowsForClocksThatDifferALittle() throws Exception {
    for (JWTClaimsSet claims :
        List.of(
            claims().expirationTime(at(-29)).build(),
            claims().notBeforeTime(at(29)).build(),
            claims().issueTime(at(29)).build())) {
      String token = signed(ec, claims);
      assertThatCode(() -> verifier().verify(token)).doesNotThrowAnyException();
    }
  }

  @Test
  void refusesToAllowForMoreThanAMinute() {
    assertThatThrownBy(() ->
            new TokenVerifier(
                List.of(), Duration.ofSeconds(61), TIMINGS, Clock.systemUTC(), nanos::get))
        .isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void refusesNone() throws Exception {
    assertThat(refusal(verifier(), new PlainJWT(claims().build()).serialize()))
        .isEqualTo(Reason.ALGORITHM);
    // With a signature part, and another spelling.
    for (String alg : List.of("none", "None", "NONE", "")) {
      String header = base64("{\"alg\":\"" + alg + "\",\"kid\":\"ec-1\"}");
      String good = signed(ec, claims().build());
      assertThat(refusal(verifier(), header + good.substring(good.indexOf('.'))))
          .isEqualTo(Reason.ALGORITHM);
    }
  }

  @Test
  void refusesHmacWithThePublicKeyAsSecret() throws Exception {
    for (byte[] secret :
        List.of(
            rsa.toRSAPublicKey().getEncoded(),
            rsa.toPublicJWK().toJSONString().getBytes(StandardCharsets.UTF_8))) {
      SignedJWT jwt =
          new SignedJWT(
              new JWSHeader.Builder(JWSAlgorithm.HS256).keyID("rsa-1").build(), claims().build());
      jwt.sign(new MACSigner(secret));
      assertThat(refusal(verifier(), jwt.serialize())).isEqualTo(Reason.ALGORITHM);
    }
  }

  @Test
  void refusesAnAlgorithmThatTheKeyIsNotFor() throws Exception {
    String underRsaKid =
        sign(new ECDSASigner(ec), header(JWSAlgorithm.ES256, "rsa-1").build(), claims().build());
    assertThat(refusal(verifier(), underRsaKid)).isEqualTo(Reason.ALGORITHM);
    String ps256 =
        sign(new RSASSASigner(rsa), header(JWSAlgorithm.PS256, "rsa-1").build(), claims().build());
    assertThat(refusal(verifier(), ps256)).isEqualTo(Reason.ALGORITHM);
  }

  @Test
  void refusesAnAlgorithmThatTheIssuerDoesNotUse() throws Exception {
    IssuerSettings onlyRsa =
        new IssuerSettings(
            ISSUER,
            new Jwks.Local(this::served),
            new Audience.Required(AUDIENCE),
            Optional.empty(),
            Optional.empty(),
            Optional.empty(),
            Optional.empty(),
            Set.of(Algorithm.RS256),
            Optional.empty());
    assertThat(refusal(verifier(onlyRsa), signed(ec, claims().build())))
        .isEqualTo(Reason.ALGORITHM);
    assertThatCode(() -> verifier(onlyRsa).verify(signed(rsa, claims().build())))
        .doesNotThrowAnyException();
  }

  @Test
  void refusesAnUnknownKidAndNone() throws Exception {
    for (String kid : new String[] {"ec-2", null}) {
      String token =
          sign(new ECDSASigner(ec), header(JWSAlgorithm.ES256, kid).build(), claims().build());
      assertThat(refusal(verifier(), token)).isEqualTo(Reason.UNKNOWN_KEY);
    }
  }

  @Test
  void refusesKeysThatTheTokenBringsAlong() throws Exception {
    for (JWSHeader header :
        List.of(
            header(JWSAlgorithm.ES256, "ec-1").jwk(stranger.toPublicJWK()).build(),
            header(JWSAlgorithm.ES256, "ec-1")
                .jwkURL(URI.create("https://evil.example/keys"))
                .build(),
            header(JWSAlgorithm.ES256, "ec-1")
                .x509CertURL(URI.create("https://evil.example/cert"))
                .build(),
            header(JWSAlgorithm.ES256, "ec-1")
                .x509CertChain(List.of(new com.nimbusds.jose.util.Base64("AAAA")))
                .build())) {
      assertThat(refusal(verifier(), sign(new ECDSASigner(stranger), header, claims().build())))
          .isEqualTo(Reason.HEADER);
      assertThat(refusal(verifier(), sign(new ECDSASigner(ec), header, claims().build())))
          .isEqualTo(Reason.HEADER);
    }
  }

  @Test
  void refusesOtherTypes() throws Exception {
    JWSHeader header =
        header(JWSAlgorithm.ES256, "ec-1").type(new JOSEObjectType("logout+jwt")).build();
    assertThat(refusal(verifier(), sign(new ECDSASigner(ec), header, claims().build())))
        .isEqualTo(Reason.NOT_AN_ACCESS_TOKEN);
  }

  @Test
  void refusesASignatureOfAnotherAndEveryPartThatIsChanged() throws Exception {
    assertThat(refusal(verifier(), signed(stranger, claims().build()))).isEqualTo(Reason.SIGNATURE);
    String[] good = signed(ec, claims().build()).split("\\.", -1);
    String[] other = signed(ec, claims().subject("somebody else").build()).split("\\.", -1);
    assertThat(refusal(verifier(), good[0] + "." + other[1] + "." + good[2]))
        .isEqualTo(Reason.SIGNATURE);
    assertThat(refusal(verifier(), good[0] + "." + good[1] + "." + other[2]))
        .isEqualTo(Reason.SIGNATURE);
    assertThat(refusal(verifier(), good[0] + "." + good[1] + "."))
        .isIn(Reason.SIGNATURE, Reason.MALFORMED);
    assertThat(refusal(verifier(), good[0] + "." + good[1] + "." + "A".repeat(86)))
        .isEqualTo(Reason.SIGNATURE);
  }

  @ParameterizedTest
  @ValueSource(strings = {"a", "a.b", "a.b.c", "....", "e30.e30.e30", "é.é.é", "a.b.c.d.e"})
  void refusesWhatIsNoToken(String token) {
    assertThat(refusal(verifier(), token)).isIn(Reason.MALFORMED, Reason.ALGORITHM);
  }

  @Test
  void sameTokenOfAnotherSpellingIsVerifiedAnew() throws Exception {
    String token = signed(ec, claims().build());
    TokenVerifier verifier = verifier();
    verifier.verify("Bearer " + token);
    assertThat(verifier.cached("Bearer " + token)).isPresent();
    assertThat(verifier.cached(token)).isEmpty();
    assertThat(verifier.cached("Bearer " + token + "é")).isEmpty();
    assertThat(verifier.verify(token)).isEqualTo(verifier.verify("bearer  " + token));
  }

  @Test
  void countsWhatItKnewAndWhatItDidNot() throws Exception {
    String token = signed(ec, claims().build());
    TokenVerifier verifier = verifier();
    assertThat(verifier.cached(token)).isEmpty();
    verifier.verify(token);
    assertThat(verifier.cached(token)).isPresent();
    assertThat(verifier.cached(token)).isPresent();

    assertThat(verifier.hits()).isEqualTo(2);
    assertThat(verifier.misses()).isEqualTo(1);
  }

  @Test
  void anEmptyHeaderIsNoToken() throws Exception {
    assertThat(refusal(verifier(), "")).isEqualTo(Reason.MISSING);
  }

  @Test
  void readsTheHeaderAsClientsSendIt() throws Exception {
    String token = signed(ec, claims().build());
    for (String value :
        List.of(
            "Bearer " + token, "bearer " + token, "BEARER   " + token, token, " " + token + " ")) {
      assertThat(TokenVerifier.bearer(List.of(value))).isEqualTo(token);
    }
    for (List<String> values :
        List.of(
            List.<String>of(),
            List.of(""),
            List.of("Bearer "),
            List.of("Bearer"),
            List.of("Basic " + token),
            List.of("Bearer " + token + " " + token),
            List.of("Bearer " + token, "Bearer " + token),
            List.of("Bearer " + "a".repeat(20_000) + ".b.c"))) {
      assertThatThrownBy(() -> TokenVerifier.bearer(values))
          .isInstanceOf(TokenRejectedException.class);
    }
  }

  @Test
  void countsClaimsOnlyWhereTheIssuersSettingsSaySo() throws Exception {
    JWTClaimsSet claims =
        claims()
            .claim("grep11", Map.of("instance", INSTANCE.toString(), "roles", List.of("Manager")))
            .build();
    VerifiedToken plain = verifier().verify(signed(ec, claims));
    assertThat(plain.instance()).isEmpty();
    assertThat(plain.roles()).isEmpty();
    IssuerSettings counting = counting();
    VerifiedToken counted = verifier(counting).verify(signed(ec, claims));
    assertThat(counted.instance()).contains(INSTANCE);
    assertThat(counted.roles()).containsExactly("Manager");
    JWTClaimsSet withoutInstance =
        claims().claim("grep11", Map.of("roles", List.of("Manager"))).build();
    assertThat(verifier(counting).verify(signed(ec, withoutInstance)).roles()).isEmpty();
    JWTClaimsSet odd = claims().claim("grep11", Map.of("instance", 5)).build();
    assertThat(refusal(verifier(counting), signed(ec, odd))).isEqualTo(Reason.MALFORMED);
  }

  @Test
  void demandsAnAccountWhereTheAudienceIsNotChecked() throws Exception {
    assertThatThrownBy(() -> exempt(Optional.empty())).isInstanceOf(IllegalArgumentException.class);
    IssuerSettings exempt = exempt(Optional.of(new IssuerSettings.Account("account.bss", "acc")));
    JWTClaimsSet.Builder without = claims().audience((String) null);
    assertThat(refusal(verifier(exempt), signed(ec, without.build()))).isEqualTo(Reason.ACCOUNT);
    String ours = signed(ec, without.claim("account", Map.of("bss", "acc")).build());
    assertThatCode(() -> verifier(exempt).verify(ours)).doesNotThrowAnyException();
  }

  @Test
  void remembersAVerifiedTokenUntilItExpires() throws Exception {
    AtomicLong millis = new AtomicLong(NOW.toEpochMilli());
    TokenVerifier verifier =
        new TokenVerifier(
            List.of(settings()), Duration.ofSeconds(30), TIMINGS, ticking(millis), nanos::get);
    String token = signed(ec, claims().build());
    assertThat(verifier.cached(token)).isEmpty();
    VerifiedToken verified = verifier.verify(token);
    assertThat(verifier.cached(token)).containsSame(verified);
    millis.addAndGet(3_600_000);
    assertThat(verifier.cached(token)).isEmpty();
  }

  @Test
  void followsTheIssuersRotationAndForgetsTokensOfTheOldKeys() throws Exception {
    TokenVerifier verifier = verifier();
    String old = signed(ec, claims().build());
    verifier.verify(old);
    ECKey next = new ECKeyGenerator(Curve.P_256).keyID("ec-2").generate();
    keySet = new JWKSet(List.<JWK>of(rsa, next)).toString();
    nanos.addAndGet(Duration.ofSeconds(11).toNanos());
    verifier.verify(signed(next, claims().build()));
    assertThat(verifier.cached(old)).isEmpty();
    assertThat(refusal(verifier, old)).isEqualTo(Reason.UNKNOWN_KEY);
  }

  @Test
  void refreshesAheadWhileTheOldKeysServe() throws Exception {
    TokenVerifier verifier = verifier();
    String token = signed(ec, claims().build());
    verifier.verify(token);
    nanos.addAndGet(Duration.ofMinutes(6).toNanos());
    assertThat(verifier.cached(token)).isPresent();
    await().untilAsserted(() -> assertThat(fetches).hasValue(2));
    assertThat(verifier.cached(token)).as("the same keys").isPresent();
  }

  @Test
  void asksTheIssuerNoMoreOftenThanAllowedHoweverManyUnknownKidsCome() throws Exception {
    TokenVerifier verifier = verifier();
    verifier.verify(signed(ec, claims().build()));
    nanos.addAndGet(Duration.ofSeconds(11).toNanos());
    for (int i = 0; i < 50; i++) {
      String token =
          sign(
              new ECDSASigner(ec),
              header(JWSAlgorithm.ES256, "made-up-" + i).build(),
              claims().build());
      assertThat(refusal(verifier, token)).isEqualTo(Reason.UNKNOWN_KEY);
    }
    assertThat(fetches).hasValue(2);
  }

  @Test
  void servesWithTheKeysItHasWhileTheIssuerIsDownButNotForEver() throws Exception {
    TokenVerifier verifier = verifier();
    String token = signed(ec, claims().expirationTime(at(100_000)).build());
    verifier.verify(token);
    down = true;
    nanos.addAndGet(Duration.ofMinutes(59).toNanos());
    assertThat(verifier.cached(token)).isPresent();
    verifier.verify(signed(rsa, claims().build()));
    nanos.addAndGet(Duration.ofMinutes(1).toNanos());
    assertThat(verifier.cached(token)).isEmpty();
    assertThat(refusal(verifier, token)).isEqualTo(Reason.KEYS_UNAVAILABLE);
    down = false;
    nanos.addAndGet(Duration.ofSeconds(10).toNanos());
    verifier.verify(token);
  }

  @Test
  void tellsHowOldTheKeysAreThatCannotBeFetchedAnyMore() throws Exception {
    TokenVerifier verifier = verifier();
    String token = signed(ec, claims().expirationTime(at(100_000)).build());
    verifier.verify(token);
    nanos.addAndGet(Duration.ofMinutes(50).toNanos());
    assertThat(verifier.keysOverdue()).as("nobody asked for them").isZero();

    down = true;
    assertThat(verifier.cached(token)).isPresent();
    await().until(() -> verifier.keysOverdue().equals(Duration.ofMinutes(50)));
    nanos.addAndGet(Duration.ofMinutes(1).toNanos());
    assertThat(verifier.keysOverdue()).isEqualTo(Duration.ofMinutes(51));

    down = false;
    assertThat(verifier.cached(token)).isPresent();
    await().until(() -> verifier.keysOverdue().isZero());
  }

  @Test
  void tellsForHowLongItNeverHadKeys() throws Exception {
    down = true;
    TokenVerifier verifier = verifier();
    assertThat(refusal(verifier, signed(ec, claims().build()))).isEqualTo(Reason.KEYS_UNAVAILABLE);
    nanos.addAndGet(Duration.ofMinutes(1).toNanos());
    assertThat(refusal(verifier, signed(ec, claims().build()))).isEqualTo(Reason.KEYS_UNAVAILABLE);
    nanos.addAndGet(Duration.ofMinutes(1).toNanos());
    assertThat(verifier.keysOverdue()).isEqualTo(Duration.ofMinutes(2));
  }

  @Test
  void refusesWhileItNeverHadKeys() throws Exception {
    down = true;
    assertThat(refusal(verifier(), signed(ec, claims().build())))
        .isEqualTo(Reason.KEYS_UNAVAILABLE);
  }

  @Test
  void readsKeysFromAFile() throws Exception {
    Path file = directory.resolve("jwks.json");
    Files.writeString(file, keySet);
    TokenVerifier verifier = verifier(IssuerSettings.of(ISSUER, new Jwks.File(file), AUDIENCE));
    verifier.verify(signed(ec, claims().build()));
  }

  @Test
  void fetchesKeysOverHttpsFromWhomItTrustsOnly() throws Exception {
    TestIdentity identity = TestIdentity.create();
    HttpsServer server =
        HttpsServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.setHttpsConfigurator(new HttpsConfigurator(identity.server()));
    server.createContext(
        "/keys",
        exchange -> {
          byte[] body = keySet.getBytes(StandardCharsets.UTF_8);
          exchange.sendResponseHeaders(200, body.length);
          exchange.getResponseBody().write(body);
          exchange.close();
        });
    server.start();
    try {
      Jwks.Url url =
          new Jwks.Url(URI.create("https://127.0.0.1:" + server.getAddress().getPort() + "/keys"));
      Path caFile = directory.resolve("ca.pem");
      identity.writePem(caFile);
      String token = signed(ec, claims().build());
      verifier(trusting(url, Optional.of(caFile))).verify(token);
      assertThat(refusal(verifier(trusting(url, Optional.empty())), token))
          .isEqualTo(Reason.KEYS_UNAVAILABLE);
    } finally {
      server.stop(0);
    }
    assertThatThrownBy(() -> new Jwks.Url(URI.create("http://127.0.0.1/keys")))
        .isInstanceOf(IllegalArgumentException.class);
  }

  private TokenVerifier verifier() {
    return verifier(settings());
  }

  private TokenVerifier verifier(IssuerSettings settings) {
    return new TokenVerifier(
        List.of(settings),
        Duration.ofSeconds(30),
        TIMINGS,
        Clock.fixed(NOW, ZoneOffset.UTC),
        nanos::get);
  }

  private IssuerSettings settings() {
    return IssuerSettings.of(ISSUER, new Jwks.Local(this::served), AUDIENCE);
  }

  private IssuerSettings counting() {
    return new IssuerSettings(
        ISSUER,
        new Jwks.Local(this::served),
        new Audience.Required(AUDIENCE),
        Optional.of("grep11.instance"),
        Optional.of("grep11.roles"),
        Optional.empty(),
        Optional.empty(),
        Set.of(Algorithm.ES256),
        Optional.empty());
  }

  private IssuerSettings exempt(Optional<IssuerSettings.Account> account) {
    return new IssuerSettings(
        ISSUER,
        new Jwks.Local(this::served),
        new Audience.NotChecked(),
        Optional.empty(),
        Optional.empty(),
        account,
        Optional.empty(),
        Set.of(Algorithm.ES256),
        Optional.empty());
  }

  private static IssuerSettings trusting(Jwks keys, Optional<Path> caFile) {
    return new IssuerSettings(
        ISSUER,
        keys,
        new Audience.Required(AUDIENCE),
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        Set.of(Algorithm.ES256),
        caFile);
  }

  private String served() {
    fetches.incrementAndGet();
    if (down) {
      throw new IllegalStateException("down on purpose");
    }
    return keySet;
  }

  private static Clock ticking(AtomicLong millis) {
    return new Clock() {
      @Override
      public java.time.ZoneId getZone() {
        return ZoneOffset.UTC;
      }

      @Override
      public Clock withZone(java.time.ZoneId zone) {
        return this;
      }

      @Override
      public Instant instant() {
        return Instant.ofEpochMilli(millis.get());
      }
    };
  }

  private static JWTClaimsSet.Builder claims() {
    return new JWTClaimsSet.Builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .subject("sub-1")
        .claim("iam_id", "IBMid-1")
        .issueTime(at(-1))
        .expirationTime(at(3600));
  }

  private static Date at(int seconds) {
    return Date.from(NOW.plusSeconds(seconds));
  }

  private static JWSHeader.Builder header(
      JWSAlgorithm algorithm, @org.jspecify.annotations.Nullable String kid) {
    return new JWSHeader.Builder(algorithm).keyID(kid);
  }

  private static String signed(JWK key, JWTClaimsSet claims) throws Exception {
    return key instanceof RSAKey rsaKey
        ? sign(new RSASSASigner(rsaKey), header(JWSAlgorithm.RS256, key.getKeyID()).build(), claims)
        : sign(
            new ECDSASigner(key.toECKey()),
            header(JWSAlgorithm.ES256, key.getKeyID()).build(),
            claims);
  }

  private static String sign(JWSSigner signer, JWSHeader header, JWTClaimsSet claims)
      throws Exception {
    SignedJWT jwt = new SignedJWT(header, claims);
    jwt.sign(signer);
    return jwt.serialize();
  }

  private static String base64(String text) {
    return java.util.Base64.getUrlEncoder()
        .withoutPadding()
        .encodeToString(text.getBytes(StandardCharsets.UTF_8));
  }

  private static Reason refusal(TokenVerifier verifier, String token) {
    List<Reason> reasons = new ArrayList<>();
    assertThatThrownBy(() -> verifier.verify(token))
        .isInstanceOfSatisfying(TokenRejectedException.class, e -> reasons.add(e.reason()));
    assertThat(verifier.cached(token)).isEmpty();
    return reasons.getFirst();
  }
}
