package dev.grep11.client;

import io.grpc.CallCredentials;
import io.grpc.Metadata;
import io.grpc.SecurityLevel;
import io.grpc.Status;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Puts a bearer token on each call and renews it before it expires.
 *
 * <p>A token is renewed from 60 s before its end, or from 80 % of its life if that is earlier,
 * while calls go on with the old one. At most one renewal runs at a time; a renewal that fails
 * leaves the old token in use and is tried again after a pause, until the token has expired: then
 * calls fail with the reason, as UNAVAILABLE where the token service cannot be reached or says that
 * it cannot at present, and as UNAUTHENTICATED otherwise. No thread ever waits. Safe for use by
 * several threads.
 */
final class ApiKeyCredentials extends CallCredentials {
  static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private static final Duration AHEAD = Duration.ofSeconds(60);
  private static final Duration PAUSE = Duration.ofSeconds(1);
  private static final Duration FRESH = Duration.ofSeconds(30);

  private record Held(String value, Instant since, Instant renewFrom, Instant expires) {
    @Override
    public String toString() {
      return "Held[" + expires + "]";
    }
  }

  private final Supplier<CompletableFuture<TokenEndpoint.Token>> source;
  private final InstantSource clock;

  private final Object lock = new Object();
  // All guarded by lock.
  private @Nullable Held held;
  private @Nullable CompletableFuture<Held> renewal;
  private Instant noRenewalBefore = Instant.MIN;

  ApiKeyCredentials(Supplier<CompletableFuture<TokenEndpoint.Token>> source, InstantSource clock) {
    this.source = source;
    this.clock = clock;
  }

  @Override
  public void applyRequestMetadata(
      RequestInfo requestInfo, Executor executor, MetadataApplier applier) {
    if (requestInfo.getSecurityLevel() != SecurityLevel.PRIVACY_AND_INTEGRITY) {
      applier.fail(
          Status.UNAUTHENTICATED.withDescription("a token is not sent over an open connection"));
      return;
    }
    var unused =
        token()
            .whenComplete((token, failure) -> {
              if (failure == null) {
                var headers = new Metadata();
                headers.put(AUTHORIZATION, "Bearer " + token);
                applier.apply(headers);
              } else {
                applier.fail(
                    (TokenServiceUnavailableException.isCauseOf(failure)
                            ? Status.UNAVAILABLE
                            : Status.UNAUTHENTICATED)
                        .withDescription("no token: " + reason(failure))
                        .withCause(failure));
              }
            });
  }

  /** The current token, at once while there is one that has not expired. */
  CompletableFuture<String> token() {
    CompletableFuture<Held> started = null;
    CompletableFuture<String> answer;
    synchronized (lock) {
      Instant now = clock.instant();
      Held current = held;
      CompletableFuture<Held> running = renewal;
      if (current != null && now.isBefore(current.expires)) {
        answer = CompletableFuture.completedFuture(current.value);
        boolean due = !now.isBefore(current.renewFrom) && !now.isBefore(noRenewalBefore);
        if (due && running == null) {
          renewal = started = new CompletableFuture<>();
        }
      } else {
        if (running == null) {
          renewal = running = started = new CompletableFuture<>();
        }
        answer = running.thenApply(Held::value);
      }
    }
    // Outside the lock: a source may answer at once.
    if (started != null) {
      start(started);
    }
    return answer;
  }

  /**
   * The gateway did not take the token although it has not expired, for instance because its key
   * was revoked or the issuer has new signing keys: the next call fetches another. Not for a token
   * that is fresh, since then a new one would be refused as well.
   */
  void rejected() {
    synchronized (lock) {
      Held current = held;
      if (current != null && !clock.instant().isBefore(current.since.plus(FRESH))) {
        held = null;
      }
    }
  }

  private void start(CompletableFuture<Held> pending) {
    CompletableFuture<TokenEndpoint.Token> request;
    try {
      request = source.get();
    } catch (RuntimeException e) {
      request = CompletableFuture.failedFuture(e);
    }
    var unused =
        request.whenComplete((token, failure) -> {
          Held fresh = failure == null ? hold(token) : null;
          synchronized (lock) {
            renewal = null;
            if (fresh != null) {
              held = fresh;
            } else {
              noRenewalBefore = clock.instant().plus(PAUSE);
            }
          }
          // Outside the lock: this runs the calls that wait.
          if (fresh != null) {
            pending.complete(fresh);
          } else {
            pending.completeExceptionally(failure);
          }
        });
  }

  private Held hold(TokenEndpoint.Token token) {
    Instant now = clock.instant();
    Instant expires = now.plus(token.lifetime());
    Instant ahead = expires.minus(AHEAD);
    Instant most = now.plus(token.lifetime().multipliedBy(8).dividedBy(10));
    return new Held(token.value(), now, ahead.isBefore(most) ? ahead : most, expires);
  }

  private static String reason(Throwable failure) {
    Throwable cause =
        failure instanceof CompletionException && failure.getCause() != null
            ? failure.getCause()
            : failure;
    return cause.getMessage() == null ? cause.toString() : cause.getMessage();
  }
}
