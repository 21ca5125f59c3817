package dev.grep11.gateway.iam;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.KeyUse;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsParameters;
import com.sun.net.httpserver.HttpsServer;
import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.audit.AuditLog;
import dev.grep11.gateway.audit.AuditUnavailableException;
import dev.grep11.gateway.iam.IssuerSettings.Algorithm;
import dev.grep11.gateway.iam.IssuerSettings.Audience;
import dev.grep11.gateway.iam.IssuerSettings.Jwks;
import dev.grep11.gateway.store.ApiKeyRecord;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.security.interfaces.ECPublicKey;
import java.time.Clock;
import java.time.Instant;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import java.util.logging.Level;
import java.util.stream.Stream;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Gives tokens for API keys, at the endpoint that GREP11 clients already use: {@code POST
 * /identity/token} with the parameters in a form body (Go) or in the query (JavaScript), and {@code
 * GET /identity/keys} for verifiers.
 *
 * <p>An API key appears in no log and no error: no part of a request is ever printed, and the HTTP
 * server's own logger, which prints request lines, is off. Each request has a thread of its own and
 * limits on time and size.
 */
public final class TokenService implements AutoCloseable {
  /** That it takes at once. */
  public static final int MAX_CONNECTIONS = 500;

  static final int COST_OF_REFUSAL = 40;

  private static final Logger log = LoggerFactory.getLogger(TokenService.class);
  private static final java.util.logging.Logger httpServerLog =
      java.util.logging.Logger.getLogger("com.sun.net.httpserver");
  private static final String API_KEY_GRANT = "urn:ibm:params:oauth:grant-type:apikey";
  private static final String ACTION = "iam-identity.serviceid-apikey.login";
  private static final String API_KEY_CLAIM = "apikey_id";
  private static final int MAX_BODY = 8 * 1024;
  private static final ObjectMapper JSON = new ObjectMapper();

  static {
    // The server reads these once, when it is first used: seconds for a whole request (else a
    // handshake left half open
    // keeps its thread), for an answer, and bytes of headers.
    setUnlessSet("sun.net.httpserver.maxReqTime", 10);
    setUnlessSet("sun.net.httpserver.maxRspTime", 10);
    setUnlessSet("sun.net.httpserver.maxReqHeaderSize", 16 * 1024);
    setUnlessSet("jdk.httpserver.maxConnections", MAX_CONNECTIONS);
    httpServerLog.setLevel(Level.OFF);
  }

  private final TokenServiceSettings settings;
  private final TokenSigner signer;
  private final Grants grants;
  private final AuditLog audit;
  private final Clock clock;

  /** Of addresses, for what shows no API key that is known: a refusal is an event and a look. */
  private final CallBudget strangers;

  /** Of each API key at each address; so nobody without the key, or elsewhere, uses it up. */
  private final CallBudget holders;

  private final HttpsServer server;
  private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();

  /** An answer; {@code body} becomes JSON. */
  private record Answer(int status, Map<String, Object> body) {}

  /**
   * Listens and serves.
   *
   * @param identity the context of the moment, asked for with every connection
   * @throws IOException when the address cannot be bound
   */
  public static TokenService start(
      TokenServiceSettings settings,
      Supplier<SSLContext> identity,
      TokenSigner signer,
      Grants grants,
      AuditLog audit)
      throws IOException {
    return new TokenService(settings, identity, signer, grants, audit, Clock.systemUTC());
  }

