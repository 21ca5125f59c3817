package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Ckr.CKR_ARGUMENTS_BAD;
import static dev.grep11.client.Ckr.CKR_DEVICE_ERROR;
import static dev.grep11.client.Ckr.CKR_DEVICE_REMOVED;
import static dev.grep11.client.Ckr.CKR_IBM_GREP11_NOT_AUTHENTICATED;
import static dev.grep11.client.Ckr.CKR_USER_NOT_LOGGED_IN;

import dev.grep11.agent.config.UserConnection;
import dev.grep11.client.AsyncGrep11Client;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.Grep11Exception;
import dev.grep11.proto.CryptoGrpc.CryptoBlockingStub;
import io.grpc.StatusRuntimeException;
import java.net.ConnectException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/**
 * The gateway as one user reaches it, with its failures as return values. Used by any number of
 * threads.
 */
final class GatewayUser implements AutoCloseable {
  /**
   * How long a call waits for a gateway that was there before, as the module waits for its agent: a
   * restart is no failure of an application.
   */
  private static final long PATIENCE = TimeUnit.SECONDS.toNanos(30);

  private static final long PAUSE_MILLIS = 100;

  /**
   * Of a slot's calls, so many wait for a gateway that is away. The others fail at once, and leave
   * the agent's threads to other slots.
   */
  static final int MOST_WAITING = 16;

  private final UserConnection connection;
  private final Runnable reached;
  private final Semaphore waiting;

  /** Once it was waited for in vain it is not waited for again before it answered. */
  private volatile boolean wasReached;

  private volatile boolean closed;

  /**
   * @param reached told when the gateway answered
   * @param waiting those of the slot that may wait for a gateway that is away, as {@link
   *     #MOST_WAITING}
   */
  GatewayUser(UserConnection connection, Runnable reached, Semaphore waiting) {
    this.waiting = waiting;
    this.connection = connection;
    this.reached = reached;
  }

  /** A call of the SDK, with its failures as return values. */
  <T> T call(Function<Grep11Client, T> call) {
    try {
      return ask(call);
    } catch (Grep11Exception e) {
      throw refusal(e);
    } catch (StatusRuntimeException e) {
      throw refusal(Grep11Exception.of(e));
    } catch (IllegalArgumentException e) {
      // The SDK's own check of an argument, made before the gateway is asked.
      throw new Refusal(CKR_ARGUMENTS_BAD, String.valueOf(e.getMessage()), e);
    }
  }

  /** Whether a call can be begun without files being read first. */
  boolean isAtHand() {
    return connection.isAtHand();
  }

  /**
   * A call of the SDK that nobody waits for. It ends with a {@link Grep11Exception} where the
   * gateway refuses it.
   */
  <T> CompletableFuture<T> start(Function<AsyncGrep11Client, CompletableFuture<T>> call) {
    return connection
        .start(call)
        .thenApply(result -> {
          wasReached = true;
          reached.run();
          return result;
        });
  }

  /** A call of the SDK, with its own failures. */
  <T> T ask(Function<Grep11Client, T> call) {
    WouldWait.unlessElsewhere();
    try {
      return askOnce(call);
    } catch (RuntimeException e) {
      if (!isUnsent(e) || !wasReached || !waiting.tryAcquire()) {
        throw e;
      }
      try {
        return askAgain(call, e);
      } finally {
        waiting.release();
      }
    }
  }

  private <T> T askOnce(Function<Grep11Client, T> call) {
    T result = connection.ask(call);
    wasReached = true;
    reached.run();
    return result;
  }

  private <T> T askAgain(Function<Grep11Client, T> call, RuntimeException first) {
    long end = System.nanoTime() + PATIENCE;
    var last = first;
    while (wasReached && !closed && System.nanoTime() - end <= 0 && pause()) {
      try {
        return askOnce(call);
      } catch (RuntimeException e) {
        if (!isUnsent(e)) {
          throw e;
        }
        last = e;
      }
    }
    wasReached = false;
    throw last;
  }

  /** Nothing took the connection, or nothing is let in by it any more, so nothing was done. */
  static boolean isUnsent(Throwable failure) {
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof ConnectException || isNotBegun(cause)) {
        return true;
      }
    }
    return false;
  }

  private static boolean isNotBegun(Throwable failure) {
    return (failure instanceof Grep11Exception refused && refused.isNotBegun())
        || (failure instanceof StatusRuntimeException status
            && Grep11Exception.of(status).isNotBegun());
  }

  /** False when the agent ends meanwhile. */
  private static boolean pause() {
    try {
      Thread.sleep(PAUSE_MILLIS);
      return true;
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return false;
    }
  }

  /** A call through the generated stub: one part of an operation. */
  <T> T part(Function<CryptoBlockingStub, T> call) {
    return call(sdk -> call.apply(sdk.stub()));
  }

  /** How a failure at the gateway, or on the way there, looks to a PKCS #11 application. */
  static Refusal refusal(Grep11Exception e) {
    if (e.answered()) {
      // To an application this is a login that is no longer good, which it may do again.
      return e.returnValue() == CKR_IBM_GREP11_NOT_AUTHENTICATED
          ? new Refusal(CKR_USER_NOT_LOGGED_IN, e.detail(), e)
          : new Refusal(e.returnValue(), e.detail(), e);
    }
    long returnValue =
        switch (e.status()) {
          case UNAVAILABLE -> CKR_DEVICE_REMOVED;
          // The token service did not take the API key.
          case UNAUTHENTICATED -> CKR_USER_NOT_LOGGED_IN;
          default -> CKR_DEVICE_ERROR;
        };
    return new Refusal(returnValue, e.detail(), e);
  }

  @Override
  public void close() {
    closed = true;
    connection.close();
  }
}
