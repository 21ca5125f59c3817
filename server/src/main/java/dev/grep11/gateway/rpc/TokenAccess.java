package dev.grep11.gateway.rpc;

import dev.grep11.gateway.iam.Decision;
import dev.grep11.gateway.iam.Grants;
import dev.grep11.gateway.iam.TokenRejectedException;
import dev.grep11.gateway.iam.TokenVerifier;
import dev.grep11.gateway.iam.VerifiedToken;
import dev.grep11.gateway.pkcs11.HsmUnavailableException;
import dev.grep11.gateway.pkcs11.OverloadedException;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Tokens and grants. Signatures are verified, and issuers' keys waited for, on threads of its own,
 * a few and with a short queue: a flood of bad tokens costs its senders their turn.
 */
public final class TokenAccess implements AccessControl, AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(TokenAccess.class);
  private static final int THREADS = 4;
  private static final int QUEUED = 1024;

  private final TokenVerifier verifier;
  private final Grants grants;
  private final ThreadPoolExecutor mayBlock =
      new ThreadPoolExecutor(
          THREADS,
          THREADS,
          1,
          TimeUnit.MINUTES,
          new ArrayBlockingQueue<>(QUEUED),
          Thread.ofPlatform().daemon().name("token-", 0).factory());

  public TokenAccess(TokenVerifier verifier, Grants grants) {
    this.verifier = verifier;
    this.grants = grants;
  }

  @Override
  public CompletableFuture<VerifiedToken> authenticate(List<String> authorization) {
    if (authorization.size() == 1) {
      // What is known has the right form, which is looked at byte by byte.
      var known = verifier.cached(authorization.getFirst());
      if (known.isPresent()) {
        return CompletableFuture.completedFuture(known.get());
      }
    }
    // Not on the threads that may wait: what is no token at all costs nobody a turn.
    bearer(authorization);
    try {
      return CompletableFuture.supplyAsync(() -> verify(authorization.getFirst()), mayBlock);
    } catch (RejectedExecutionException e) {
      return CompletableFuture.failedFuture(
          new OverloadedException("too many tokens wait to be verified"));
    }
  }

  /**
   * The one bearer token.
   *
   * @throws RefusedException when there is none, or something else
   */
  static String bearer(List<String> authorization) {
    try {
      return TokenVerifier.bearer(authorization);
    } catch (TokenRejectedException e) {
      throw RefusedException.badToken(e.reason(), String.valueOf(e.getMessage()));
    }
  }

  private VerifiedToken verify(String authorization) {
    try {
      return verifier.verify(authorization);
    } catch (TokenRejectedException e) {
      // Until a token is good, its bearer is told no more than that it is not (security rules 6.5).
      LOG.debug("token refused: {}", e.getMessage());
      throw e.reason() == TokenRejectedException.Reason.KEYS_UNAVAILABLE
          ? new HsmUnavailableException("tokens of this issuer cannot be verified at present")
          : RefusedException.badToken(e.reason(), "the token is not valid");
    }
  }

  @Override
  public void authorize(VerifiedToken token, UUID instance, Set<String> actions) {
    authorize(token, instance, actions, Optional.empty());
  }

  /**
   * As {@link #authorize(VerifiedToken, UUID, Set)}; grants that are limited to this resource count
   * too.
   */
  void authorize(
      VerifiedToken token, UUID instance, Set<String> actions, Optional<String> resource) {
    switch (grants.authorize(token, instance, actions, resource)) {
      case Decision.Allowed _ -> {}
      case Decision.Denied(var reason, var text) -> {
        switch (reason) {
          case GRANTS_UNAVAILABLE -> throw new HsmUnavailableException(text);
          case API_KEY_DELETED -> throw RefusedException.unauthenticated(text);
          case TOKEN, NO_GRANT, MISSING_ACTION, SEPARATION_OF_DUTIES ->
              throw RefusedException.permissionDenied(text);
        }
      }
    }
  }

  @Override
  public void close() {
    mayBlock.shutdownNow();
  }
}
