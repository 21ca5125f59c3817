package dev.grep11.gateway.iam;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.KeyUse;
import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.audit.AuditLog;
import dev.grep11.gateway.audit.AuditUnavailableException;
import dev.grep11.gateway.http.Answer;
import dev.grep11.gateway.http.HttpLimits;
import dev.grep11.gateway.http.Pages;
import dev.grep11.gateway.http.Request;
import dev.grep11.gateway.iam.IssuerSettings.Algorithm;
import dev.grep11.gateway.iam.IssuerSettings.Audience;
import dev.grep11.gateway.iam.IssuerSettings.Jwks;
import dev.grep11.gateway.store.ApiKeyRecord;
import java.net.InetAddress;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.security.interfaces.ECPublicKey;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Gives tokens for API keys, at the endpoint that GREP11 clients already use: {@code POST
 * /identity/token} with the parameters in a form body (Go) or in the query (JavaScript), and {@code
 * GET /identity/keys} for verifiers.
 *
 * <p>An API key appears in no log and no error: no part of a request is ever printed. Safe for use
 * by several threads.
 */
public final class TokenService implements Pages {
  /** A request comes and is answered in 10 seconds. */
  public static final HttpLimits LIMITS =
      new HttpLimits(
          8 * 1024,
          16 * 1024,
          64,
          8 * 1024,
          Duration.ofSeconds(10),
          Duration.ofSeconds(10),
          Duration.ofSeconds(10));

  static final int COST_OF_REFUSAL = 40;

  private static final Logger log = LoggerFactory.getLogger(TokenService.class);
  private static final String API_KEY_GRANT = "urn:ibm:params:oauth:grant-type:apikey";
  private static final String ACTION = "iam-identity.serviceid-apikey.login";
  private static final String API_KEY_CLAIM = "apikey_id";
  private static final int TOO_MANY_REQUESTS = 429;
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Reply MALFORMED =
      error(400, "GREP11-MALFORMED", "This is not a request of HTTP/1.1, or it is too long.");

  private final TokenServiceSettings settings;
  private final TokenSigner signer;
  private final Grants grants;
  private final AuditLog audit;
  private final Clock clock = Clock.systemUTC();

  /** For verifiers; made once, for anybody may ask. */
  private final Reply keys;

  /** Of addresses, for what shows no API key that is known: a refusal is an event and a look. */
  private final CallBudget strangers;

  /** Of each API key at each address; so nobody without the key, or elsewhere, uses it up. */
  private final CallBudget holders;

  /** What is answered; {@code body} becomes JSON. */
  private record Reply(int status, Map<String, Object> body) {}

  public TokenService(
      TokenServiceSettings settings, TokenSigner signer, Grants grants, AuditLog audit) {
    this.settings = settings;
    this.signer = signer;
    this.grants = grants;
    this.audit = audit;
    this.keys = new Reply(200, jwks(signer).toJSONObject());
    this.strangers = new CallBudget(settings.requestsPerMinute());
    this.holders = new CallBudget(settings.requestsPerMinute());
  }

  /** How the gateway's own verifier accepts these tokens, without asking over the network. */
  public static IssuerSettings issuerSettings(TokenServiceSettings settings, TokenSigner signer) {
    return new IssuerSettings(
        settings.issuer(),
        new Jwks.Local(() -> keySet(signer)),
        new Audience.Required(settings.audience()),
        Optional.empty(),
        Optional.empty(),
        Optional.of(new IssuerSettings.Account("account.bss", settings.account())),
        Optional.of(API_KEY_CLAIM),
        Set.of(Algorithm.ES256),
        Optional.empty());
  }

  @Override
  public Answer malformed() {
    return Answer.of(MALFORMED.status(), "application/json", json(MALFORMED));
  }

  @Override
  public Answer answer(Request request) {
    String correlationId = UUID.randomUUID().toString();
    Reply reply;
    try {
      reply = reply(request, correlationId);
    } catch (AuditUnavailableException e) {
      reply = error(503, "GREP11-AUDIT-UNAVAILABLE", "The request cannot be recorded now.");
    } catch (JsonProcessingException | RuntimeException e) {
      // Its message could hold a part of the request.
      log.error("token request {} failed: {}", correlationId, e.getClass().getName());
      reply = error(503, "GREP11-UNAVAILABLE", "No token can be given now.");
    }
    Map<String, String> headers = new LinkedHashMap<>();
    headers.put("Content-Type", "application/json");
    headers.put("Cache-Control", "no-store");
    headers.put("X-Correlation-Id", correlationId);
    if (reply.status() == TOO_MANY_REQUESTS) {
      headers.put("Retry-After", "60");
    }
    return new Answer(reply.status(), headers, json(reply));
  }

