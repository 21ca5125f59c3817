package dev.grep11.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TokenEndpointTest {
  private static final Duration SOON = Duration.ofSeconds(10);

  @TempDir Path directory;
  private TestAuthority authority;
  private FakeTokenService service;

  @BeforeEach
  void start() throws Exception {
    authority = new TestAuthority(directory, "iam");
    service = new FakeTokenService(authority.issue("server"));
  }

  @AfterEach
  void stop() {
    service.close();
  }

  @Test
  void sendsTheGrantAndTheEscapedKeyInAForm() {
    var endpoint = endpoint(ApiKey.of("a+b&c=d é".toCharArray()));
    assertThat(endpoint.request())
        .succeedsWithin(SOON)
        .isEqualTo(new TokenEndpoint.Token("t0", Duration.ofHours(1)));
    assertThat(service.requests())
        .containsExactly(
            "POST application/x-www-form-urlencoded"
                + " grant_type=urn%3Aibm%3Aparams%3Aoauth%3Agrant-type%3Aapikey"
                + "&apikey=a%2Bb%26c%3Dd%20%C3%A9");
  }

  @Test
  void readsAKeyFileAgainForEachToken() throws Exception {
    Path file = Files.writeString(directory.resolve("key"), "first\n");
    var endpoint = endpoint(ApiKey.in(file));
    assertThat(endpoint.request()).succeedsWithin(SOON);
    Files.writeString(file, "second\r\n");
    assertThat(endpoint.request()).succeedsWithin(SOON);

    assertThat(service.requests())
        .satisfiesExactly(
            first -> assertThat(first).endsWith("&apikey=first"),
            second -> assertThat(second).endsWith("&apikey=second"));

    Files.delete(file);
    assertThat(endpoint.request())
        .failsWithin(SOON)
        .withThrowableOfType(ExecutionException.class)
        .withMessageContaining("API key file " + file);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      textBlock =
          """
          400 | {"errorCode":"BXNIM0415E","errorMessage":"not found"} | HTTP 400 BXNIM0415E not found
          503 | busy                                                  | HTTP 503
          302 | {}                                                    | HTTP 302
          200 | {}                                                    | no access_token
          200 | []                                                    | no access_token
          200 | {"access_token":"t","expires_in":"soon"}              | no access_token
          200 | {"access_token":"t","expires_in":0}                   | expired
          200 | {"access_token":"a b","expires_in":60}                | no usable access_token
          """)
  void saysWhatWasWrongWithAnAnswer(int status, String answer, String reason) {
    service.answerWith(status, answer);
    assertThat(endpoint(ApiKey.of("secret-key".toCharArray())).request())
        .failsWithin(SOON)
        .withThrowableOfType(ExecutionException.class)
        .withMessageContaining(reason)
        .withMessageNotContaining("secret-key");
  }

  @Test
  void sendsNoKeyToAServerOfAnotherCa() throws Exception {
    var other = new TestAuthority(directory, "other");
    var endpoint = new TokenEndpoint(service.endpoint(), other.ca(), ApiKey.of("k".toCharArray()));
    assertThat(endpoint.request())
        .failsWithin(SOON)
        .withThrowableOfType(ExecutionException.class)
        .withMessageContaining("localhost");
    assertThat(service.requests()).isEmpty();
  }

  @Test
  void sendsNoKeyInClear() {
    assertThatIllegalArgumentException()
        .isThrownBy(() ->
            new TokenEndpoint(URI.create("http://localhost"), null, ApiKey.of("k".toCharArray())))
        .withMessageContaining("https");
  }

  @Test
  void doesNotShowATokenInText() {
    assertThat(new TokenEndpoint.Token("t0k3n", Duration.ofHours(1)).toString())
        .doesNotContain("t0k3n");
  }

  private TokenEndpoint endpoint(ApiKey key) {
    return new TokenEndpoint(service.endpoint(), authority.ca(), key);
  }
}
