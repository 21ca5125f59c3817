package dev.grep11.gateway.iam;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.JWSVerifier;
import com.nimbusds.jose.util.JSONObjectUtils;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import dev.grep11.gateway.iam.IssuerSettings.Algorithm;
import dev.grep11.gateway.iam.IssuerSettings.Audience;
import dev.grep11.gateway.iam.TokenRejectedException.Reason;
import dev.grep11.gateway.store.Subject;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.text.ParseException;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.Collection;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.LongSupplier;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * Verifies bearer tokens (JWT, RFC 7519) against the keys of their issuers.
 *
 * <p>{@link #cached} is for the event loop: it never waits and never verifies a signature. {@link
 * #verify} does both and belongs on a thread that may. A verified token is remembered by the
 * SHA-256 of the header that showed it until it expires or its issuer's keys change. Safe for use
 * by several threads.
 */
public final class TokenVerifier {
  private static final int MAX_TOKEN_LENGTH = 16 * 1024;
  private static final int MAX_CACHED = 20_000;
  private static final Duration MAX_LEEWAY = Duration.ofSeconds(60);
  private static final String SCHEME = "bearer";
  private static final Set<String> TYPES = Set.of("jwt", "at+jwt", "application/at+jwt");
  // Keycloak's typ, Cognito's token_use; the hashes and the nonce are of OpenID Connect Core,
  // 3.1.3.6 and 3.3.2.11.
  private static final Set<String> OTHER_KINDS = Set.of("id", "refresh", "offline", "logout");
  private static final Set<String> ID_TOKEN_CLAIMS = Set.of("at_hash", "c_hash", "s_hash", "nonce");

  /** One for each thread: to look the algorithm up costs as much as to hash a token. */
  private static final ThreadLocal<MessageDigest> SHA_256 =
      ThreadLocal.withInitial(() -> {
        try {
          return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
          throw new IllegalStateException("SHA-256 is part of every JDK", e);
        }
      });

  private final Map<String, Issuer> issuers = new HashMap<>();
  private final Duration leeway;
  private final Clock clock;
  private final Cache<ByteBuffer, Cached> cache =
      Caffeine.newBuilder().maximumSize(MAX_CACHED).build();

  private final LongAdder hits = new LongAdder();
  private final LongAdder misses = new LongAdder();

  private record Issuer(IssuerSettings settings, KeySetCache keys) {}

  private record Cached(VerifiedToken token, Issuer issuer, Object keysIdentity) {}

  /** With 30 s of leeway for clocks, and the default timings for key sets. */
  public TokenVerifier(Collection<IssuerSettings> issuers) {
    this(
        issuers,
        Duration.ofSeconds(30),
        KeySetTimings.DEFAULT,
        Clock.systemUTC(),
        System::nanoTime);
  }

  /**
   * With everything said.
   *
   * @param leeway for {@code exp}, {@code nbf} and {@code iat}, at most 60 s
   */
  public TokenVerifier(
      Collection<IssuerSettings> issuers,
      Duration leeway,
      KeySetTimings timings,
      Clock clock,
      LongSupplier nanoClock) {
    if (leeway.isNegative() || leeway.compareTo(MAX_LEEWAY) > 0) {
      throw new IllegalArgumentException("the leeway for clocks is at most " + MAX_LEEWAY);
    }
    for (IssuerSettings settings : issuers) {
      Issuer issuer = new Issuer(settings, new KeySetCache(settings, timings, nanoClock));
      if (this.issuers.put(settings.issuer(), issuer) != null) {
        throw new IllegalArgumentException("issuer " + settings.issuer() + " is configured twice");
      }
    }
    this.leeway = leeway;
    this.clock = clock;
  }

  /**
   * Fetches the keys of all issuers in the background: the first caller need not wait for them, and
   * the log tells at once of an issuer whose keys cannot be had.
   */
  public void fetchAhead() {
    for (Issuer issuer : issuers.values()) {
      Thread.startVirtualThread(() -> {
        var _ = issuer.keys().fresh();
      });
    }
  }

  /**
   * The token in the values of {@code authorization}: {@code Bearer <token>}, or bare, as one
   * client sends it.
   *
   * @throws TokenRejectedException when there is none, more than one value, or something else
   */
  public static String bearer(List<String> authorization) throws TokenRejectedException {
    if (authorization.isEmpty() || authorization.getFirst().isBlank()) {
      throw new TokenRejectedException(Reason.MISSING, "no token");
    }
    if (authorization.size() > 1) {
      throw new TokenRejectedException(Reason.MALFORMED, "more than one authorization header");
    }
    String value = authorization.getFirst().strip();
    if (value.length() > MAX_TOKEN_LENGTH) {
      throw new TokenRejectedException(Reason.MALFORMED, "token too long");
    }
    String token = withoutScheme(value);
    // A failed fetch leaves "Bearer " in one client's header.
    if (token.equalsIgnoreCase(SCHEME)) {
      throw new TokenRejectedException(Reason.MISSING, "no token");
    }
    if (!isCompact(token)) {
      throw new TokenRejectedException(Reason.MALFORMED, "not a bearer token");
    }
    return token;
  }

  private static String withoutScheme(String value) {
    boolean named =
        value.regionMatches(true, 0, SCHEME, 0, SCHEME.length())
            && value.length() > SCHEME.length()
            && value.charAt(SCHEME.length()) == ' ';
    return named ? value.substring(SCHEME.length()).strip() : value;
  }

  /**
   * Three parts in base64url, of which the last may be empty (RFC 7515, 7.1). By hand: a flood of
   * bad tokens is judged on the event loop, and a regular expression took ten times as long.
   */
  private static boolean isCompact(String token) {
    int dots = 0;
    int begin = 0;
    for (int i = 0; i < token.length(); i++) {
      char c = token.charAt(i);
      if (c == '.') {
        dots++;
        if (i == begin || dots > 2) {
          return false;
        }
        begin = i + 1;
      } else if (!isBase64Url(c)) {
        return false;
      }
    }
    return dots == 2;
  }

  private static boolean isBase64Url(char c) {
    return (c >= 'a' && c <= 'z')
        || (c >= 'A' && c <= 'Z')
        || (c >= '0' && c <= '9')
        || c == '-'
        || c == '_';
  }

  /**
   * What was verified before under this value and still holds. Never waits.
   *
   * @param authorization the value of that header, as {@link #bearer} takes it
   */
  public Optional<VerifiedToken> cached(String authorization) {
    var known = remembered(authorization);
    (known.isPresent() ? hits : misses).increment();
    return known;
  }

  /** How often {@link #cached} knew the token. */
  public long hits() {
    return hits.sum();
  }

  /** How often it did not, so that whatever was shown had to be looked at or verified. */
  public long misses() {
    return misses.sum();
  }

  /**
   * How old the oldest keys of an issuer are whose last fetch failed; zero when none failed. Beyond
   * {@link KeySetTimings#maxStaleness} that issuer's tokens are refused.
   */
  public Duration keysOverdue() {
    return issuers.values().stream()
        .map(issuer -> issuer.keys().overdue())
        .max(Duration::compareTo)
        .orElse(Duration.ZERO);
  }

  private Optional<VerifiedToken> remembered(String authorization) {
    ByteBuffer digest = digest(authorization);
    Cached cached = cache.getIfPresent(digest);
    if (cached == null) {
      return Optional.empty();
    }
    boolean holds =
        clock.instant().isBefore(cached.token().expires())
            && cached
                .issuer()
                .keys()
                .current()
                .filter(version -> version.identity().equals(cached.keysIdentity()))
                .isPresent();
    if (!holds) {
      cache.asMap().remove(digest, cached);
      return Optional.empty();
    }
    return Optional.of(cached.token());
  }

  /**
   * Verifies a token; may wait for the issuer's keys.
   *
   * @param authorization the value of that header, as {@link #bearer} takes it
   * @throws TokenRejectedException when it proves nothing, see its reason
   */
  public VerifiedToken verify(String authorization) throws TokenRejectedException {
    Optional<VerifiedToken> known = remembered(authorization);
    if (known.isPresent()) {
      return known.get();
    }
    String token = bearer(List.of(authorization));
    SignedJWT jwt;
    JWTClaimsSet claims;
    Algorithm algorithm;
    try {
      String algorithmName = new String(headerBytes(token), StandardCharsets.UTF_8);
      algorithm = algorithm(algorithmName);
      jwt = SignedJWT.parse(token);
      claims = jwt.getJWTClaimsSet();
    } catch (ParseException | IllegalArgumentException e) {
      throw new TokenRejectedException(Reason.MALFORMED, "not a signed JWT");
    }
    if (claims == null) {
      throw new TokenRejectedException(Reason.MALFORMED, "a JWT without claims");
    }
    Issuer issuer = claims.getIssuer() == null ? null : issuers.get(claims.getIssuer());
    if (issuer == null) {
      throw new TokenRejectedException(Reason.ISSUER, "an issuer that is not configured");
    }
    Object keysIdentity = checkSignature(jwt, algorithm, issuer);
    VerifiedToken verified = checkClaims(jwt.getHeader(), claims, issuer.settings());
    cache.put(digest(authorization), new Cached(verified, issuer, keysIdentity));
    return verified;
  }

  private static byte[] headerBytes(String token) {
    return Base64.getUrlDecoder().decode(token.substring(0, token.indexOf('.')));
  }

  /**
   * Before any library looks at it: {@code none} is not a signed JWT to it, and HS256 not an error.
   */
  private static Algorithm algorithm(String headerJson)
      throws TokenRejectedException, ParseException {
    Object name = JSONObjectUtils.parse(headerJson).get("alg");
    for (Algorithm algorithm : Algorithm.values()) {
      if (algorithm.name().equals(name)) {
        return algorithm;
      }
    }
    throw new TokenRejectedException(Reason.ALGORITHM, "an algorithm other than RS256 and ES256");
  }

  private static Object checkSignature(SignedJWT jwt, Algorithm algorithm, Issuer issuer)
      throws TokenRejectedException {
    JWSHeader header = jwt.getHeader();
    if (!issuer.settings().algorithms().contains(algorithm)) {
      throw new TokenRejectedException(
          Reason.ALGORITHM, algorithm + " is not configured for the issuer");
    }
    // A key that the token brings along, or says where to fetch, proves nothing.
    if (header.getJWKURL() != null
        || header.getJWK() != null
        || header.getX509CertURL() != null
        || header.getX509CertChain() != null
        || header.getCriticalParams() != null) {
      throw new TokenRejectedException(Reason.HEADER, "jku, jwk, x5u, x5c or crit in the header");
    }
    if (header.getKeyID() == null) {
      throw new TokenRejectedException(Reason.UNKNOWN_KEY, "no kid");
    }
    KeySetCache.Version version =
        issuer
            .keys()
            .with(header.getKeyID())
            .orElseThrow(() ->
                new TokenRejectedException(
                    Reason.KEYS_UNAVAILABLE,
                    "the keys of the issuer cannot be had, or are too old"));
    if (!version.keys().contains(header.getKeyID())) {
      throw new TokenRejectedException(Reason.UNKNOWN_KEY, "unknown kid");
    }
    JWSVerifier verifier =
        version
            .keys()
            .verifier(header.getKeyID(), algorithm)
            .orElseThrow(() ->
                new TokenRejectedException(Reason.ALGORITHM, "the key is for another algorithm"));
    try {
      if (!jwt.verify(verifier)) {
        throw new TokenRejectedException(Reason.SIGNATURE, "the signature is not the issuer's");
      }
    } catch (JOSEException e) {
      throw new TokenRejectedException(Reason.SIGNATURE, "the signature cannot be verified");
    }
    return version.identity();
  }

  private VerifiedToken checkClaims(JWSHeader header, JWTClaimsSet claims, IssuerSettings settings)
      throws TokenRejectedException {
    checkKind(header, claims);
    Instant now = clock.instant();
    Instant expires = instant(claims.getExpirationTime());
    if (expires == null) {
      throw new TokenRejectedException(Reason.MALFORMED, "no exp");
    }
    if (!now.isBefore(expires.plus(leeway))) {
      throw new TokenRejectedException(Reason.EXPIRED, "expired " + expires);
    }
    Instant notBefore = instant(claims.getNotBeforeTime());
    Instant issued = instant(claims.getIssueTime());
    if ((notBefore != null && now.plus(leeway).isBefore(notBefore))
        || (issued != null && now.plus(leeway).isBefore(issued))) {
      throw new TokenRejectedException(Reason.NOT_YET_VALID, "nbf or iat in the future");
    }
    switch (settings.audience()) {
      case Audience.Required required -> {
        if (!claims.getAudience().contains(required.value())) {
          throw new TokenRejectedException(Reason.AUDIENCE, "not for this audience");
        }
      }
      case Audience.NotChecked notChecked -> {}
    }
    if (settings.account().isPresent()) {
      var account = settings.account().get();
      if (!text(claims, account.claim()).equals(Optional.of(account.value()))) {
        throw new TokenRejectedException(Reason.ACCOUNT, "not of the account that is configured");
      }
    }
    Optional<UUID> instance = uuid(claims, settings.instanceClaim());
    Optional<UUID> apiKey = uuid(claims, settings.apiKeyClaim());
    if (settings.apiKeyClaim().isPresent() && apiKey.isEmpty()) {
      throw new TokenRejectedException(Reason.MALFORMED, "no " + settings.apiKeyClaim().get());
    }
    return new VerifiedToken(
        subject(claims, settings),
        text(claims, "name").filter(name -> !name.isBlank()),
        Optional.ofNullable(issued),
        expires,
        instance,
        instance.isPresent() ? texts(claims, settings.rolesClaim()) : Set.of(),
        apiKey,
        thumbprint(claims));
  }

  private static void checkKind(JWSHeader header, JWTClaimsSet claims)
      throws TokenRejectedException {
    boolean otherType =
        header.getType() != null
            && !TYPES.contains(header.getType().getType().toLowerCase(Locale.ROOT));
    boolean otherKind =
        List.of("typ", "token_use").stream()
            .map(claims::getClaim)
            .anyMatch(kind ->
                kind instanceof String text && OTHER_KINDS.contains(text.toLowerCase(Locale.ROOT)));
    boolean idToken = ID_TOKEN_CLAIMS.stream().anyMatch(claim -> claims.getClaim(claim) != null);
    if (otherType || otherKind || idToken) {
      throw new TokenRejectedException(
          Reason.NOT_AN_ACCESS_TOKEN, "an ID token, or another that gives no access");
    }
  }

  private static Subject subject(JWTClaimsSet claims, IssuerSettings settings)
      throws TokenRejectedException {
    Optional<String> id = text(claims, "iam_id").or(() -> Optional.ofNullable(claims.getSubject()));
    try {
      return new Subject(settings.issuer(), id.orElse(""));
    } catch (IllegalArgumentException e) {
      throw new TokenRejectedException(Reason.SUBJECT, "no usable iam_id or sub");
    }
  }

  private static Optional<String> thumbprint(JWTClaimsSet claims) throws TokenRejectedException {
    Object confirmation = claims.getClaim("cnf");
    if (confirmation == null) {
      return Optional.empty();
    }
    if (confirmation instanceof Map<?, ?> members
        && members.get("x5t#S256") instanceof String thumbprint) {
      return Optional.of(thumbprint);
    }
    // Bound to something that is not understood here is not the same as unbound.
    throw new TokenRejectedException(Reason.HEADER, "cnf without x5t#S256");
  }

  private static Optional<UUID> uuid(JWTClaimsSet claims, Optional<String> path)
      throws TokenRejectedException {
    Optional<String> text = path.isPresent() ? text(claims, path.get()) : Optional.empty();
    try {
      // A claim that is there and is no text must not look like one that is absent.
      if (text.isEmpty() && path.isPresent() && value(claims, path.get()) != null) {
        throw new IllegalArgumentException("not a text");
      }
      return text.map(UUID::fromString);
    } catch (IllegalArgumentException e) {
      throw new TokenRejectedException(Reason.MALFORMED, path.orElse("") + " is not a UUID");
    }
  }

  private static Set<String> texts(JWTClaimsSet claims, Optional<String> path) {
    Object value = path.isPresent() ? value(claims, path.get()) : null;
    Collection<?> values =
        value instanceof Collection<?> several
            ? several
            : value == null ? List.of() : List.of(value);
    return values.stream()
        .filter(String.class::isInstance)
        .map(String.class::cast)
        .collect(Collectors.toUnmodifiableSet());
  }

  private static Optional<String> text(JWTClaimsSet claims, String path) {
    return value(claims, path) instanceof String text ? Optional.of(text) : Optional.empty();
  }

  private static @Nullable Object value(JWTClaimsSet claims, String path) {
    Object whole = claims.getClaim(path);
    if (whole != null) {
      return whole;
    }
    Object value = claims.toJSONObject();
    for (String name : path.split("\\.", -1)) {
      value = value instanceof Map<?, ?> object ? object.get(name) : null;
    }
    return value;
  }

  private static @Nullable Instant instant(@Nullable Date date) {
    return date == null ? null : date.toInstant();
  }

  private static ByteBuffer digest(String token) {
    return ByteBuffer.wrap(SHA_256.get().digest(token.getBytes(StandardCharsets.ISO_8859_1)));
  }
}
