package dev.grep11.client;

import dev.grep11.proto.Mechanism;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Deadline;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * The calls of {@link Grep11Client} without a thread that waits: each method returns at once, and
 * its future ends with the answer. {@link Grep11Client#async()} gives one; it shares the client's
 * connections and ends with them.
 *
 * <pre>{@code
 * var signatures = messages.stream()
 *     .map(message -> async.sign(Mechanisms.ecdsaSha256(), key, message))
 *     .toList();
 * CompletableFuture.allOf(signatures.toArray(CompletableFuture[]::new)).join();
 * }</pre>
 *
 * <p>Arguments are copied. Deadline and retries are the client's; the pauses between retries hold
 * no thread. A future that fails does so with the {@link Grep11Exception} that the client would
 * throw; {@code join} shows it as the cause of a {@link java.util.concurrent.CompletionException}.
 * Cancelling a future cancels its call.
 *
 * <p>Nothing bounds how many calls are under way: whoever has many keeps count, or the gateway
 * refuses what is over its limit of one caller, and the retries begin. Safe for use by several
 * threads.
 */
public final class AsyncGrep11Client {
  private final GatewayConnection connection;
  private final CallOptions options;
  private final Grep11Client client;

  AsyncGrep11Client(
      Grep11Client client, GatewayConnection connection, @Nullable Executor executor) {
    this.client = client;
    this.connection = connection;
    this.options =
        executor == null ? CallOptions.DEFAULT : CallOptions.DEFAULT.withExecutor(executor);
  }

  /** As {@link Grep11Client#generateRandom}. */
  public CompletableFuture<byte[]> generateRandom(int length) {
    return start(Call.generateRandom(length));
  }

  /** As {@link Grep11Client#digest}. */
  public CompletableFuture<byte[]> digest(Mechanism mechanism, byte[] data) {
    return start(Call.digest(mechanism, data));
  }

  /** As {@link Grep11Client#generateKey}. */
  public CompletableFuture<SecretKeyBlob> generateKey(Mechanism mechanism, Template template) {
    return start(Call.generateKey(mechanism, template));
  }

  /** As {@link Grep11Client#generateKeyPair}. */
  public CompletableFuture<KeyPair> generateKeyPair(KeyPairTemplate template) {
    return start(Call.generateKeyPair(template));
  }

  /** As {@link Grep11Client#encrypt}. */
  public CompletableFuture<byte[]> encrypt(Mechanism mechanism, KeyBlob key, byte[] plain) {
    return start(Call.encrypt(mechanism, key, plain));
  }

  /** As {@link Grep11Client#decrypt}. */
  public CompletableFuture<byte[]> decrypt(Mechanism mechanism, KeyBlob key, byte[] ciphered) {
    return start(Call.decrypt(mechanism, key, ciphered));
  }

  /** As {@link Grep11Client#reencrypt}. */
  public CompletableFuture<byte[]> reencrypt(
      Mechanism decryption,
      KeyBlob decryptionKey,
      Mechanism encryption,
      KeyBlob encryptionKey,
      byte[] ciphered) {
    return start(Call.reencrypt(decryption, decryptionKey, encryption, encryptionKey, ciphered));
  }

  /** As {@link Grep11Client#sign}. */
  public CompletableFuture<byte[]> sign(Mechanism mechanism, KeyBlob key, byte[] data) {
    return start(Call.sign(mechanism, key, data));
  }

  /** As {@link Grep11Client#verify}. */
  public CompletableFuture<Boolean> verify(
      Mechanism mechanism, KeyBlob key, byte[] data, byte[] signature) {
    return start(Call.verify(mechanism, key, data, signature));
  }

  /** As {@link Grep11Client#wrapKey}. */
  public CompletableFuture<byte[]> wrapKey(Mechanism mechanism, KeyBlob kek, KeyBlob key) {
    return start(Call.wrapKey(mechanism, kek, key));
  }

  /** As {@link Grep11Client#unwrapKey}. */
  public CompletableFuture<SecretKeyBlob> unwrapKey(
      Mechanism mechanism, KeyBlob kek, byte[] wrapped, Template template) {
    return start(Call.unwrapKey(mechanism, kek, wrapped, template));
  }

  /** As {@link Grep11Client#unwrapPrivateKey}. */
  public CompletableFuture<PrivateKeyBlob> unwrapPrivateKey(
      Mechanism mechanism, KeyBlob kek, byte[] wrapped, Template template) {
    return start(Call.unwrapPrivateKey(mechanism, kek, wrapped, template));
  }

  /** As {@link Grep11Client#importPublicKey}. */
  public CompletableFuture<PublicKeyBlob> importPublicKey(
      byte[] subjectPublicKeyInfo, Template template) {
    return start(Call.importPublicKey(subjectPublicKeyInfo, template));
  }

  /** As {@link Grep11Client#deriveKey}. */
  public CompletableFuture<SecretKeyBlob> deriveKey(
      Mechanism mechanism, KeyBlob base, Template template) {
    return start(Call.deriveKey(mechanism, base, template));
  }

  /** As {@link Grep11Client#attributes}. */
  public CompletableFuture<Template> attributes(KeyBlob key, long... attributes) {
    return start(Call.attributes(key, attributes));
  }

  /** As {@link Grep11Client#setAttributes}. */
  public <K extends KeyBlob> CompletableFuture<K> setAttributes(K key, Template changes) {
    return start(Call.setAttributes(key, changes));
  }

  /** As {@link Grep11Client#rewrap}. */
  public <K extends KeyBlob> CompletableFuture<K> rewrap(K key) {
    return start(Call.rewrap(key));
  }

  /** As {@link Grep11Client#mechanisms}. */
  public CompletableFuture<List<Long>> mechanisms() {
    return start(Call.mechanisms());
  }

  /** As {@link Grep11Client#mechanismInfo}. */
  public CompletableFuture<MechanismInfo> mechanismInfo(long mechanism) {
    return start(Call.mechanismInfo(mechanism));
  }

  private <Q, A, T> CompletableFuture<T> start(Call<Q, A, T> call) {
    var attempts = new Attempts<>(call, client.callEnd());
    attempts.next();
    return attempts.outcome;
  }

  /** One call with its retries, one after the other. */
  private final class Attempts<Q, A, T> {
    private final Call<Q, A, T> call;
    private final Deadline end;
    private final Repetition repetition;
    private final CompletableFuture<T> outcome = new CompletableFuture<>();
    private volatile @Nullable ClientCall<Q, A> running;

    Attempts(Call<Q, A, T> call, Deadline end) {
      this.call = call;
      this.end = end;
      this.repetition = new Repetition(call, end);
      var unused =
          outcome.whenComplete((result, failure) -> {
            if (failure instanceof CancellationException) {
              cancelRunning();
            }
          });
    }

    void next() {
      if (outcome.isDone()) {
        return;
      }
      try {
        var rpc = connection.channel().newCall(call.method(), options.withDeadline(end));
        running = rpc;
        ClientCalls.asyncUnaryCall(rpc, call.request(), new Answer());
      } catch (RuntimeException e) {
        outcome.completeExceptionally(e);
      }
      if (outcome.isDone()) {
        // Cancelled in the moment in which this attempt began.
        cancelRunning();
      }
    }

    private void cancelRunning() {
      var rpc = running;
      if (rpc != null) {
        rpc.cancel("the future was cancelled", null);
      }
    }

    private void failed(Throwable cause) {
      var failure = Grep11Exception.of(asStatus(cause), connection.address());
      var result = call.refused().apply(failure);
      if (result.isPresent()) {
        outcome.complete(result.get());
        return;
      }
      var pause = repetition.pauseMillis(failure);
      if (pause.isEmpty() || outcome.isDone()) {
        outcome.completeExceptionally(failure);
        return;
      }
      CompletableFuture.delayedExecutor(pause.getAsLong(), TimeUnit.MILLISECONDS)
          .execute(() -> {
            connection.tryAgain();
            next();
          });
    }

    private final class Answer implements StreamObserver<A> {
      private @Nullable A answer;

      @Override
      public void onNext(A message) {
        answer = message;
      }

      @Override
      public void onError(Throwable cause) {
        failed(cause);
      }

      @Override
      public void onCompleted() {
        var message = answer;
        if (message == null) {
          failed(
              Status.INTERNAL.withDescription("an answer without a message").asRuntimeException());
          return;
        }
        try {
          outcome.complete(call.result().apply(message));
        } catch (RuntimeException e) {
          outcome.completeExceptionally(e);
        }
      }
    }
  }

  private static StatusRuntimeException asStatus(Throwable cause) {
    return cause instanceof StatusRuntimeException status
        ? status
        : Status.fromThrowable(cause).asRuntimeException(new Metadata());
  }
}
