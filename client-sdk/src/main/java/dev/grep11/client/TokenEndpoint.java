package dev.grep11.client;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.time.Duration;
import java.util.Arrays;
import java.util.Locale;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import javax.net.ssl.SSLContext;
import org.jspecify.annotations.Nullable;

/**
 * The token service: {@code POST <endpoint>/identity/token} with an API key in a form body (RFC
 * 6749, 4.4.2 with IBM's grant type). Safe for use by several threads.
 */
final class TokenEndpoint {
  private static final String GRANT = "grant_type=urn%3Aibm%3Aparams%3Aoauth%3Agrant-type%3Aapikey";
  // RFC 3986, 2.3
  private static final String UNRESERVED =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  private static final Duration REQUEST_TIMEOUT = Duration.ofSeconds(10);

  /** A token and how long it lives from now. */
  record Token(String value, Duration lifetime) {
    Token {
      // A header value; anything else would be refused much later and less clearly.
      if (value.isEmpty() || !value.chars().allMatch(c -> c > 0x20 && c < 0x7f)) {
        throw new IllegalArgumentException("the token service answered no usable access_token");
      }
      if (lifetime.isNegative() || lifetime.isZero()) {
        throw new IllegalArgumentException("the token service answered an expired token");
      }
    }

    @Override
    public String toString() {
      return "Token[" + lifetime + "]";
    }
  }

  private final HttpClient http;
  private final URI uri;
  private final ApiKey apiKey;

  /**
   * @param endpoint an https URL without the path of the token request
   * @param ca PEM of the CAs to trust, or null for those of the system
   */
  TokenEndpoint(URI endpoint, @Nullable Path ca, ApiKey apiKey) {
    if (!"https".equals(endpoint.getScheme())) {
      throw new IllegalArgumentException("an API key is only sent over https, not to " + endpoint);
    }
    this.uri = URI.create(endpoint.toString().replaceAll("/+$", "") + "/identity/token");
    this.apiKey = apiKey;
    var builder =
        HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            // The key must not follow a redirect to another host.
            .followRedirects(HttpClient.Redirect.NEVER)
            .connectTimeout(Duration.ofSeconds(5));
    builder.sslContext(trusting(ca));
    this.http = builder.build();
  }

  /** Completes with a fresh token, or exceptionally with a reason that may be shown. */
  CompletableFuture<Token> request() {
    HttpRequest request;
    byte[] body;
    try {
      body = form();
      request =
          HttpRequest.newBuilder(uri)
              .timeout(REQUEST_TIMEOUT)
              .header("Content-Type", "application/x-www-form-urlencoded")
              .header("Accept", "application/json")
              .POST(HttpRequest.BodyPublishers.ofByteArray(body))
              .build();
    } catch (RuntimeException e) {
      return CompletableFuture.failedFuture(e);
    }
    return http.sendAsync(request, HttpResponse.BodyHandlers.ofString(StandardCharsets.UTF_8))
        .whenComplete((response, failure) -> Arrays.fill(body, (byte) 0))
        .handle((response, failure) -> {
          if (failure != null) {
            throw new CompletionException(failed(failure));
          }
          return token(response);
        });
  }

  private IllegalStateException failed(Throwable failure) {
    return Unreachable.reason(failure)
        .<IllegalStateException>map(reason ->
            new TokenServiceUnavailableException(
                "token service %s cannot be reached: %s".formatted(uri.getAuthority(), reason),
                failure))
        .orElseGet(() ->
            new IllegalStateException(
                "token service " + uri.getAuthority() + ": " + reason(failure), failure));
  }

  private Token token(HttpResponse<String> response) {
    JsonObject answer;
    try {
      JsonElement json = JsonParser.parseString(response.body());
      answer = json.isJsonObject() ? json.getAsJsonObject() : new JsonObject();
    } catch (JsonParseException notJson) {
      answer = new JsonObject();
    }
    if (response.statusCode() != 200) {
      var refusal =
          "token service %s refused: HTTP %d%s"
              .formatted(uri.getAuthority(), response.statusCode(), reason(answer));
      throw isPassing(response.statusCode())
          ? new TokenServiceUnavailableException(refusal)
          : new IllegalStateException(refusal);
    }
    try {
      return new Token(
          answer.get("access_token").getAsString(),
          Duration.ofSeconds(answer.get("expires_in").getAsLong()));
    } catch (NullPointerException | UnsupportedOperationException | NumberFormatException e) {
      throw new IllegalStateException(
          "token service " + uri.getAuthority() + ": no access_token with expires_in", e);
    }
  }

  /**
   * Too many requests, or a service that is not there for a while (RFC 9110, 15.6; RFC 6585, 4).
   */
  private static boolean isPassing(int status) {
    return status == 429 || status >= 500;
  }

  /** IBM's error fields. The rest of the body stays unread: it could echo the request. */
  private static String reason(JsonObject answer) {
    var text = new StringBuilder();
    for (String field : new String[] {"errorCode", "errorMessage"}) {
      if (answer.has(field) && answer.get(field).isJsonPrimitive()) {
        text.append(' ').append(answer.get(field).getAsString());
      }
    }
    return text.toString();
  }

  private byte[] form() {
    byte[] key = apiKey.read();
    if (key.length == 0) {
      throw new IllegalStateException("the API key is empty");
    }
    var out = new ByteArrayOutputStream(GRANT.length() + 8 + 3 * key.length);
    out.writeBytes((GRANT + "&apikey=").getBytes(StandardCharsets.US_ASCII));
    for (byte b : key) {
      if (UNRESERVED.indexOf(b) >= 0) {
        out.write(b);
      } else {
        out.writeBytes(
            String.format(Locale.ROOT, "%%%02X", b & 0xff).getBytes(StandardCharsets.US_ASCII));
      }
    }
    Arrays.fill(key, (byte) 0);
    return out.toByteArray();
  }

  /** The deepest message: those above it repeat it, or say where it passed through. */
  private static String reason(Throwable failure) {
    String reason = unwrap(failure).getClass().getSimpleName();
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause.getMessage() != null) {
        reason = cause.getMessage();
      }
    }
    return reason;
  }

  private static Throwable unwrap(Throwable failure) {
    return failure instanceof CompletionException && failure.getCause() != null
        ? failure.getCause()
        : failure;
  }

  private static SSLContext trusting(@Nullable Path ca) {
    try {
      var context = SSLContext.getInstance("TLS");
      context.init(null, ca == null ? ExplainedTrust.inTheSystem() : Pem.trust(ca), null);
      return context;
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }
}