  private static byte[] json(Reply reply) {
    try {
      return JSON.writeValueAsBytes(reply.body());
    } catch (JsonProcessingException e) {
      throw new IllegalStateException("texts and numbers are JSON", e);
    }
  }

  private Reply reply(Request request, String correlationId) throws JsonProcessingException {
    URI target;
    try {
      target = new URI(request.target());
    } catch (URISyntaxException e) {
      return MALFORMED;
    }
    return switch (request.method() + " " + target.getRawPath()) {
      case "POST /identity/token" -> token(request, target.getRawQuery(), correlationId);
      case "GET /identity/keys" -> keys;
      default ->
          error(404, "GREP11-NOT-FOUND", "There are POST /identity/token and GET /identity/keys.");
    };
  }

  private Reply token(Request request, @Nullable String query, String correlationId)
      throws JsonProcessingException {
    if (request.isTooLarge()) {
      return refuse(
          request, correlationId, error(413, "GREP11-TOO-LARGE", "The request is too large."));
    }
    Map<String, String> parameters = new HashMap<>();
    String form = new String(request.body(), StandardCharsets.UTF_8);
    if (!read(query, parameters) || !read(form, parameters)) {
      return refuse(
          request,
          correlationId,
          error(400, "GREP11-AMBIGUOUS", "A parameter is there twice, and not the same."));
    }
    String grantType = parameters.getOrDefault("grant_type", "");
    String apiKey = parameters.getOrDefault("apikey", "");
    if (grantType.isEmpty() || apiKey.isEmpty()) {
      String missing = grantType.isEmpty() ? "grant_type" : "apikey";
      return refuse(
          request,
          correlationId,
          error(400, "BXNIM0109E", "Property missing or empty: '" + missing + "'."));
    }
    if (!grantType.equals(API_KEY_GRANT)) {
      return refuse(
          request,
          correlationId,
          error(400, "GREP11-GRANT-TYPE", "The only grant_type is " + API_KEY_GRANT + "."));
    }
    if (!grants.available()) {
      return error(503, "GREP11-UNAVAILABLE", "No token can be given now.");
    }
    byte[] hash = ApiKeySecret.hash(apiKey);
    Optional<ApiKeyRecord> known = grants.knownApiKey(hash);
    if (known.isEmpty()) {
      return newKey(request, correlationId, hash);
    }
    InetAddress address = request.remote().getAddress();
    CallBudget.Balance balance = holders.spend(known.get().subject(), address, 1);
    return balance == CallBudget.Balance.WITHIN
        ? issued(request, correlationId, known.get())
        : tooMany(request, correlationId, known, balance);
  }

  /** For a key that another process made just now; what it costs to look is spent before. */
  private Reply newKey(Request request, String correlationId, byte[] hash)
      throws JsonProcessingException {
    CallBudget.Balance balance = spendOfStranger(request);
    if (balance != CallBudget.Balance.WITHIN) {
      return tooMany(request, correlationId, Optional.empty(), balance);
    }
    Optional<ApiKeyRecord> found = grants.apiKey(hash);
    return found.isPresent()
        ? issued(request, correlationId, found.get())
        : recorded(
            request,
            correlationId,
            Optional.empty(),
            error(400, "BXNIM0415E", "Provided API key could not be found."));
  }

  private Reply issued(Request request, String correlationId, ApiKeyRecord apiKey)
      throws JsonProcessingException {
    Reply answer = issue(apiKey);
    request.recognize();
    record(
        request,
        correlationId,
        Optional.of(apiKey),
        AuditEvent.Outcome.SUCCESS,
        AuditEvent.Reason.OK);
    return answer;
  }

  private Reply refuse(Request request, String correlationId, Reply answer) {
    CallBudget.Balance balance = spendOfStranger(request);
    return balance == CallBudget.Balance.WITHIN
        ? recorded(request, correlationId, Optional.empty(), answer)
        : tooMany(request, correlationId, Optional.empty(), balance);
  }

  private CallBudget.Balance spendOfStranger(Request request) {
    return strangers.spend(request.remote().getAddress(), COST_OF_REFUSAL);
  }

  /** Recorded once, when a budget is used up: a flood must not fill the audit queue. */
  private Reply tooMany(
      Request request,
      String correlationId,
      Optional<ApiKeyRecord> apiKey,
      CallBudget.Balance balance) {
    Reply answer =
        error(
            TOO_MANY_REQUESTS, "GREP11-TOO-MANY-REQUESTS", "Too many requests from this address.");
    return balance == CallBudget.Balance.JUST_EXCEEDED
        ? recorded(request, correlationId, apiKey, answer)
        : answer;
  }