  TokenService(
      TokenServiceSettings settings,
      Supplier<SSLContext> identity,
      TokenSigner signer,
      Grants grants,
      AuditLog audit,
      Clock clock)
      throws IOException {
    this.settings = settings;
    this.signer = signer;
    this.grants = grants;
    this.audit = audit;
    this.clock = clock;
    this.strangers = new CallBudget(settings.requestsPerMinute());
    this.holders = new CallBudget(settings.requestsPerMinute());
    server = HttpsServer.create(settings.address(), 0);
    server.setHttpsConfigurator(
        new HttpsConfigurator(new ReloadingSslContext(identity)) {
          @Override
          public void configure(HttpsParameters parameters) {
            SSLParameters tls = getSSLContext().getDefaultSSLParameters();
            tls.setProtocols(new String[] {"TLSv1.3", "TLSv1.2"});
            // TLS 1.2 with CBC is what the JDK would still take (RFC 7366, RFC 9325 section 4.2).
            tls.setCipherSuites(
                Stream.of(tls.getCipherSuites())
                    .filter(suite -> suite.contains("_GCM_") || suite.contains("_CHACHA20_"))
                    .toArray(String[]::new));
            parameters.setSSLParameters(tls);
          }
        });
    server.setExecutor(threads);
    server.createContext("/", this::handle);
    server.start();
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

  /** Where it listens, with the port it really has. */
  public InetSocketAddress address() {
    return server.getAddress();
  }

  private void handle(HttpExchange exchange) {
    String correlationId = UUID.randomUUID().toString();
    try (exchange) {
      Answer answer;
      try {
        answer = answer(exchange, correlationId);
      } catch (AuditUnavailableException e) {
        answer = error(503, "GREP11-AUDIT-UNAVAILABLE", "The request cannot be recorded now.");
      } catch (RuntimeException e) {
        // Its message could hold a part of the request.
        log.error("token request {} failed: {}", correlationId, e.getClass().getName());
        answer = error(503, "GREP11-UNAVAILABLE", "No token can be given now.");
      }
      byte[] body = JSON.writeValueAsBytes(answer.body());
      exchange.getResponseHeaders().set("Content-Type", "application/json");
      exchange.getResponseHeaders().set("Cache-Control", "no-store");
      exchange.getResponseHeaders().set("X-Correlation-Id", correlationId);
      exchange.sendResponseHeaders(answer.status(), body.length);
      exchange.getResponseBody().write(body);
    } catch (IOException e) {
      // The client has gone.
      log.debug("token request {} was not answered", correlationId);
    }
  }

  private Answer answer(HttpExchange exchange, String correlationId) throws IOException {
    return switch (exchange.getRequestMethod() + " " + exchange.getRequestURI().getRawPath()) {
      case "POST /identity/token" -> token(exchange, correlationId);
      case "GET /identity/keys" -> new Answer(200, jwks(signer).toJSONObject());
      default ->
          error(404, "GREP11-NOT-FOUND", "There are POST /identity/token and GET /identity/keys.");
    };
  }

  private Answer token(HttpExchange exchange, String correlationId) throws IOException {
    byte[] body = exchange.getRequestBody().readNBytes(MAX_BODY + 1);
    if (body.length > MAX_BODY) {
      return refuse(
          exchange, correlationId, error(413, "GREP11-TOO-LARGE", "The request is too large."));
    }
    Map<String, String> parameters = new HashMap<>();
    String form = new String(body, StandardCharsets.UTF_8);
    if (!read(exchange.getRequestURI().getRawQuery(), parameters) || !read(form, parameters)) {
      return refuse(
          exchange,
          correlationId,
          error(400, "GREP11-AMBIGUOUS", "A parameter is there twice, and not the same."));
    }
    String grantType = parameters.getOrDefault("grant_type", "");
    String apiKey = parameters.getOrDefault("apikey", "");
    if (grantType.isEmpty() || apiKey.isEmpty()) {
      String missing = grantType.isEmpty() ? "grant_type" : "apikey";
      return refuse(
          exchange,
          correlationId,
          error(400, "BXNIM0109E", "Property missing or empty: '" + missing + "'."));
    }
    if (!grantType.equals(API_KEY_GRANT)) {
      return refuse(
          exchange,
          correlationId,
          error(400, "GREP11-GRANT-TYPE", "The only grant_type is " + API_KEY_GRANT + "."));
    }
    if (!grants.available()) {
      return error(503, "GREP11-UNAVAILABLE", "No token can be given now.");
    }
    byte[] hash = ApiKeySecret.hash(apiKey);
    Optional<ApiKeyRecord> known = grants.knownApiKey(hash);
    if (known.isEmpty()) {
      return newKey(exchange, correlationId, hash);
    }
    InetAddress address = exchange.getRemoteAddress().getAddress();
    CallBudget.Balance balance = holders.spend(known.get().subject(), address, 1);
    return balance == CallBudget.Balance.WITHIN
        ? issued(exchange, correlationId, known.get())
        : tooMany(exchange, correlationId, known, balance);
  }

  /** For a key that another process made just now; what it costs to look is spent before. */
  private Answer newKey(HttpExchange exchange, String correlationId, byte[] hash)
      throws JsonProcessingException {
    CallBudget.Balance balance = spendOfStranger(exchange);
    if (balance != CallBudget.Balance.WITHIN) {
      return tooMany(exchange, correlationId, Optional.empty(), balance);
    }
    Optional<ApiKeyRecord> found = grants.apiKey(hash);
    return found.isPresent()
        ? issued(exchange, correlationId, found.get())
        : recorded(
            exchange,
            correlationId,
            Optional.empty(),
            error(400, "BXNIM0415E", "Provided API key could not be found."));
  }

  private Answer issued(HttpExchange exchange, String correlationId, ApiKeyRecord apiKey)
      throws JsonProcessingException {
    Answer answer = issue(apiKey);
    record(
        exchange,
        correlationId,
        Optional.of(apiKey),
        AuditEvent.Outcome.SUCCESS,
        AuditEvent.Reason.OK);
    return answer;
  }

  private Answer refuse(HttpExchange exchange, String correlationId, Answer answer) {
    CallBudget.Balance balance = spendOfStranger(exchange);
    return balance == CallBudget.Balance.WITHIN
        ? recorded(exchange, correlationId, Optional.empty(), answer)
        : tooMany(exchange, correlationId, Optional.empty(), balance);
  }

  private CallBudget.Balance spendOfStranger(HttpExchange exchange) {
    return strangers.spend(exchange.getRemoteAddress().getAddress(), COST_OF_REFUSAL);
  }

  /** Recorded once, when a budget is used up: a flood must not fill the audit queue. */
  private Answer tooMany(
      HttpExchange exchange,
      String correlationId,
      Optional<ApiKeyRecord> apiKey,
      CallBudget.Balance balance) {
    exchange.getResponseHeaders().set("Retry-After", "60");
    Answer answer = error(429, "GREP11-TOO-MANY-REQUESTS", "Too many requests from this address.");
    return balance == CallBudget.Balance.JUST_EXCEEDED
        ? recorded(exchange, correlationId, apiKey, answer)
        : answer;
  }

  private Answer recorded(
      HttpExchange exchange, String correlationId, Optional<ApiKeyRecord> apiKey, Answer refusal) {
    record(
        exchange,
        correlationId,
        apiKey,
        AuditEvent.Outcome.FAILURE,
        AuditEvent.Reason.failure(
            refusal.status(),
            Objects.toString(refusal.body().get("errorCode")),
            Objects.toString(refusal.body().get("errorMessage"))));
    return refusal;
  }

  private Answer issue(ApiKeyRecord apiKey) throws JsonProcessingException {
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
    return new Answer(200, body);
  }

  private void record(
      HttpExchange exchange,
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
                Optional.of(exchange.getRemoteAddress().getAddress().getHostAddress()),
                Optional.ofNullable(exchange.getRequestHeaders().getFirst("User-Agent"))),
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

  private static Answer error(int status, String code, String message) {
    Map<String, Object> body = new LinkedHashMap<>();
    body.put("errorCode", code);
    body.put("errorMessage", message);
    return new Answer(status, body);
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

  private static void setUnlessSet(String property, int value) {
    if (System.getProperty(property) == null) {
      System.setProperty(property, Integer.toString(value));
    }
  }

  /** Answers what is under way, for a second at most, and stops. */
  @Override
  public void close() {
    // Not server.stop(1), which waits the whole second also when nothing is under way.
    threads.shutdown();
    try {
      if (!threads.awaitTermination(1, TimeUnit.SECONDS)) {
        threads.shutdownNow();
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    server.stop(0);
  }
}
