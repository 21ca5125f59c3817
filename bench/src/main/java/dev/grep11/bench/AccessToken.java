package dev.grep11.bench;

import com.google.gson.JsonParser;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** A bearer token for the calls that are prepared beforehand; it lives longer than a run. */
final class AccessToken {
  private static final Duration TIMEOUT = Duration.ofSeconds(10);
  private static final String GRANT = "urn:ibm:params:oauth:grant-type:apikey";

  private AccessToken() {}

  /**
   * Exchanges the target's API key for a token.
   *
   * @throws BenchException when the token service does not give one
   */
  static String of(Target target) {
    try (var http =
        HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(TIMEOUT)
            .sslContext(trusting(target))
            .build()) {
      var form =
          "grant_type=%s&apikey=%s"
              .formatted(
                  URLEncoder.encode(GRANT, StandardCharsets.UTF_8),
                  URLEncoder.encode(target.apiKey(), StandardCharsets.UTF_8));
      var request =
          HttpRequest.newBuilder(URI.create(target.iamEndpoint() + "/identity/token"))
              .timeout(TIMEOUT)
              .header("Content-Type", "application/x-www-form-urlencoded")
              .POST(HttpRequest.BodyPublishers.ofString(form))
              .build();
      var answer = http.send(request, HttpResponse.BodyHandlers.ofString());
      if (answer.statusCode() != 200) {
        throw new BenchException("the token service answered HTTP " + answer.statusCode());
      }
      return JsonParser.parseString(answer.body())
          .getAsJsonObject()
          .get("access_token")
          .getAsString();
    } catch (IOException e) {
      throw new BenchException("no token from " + target.iamEndpoint() + ": " + e.getMessage(), e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new BenchException("interrupted", e);
    }
  }

  private static SSLContext trusting(Target target) throws IOException {
    try (var pem = Files.newInputStream(target.ca())) {
      var store = KeyStore.getInstance(KeyStore.getDefaultType());
      store.load(null, null);
      int number = 0;
      for (var certificate : CertificateFactory.getInstance("X.509").generateCertificates(pem)) {
        store.setCertificateEntry("ca-" + number++, certificate);
      }
      var factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
      factory.init(store);
      var context = SSLContext.getInstance("TLS");
      context.init(null, factory.getTrustManagers(), null);
      return context;
    } catch (GeneralSecurityException e) {
      throw new BenchException(target.ca() + " holds no certificates: " + e.getMessage(), e);
    }
  }
}