  private Reply recorded(
      Request request, String correlationId, Optional<ApiKeyRecord> apiKey, Reply refusal) {
    record(
        request,
        correlationId,
        apiKey,
        AuditEvent.Outcome.FAILURE,
        AuditEvent.Reason.failure(
            refusal.status(),
            Objects.toString(refusal.body().get("errorCode")),
            Objects.toString(refusal.body().get("errorMessage"))));
    return refusal;
  }

  private Reply issue(ApiKeyRecord apiKey) throws JsonProcessingException {
    Instant now = clock.instant();
    long expiration = now.getEpochSecond() + settings.lifetime().toSeconds();
    String iamId = apiKey.subject().id();
    Map<String, Object> header = new LinkedHashMap<>();
    header.put("alg", "ES256");
    header.put("typ", "JWT");
    header.put("kid", signer.keyId());
    Map<String, Object> claims = new LinkedHashMap<>();
    claims.put("iam_id", iamId);
    claims.put("sub", iamId.startsWith("iam-") ? iamId.substring("iam-".length()) : iamId);
    claims.put("sub_type", "ServiceId");
    claims.put("name", apiKey.name());
    claims.put(API_KEY_CLAIM, apiKey.id().toString());
    claims.put("account", Map.of("bss", settings.account()));
    claims.put("iss", settings.issuer());
    claims.put("aud", settings.audience());
    claims.put("iat", now.getEpochSecond());
    claims.put("exp", expiration);
    claims.put("jti", UUID.randomUUID().toString());
    claims.put("grant_type", API_KEY_GRANT);
    claims.put("scope", "ibm openid");
    String signingInput =
        base64(JSON.writeValueAsBytes(header)) + "." + base64(JSON.writeValueAsBytes(claims));
    byte[] signature = signer.sign(signingInput.getBytes(StandardCharsets.US_ASCII));
    if (signature.length != 64) {
      throw new IllegalStateException("an ES256 signature has 64 bytes, not " + signature.length);
    }
    Map<String, Object> body = new LinkedHashMap<>();
    body.put("access_token", signingInput + "." + base64(signature));
    // What the original answers to API keys: there is nothing to refresh with, the key is sent
    // again.
    body.put("refresh_token", "not_supported");
    body.put("token_type", "Bearer");
    body.put("expires_in", settings.lifetime().toSeconds());
    body.put("expiration", expiration);
    body.put("scope", "ibm openid");
    return new Reply(200, body);
  }

  private void record(
      Request request,
      String correlationId,
      Optional<ApiKeyRecord> apiKey,
      AuditEvent.Outcome outcome,
      AuditEvent.Reason reason) {
    audit.record(
        new AuditEvent(
            ACTION,
            clock.instant(),
            outcome,
            reason,
            new AuditEvent.Initiator(
                apiKey.map(key -> key.subject().id()).orElse(AuditEvent.Initiator.UNKNOWN),
                apiKey.map(ApiKeyRecord::name),
                AuditEvent.Initiator.SERVICE_ID,
                "apikey",
                Optional.of(request.remote().getAddress().getHostAddress()),
                request.header("User-Agent")),
            new AuditEvent.Target(
                settings.issuer(),
                apiKey.map(key -> key.id().toString()),
                "iam-identity/serviceid-apikey"),
            correlationId,
            new AuditEvent.RequestData("/identity/token", Optional.empty())));
  }

  /** Adds what a form has; false when a parameter is there already with another value. */
  private static boolean read(@Nullable String form, Map<String, String> parameters) {
    if (form == null) {
      return true;
    }
    for (String pair : form.strip().split("&", -1)) {
      int equals = pair.indexOf('=');
      if (equals > 0) {
        String value = decoded(pair.substring(equals + 1));
        String before = parameters.put(decoded(pair.substring(0, equals)), value);
        if (before != null && !before.equals(value)) {
          return false;
        }
      }
    }
    return true;
  }

  private static String decoded(String text) {
    try {
      return URLDecoder.decode(text, StandardCharsets.UTF_8);
    } catch (IllegalArgumentException e) {
      // One client does not escape its form, so a percent sign may be one.
      return text;
    }
  }

  private static Reply error(int status, String code, String message) {
    Map<String, Object> body = new LinkedHashMap<>();
    body.put("errorCode", code);
    body.put("errorMessage", message);
    return new Reply(status, body);
  }

  private static String keySet(TokenSigner signer) {
    return jwks(signer).toString();
  }

  private static JWKSet jwks(TokenSigner signer) {
    if (!(signer.publicKey() instanceof ECPublicKey publicKey)) {
      throw new IllegalStateException("the token-signing key is not an EC key");
    }
    return new JWKSet(
        new ECKey.Builder(Curve.P_256, publicKey)
            .keyID(signer.keyId())
            .keyUse(KeyUse.SIGNATURE)
            .algorithm(JWSAlgorithm.ES256)
            .build());
  }

  private static String base64(byte[] bytes) {
    return Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
  }
}
