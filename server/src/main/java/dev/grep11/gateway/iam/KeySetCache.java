package dev.grep11.gateway.iam;

import dev.grep11.gateway.iam.IssuerSettings.Jwks;
import dev.grep11.gateway.trust.TrustedCas;
import java.io.IOException;
import java.io.InputStream;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.text.ParseException;
import java.time.Duration;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.LongSupplier;
import javax.net.ssl.SSLContext;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * An issuer's key set, fetched when it is needed, again before it is old, and on a kid that is not
 * in it.
 *
 * <p>{@link #current} never waits. {@link #fresh} and {@link #with} may fetch, one thread at a
 * time, and no more often than the timings allow, so that made-up kids cannot drive the gateway
 * against the issuer. Safe for several threads.
 */
final class KeySetCache {
  private static final Logger log = LoggerFactory.getLogger(KeySetCache.class);
  private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(2);
  private static final Duration FETCH_TIMEOUT = Duration.ofSeconds(5);
  private static final int MAX_BYTES = 256 * 1024;

  private final IssuerSettings issuer;
  private final KeySetTimings timings;
  private final LongSupplier nanoClock;
  private final @Nullable HttpClient http;
  private final ReentrantLock fetching = new ReentrantLock();
  private volatile @Nullable Version version;
  private volatile Optional<String> dated = Optional.empty();
  private volatile long lastAttempt;
  private volatile boolean attempted;
  private volatile long firstAttempt;
  private volatile boolean failing;

  /** A key set, and which one it is: the same object as long as the keys stay the same. */
  record Version(KeySet keys, Object identity, long fetchedAt) {}

  KeySetCache(IssuerSettings issuer, KeySetTimings timings, LongSupplier nanoClock) {
    this.issuer = issuer;
    this.timings = timings;
    this.nanoClock = nanoClock;
    this.http = issuer.keys() instanceof Jwks.Url ? httpClient(issuer.caFile()) : null;
  }

  /**
   * The key set, if there is one young enough to be relied on. Starts a refresh in the background
   * when it is due.
   */
  Optional<Version> current() {
    Version now = version;
    if (now == null) {
      return Optional.empty();
    }
    long age = nanoClock.getAsLong() - now.fetchedAt();
    if (age >= timings.refreshAfter().toNanos() && mayFetch() && !fetching.isLocked()) {
      Thread.startVirtualThread(() -> fetchUnlessDone(now));
    }
    return age < timings.maxStaleness().toNanos() ? Optional.of(now) : Optional.empty();
  }

  /** The key set, fetched if need be; empty when it cannot be had. */
  Optional<Version> fresh() {
    Optional<Version> now = current();
    if (now.isEmpty()) {
      fetchUnlessDone(version);
      now = current();
    }
    return now;
  }

  /**
   * The key set with this kid, fetched again if the one at hand lacks it; the one at hand if that
   * is not possible.
   */
  Optional<Version> with(String keyId) {
    Optional<Version> now = fresh();
    if (now.isPresent() && !now.get().keys().contains(keyId)) {
      fetchUnlessDone(now.get());
      now = current();
    }
    return now;
  }

  private boolean mayFetch() {
    return !attempted || nanoClock.getAsLong() - lastAttempt >= timings.minInterval().toNanos();
  }

  private void fetchUnlessDone(@Nullable Version seen) {
    fetching.lock();
    try {
      if (!Objects.equals(version, seen) || !mayFetch()) {
        return;
      }
      // The age counts from before the request: what changes meanwhile is not in the answer.
      long begin = nanoClock.getAsLong();
      if (!attempted) {
        firstAttempt = begin;
      }
      lastAttempt = begin;
      attempted = true;
      KeySet keys = KeySet.parse(fetch());
      if (seen == null) {
        version = new Version(keys, new Object(), begin);
      } else if (seen.keys().sameAs(keys)) {
        version = new Version(seen.keys(), seen.identity(), begin);
      } else {
        version = new Version(keys, new Object(), begin);
        log.info("the keys of issuer {} have changed", issuer.issuer());
      }
      failing = false;
    } catch (IOException | ParseException | RuntimeException e) {
      failing = true;
      log.warn("the keys of issuer {} cannot be fetched: {}", issuer.issuer(), e.toString());
    } finally {
      fetching.unlock();
    }
  }

  /**
   * How old the keys are, if the last fetch failed; of keys that never came, how long ago they were
   * first asked for. Zero if it did not fail: keys that nobody needs may be of any age.
   */
  Duration overdue() {
    if (!failing) {
      return Duration.ZERO;
    }
    Version now = version;
    return Duration.ofNanos(nanoClock.getAsLong() - (now == null ? firstAttempt : now.fetchedAt()));
  }

  /** The header Date of the last answer, if an answer had one (RFC 9110, 6.6.1). */
  Optional<String> dated() {
    return dated;
  }

  /** The key set as it is now, of which nothing is kept. */
  KeySet look() throws IOException, ParseException {
    return KeySet.parse(fetch());
  }

  private String fetch() throws IOException {
    return switch (issuer.keys()) {
      case Jwks.File file -> read(file.path());
      case Jwks.Local local -> local.json().get();
      case Jwks.Url url -> get(HttpRequest.newBuilder(url.uri()).timeout(FETCH_TIMEOUT).build());
    };
  }

  private static String read(Path file) throws IOException {
    try (InputStream in = Files.newInputStream(file)) {
      byte[] bytes = in.readNBytes(MAX_BYTES + 1);
      if (bytes.length > MAX_BYTES) {
        throw new IOException(file + " is too large for a key set");
      }
      return new String(bytes, StandardCharsets.UTF_8);
    }
  }

  private String get(HttpRequest request) throws IOException {
    if (http == null) {
      throw new IllegalStateException("no client for " + request.uri());
    }
    // The request's own timeout ends with the headers; this one covers the body too.
    CompletableFuture<HttpResponse<String>> answer =
        http.sendAsync(
            request,
            HttpResponse.BodyHandlers.limiting(HttpResponse.BodyHandlers.ofString(), MAX_BYTES));
    try {
      HttpResponse<String> response = answer.get(FETCH_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
      if (response.statusCode() != 200) {
        throw new IOException("HTTP status " + response.statusCode());
      }
      dated = response.headers().firstValue("Date");
      return response.body();
    } catch (ExecutionException e) {
      throw new IOException(e.getCause());
    } catch (TimeoutException e) {
      answer.cancel(true);
      throw new IOException("no answer within " + FETCH_TIMEOUT, e);
    } catch (InterruptedException e) {
      answer.cancel(true);
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    }
  }

  private static HttpClient httpClient(Optional<Path> caFile) {
    HttpClient.Builder client =
        HttpClient.newBuilder()
            .connectTimeout(CONNECT_TIMEOUT)
            .followRedirects(HttpClient.Redirect.NEVER);
    caFile.ifPresent(file -> client.sslContext(trusting(file)));
    return client.build();
  }

  private static SSLContext trusting(Path file) {
    try {
      return TrustedCas.of(file).context();
    } catch (IOException | GeneralSecurityException e) {
      throw new IllegalArgumentException(
          "caFile of an issuer, %s: %s; put the CA of the certificate at its jwksUrl there, in PEM"
              .formatted(file, e.getMessage()),
          e);
    }
  }
}
