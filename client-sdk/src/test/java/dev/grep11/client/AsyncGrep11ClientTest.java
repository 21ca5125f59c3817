package dev.grep11.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Calls without a thread that waits, against a gateway over real TLS that fails on purpose. */
class AsyncGrep11ClientTest extends AgainstFakeGateway {
  private static <T> T soon(CompletableFuture<T> future) throws Exception {
    return future.get(10, TimeUnit.SECONDS);
  }

  @Test
  void signsAndVerifiesInAChainOfCalls() throws Exception {
    try (var client = builder().build()) {
      var async = client.async();
      var mechanism = Mechanisms.ecdsaSha256();
      var genuine =
          async
              .generateKeyPair(Templates.ecPair(Curve.P256))
              .thenCompose(pair ->
                  async
                      .sign(mechanism, pair.privateKey(), MESSAGE)
                      .thenCompose(signature ->
                          async.verify(mechanism, pair.publicKey(), MESSAGE, signature)));
      assertThat(soon(genuine)).isTrue();
    }
    assertThat(gateway.calls())
        .extracting(FakeGateway.Call::method)
        .containsExactly("GenerateKeyPair", "SignSingle", "VerifySingle");
  }

  @Test
  void runsTheExample() {
    try (var client = builder().build()) {
      var pair = client.generateKeyPair(Templates.ecPair(Curve.P256));
      var messages = List.of(new byte[] {1}, new byte[] {2}, new byte[] {3});
      var signatures = AsyncExample.signAll(client, pair.privateKey(), messages);
      assertThat(signatures).hasSize(3);
      for (int i = 0; i < 3; i++) {
        var signature = signatures.get(i);
        assertThat(
                client.verify(
                    Mechanisms.ecdsaSha256(), pair.publicKey(), messages.get(i), signature))
            .isTrue();
      }
    }
  }

  @Test
  void hasManyCallsUnderWayAtOnce() throws Exception {
    try (var client = builder().build()) {
      var async = client.async(Runnable::run);
      var numbers = Stream.generate(() -> async.generateRandom(8)).limit(500).toList();
      soon(CompletableFuture.allOf(numbers.toArray(CompletableFuture[]::new)));
      assertThat(numbers).allSatisfy(number -> assertThat(number.join()).hasSize(8));
    }
    assertThat(gateway.calls()).hasSize(500);
  }

  @Test
  void repeatsWhileTheGatewayIsOverloadedAndGivesUpAfterFourAttempts() throws Exception {
    try (var client = builder().build()) {
      var busy =
          FakeGateway.refusal(Status.Code.RESOURCE_EXHAUSTED, Ckr.CKR_DEVICE_ERROR, "busy", true);
      gateway.failNext(busy, busy, busy);
      assertThat(soon(client.async().generateRandom(4))).hasSize(4);

      gateway.failNext(busy, busy, busy, busy);
      var failed = client.async().generateRandom(4);
      assertThatThrownBy(() -> soon(failed))
          .isInstanceOf(ExecutionException.class)
          .hasCauseInstanceOf(Grep11Exception.class)
          .hasMessageContaining("RESOURCE_EXHAUSTED");
    }
    assertThat(gateway.calls()).hasSize(8);
  }

  @Test
  void repeatsNoGenerationOfAKey() {
    try (var client = builder().build()) {
      gateway.failNext(Status.UNAVAILABLE.asRuntimeException());
      var failed = client.async().generateKey(Mechanisms.aesKeyGen(), Templates.aes(256));
      assertThatExceptionOfType(CompletionException.class).isThrownBy(failed::join);
    }
    assertThat(gateway.calls()).hasSize(1);
  }

  @Test
  void saysFalseForAWrongSignatureAndFailsForWhatSaysNothingOfIt() throws Exception {
    try (var client = builder().build()) {
      var key = client.generateKeyPair(Templates.ecPair(Curve.P256)).publicKey();
      var async = client.async();
      var mechanism = Mechanisms.ecdsaSha256();
      gateway.failNext(
          FakeGateway.refusal(Status.Code.UNKNOWN, Ckr.CKR_SIGNATURE_INVALID, "", false),
          FakeGateway.refusal(Status.Code.UNKNOWN, Ckr.CKR_IBM_BLOB_ERROR, "", false));
      assertThat(soon(async.verify(mechanism, key, MESSAGE, MESSAGE))).isFalse();
      assertThatThrownBy(() -> soon(async.verify(mechanism, key, MESSAGE, MESSAGE)))
          .hasRootCauseInstanceOf(io.grpc.StatusRuntimeException.class)
          .hasMessageContaining("CKR_IBM_BLOB_ERROR");
    }
  }

  @Test
  void endsWithItsDeadlineWhateverTheGatewayDoes() {
    try (var client = builder().deadline(Duration.ofMillis(300)).build()) {
      gateway.fallSilent();
      var late = client.async().generateRandom(1);
      assertThatThrownBy(() -> soon(late)).hasMessageContaining("DEADLINE_EXCEEDED");
    }
  }

  @Test
  void cancelsTheCallOfACancelledFuture() throws Exception {
    try (var client = builder().build()) {
      gateway.fallSilent();
      var call = client.async().generateRandom(1);
      gateway.awaitCall();
      assertThat(call.cancel(false)).isTrue();
      gateway.awaitCancellation();
    }
    assertThat(gateway.calls()).hasSize(1);
  }

  @Test
  void runsWhatIsChainedWhereItWasTold() throws Exception {
    var told = new AtomicReference<Thread>();
    try (var client = builder().build()) {
      var async = client.async(task -> new Thread(task, "of-the-application").start());
      soon(async.generateRandom(1).thenAccept(number -> told.set(Thread.currentThread())));
    }
    assertThat(told.get().getName()).isIn("of-the-application", Thread.currentThread().getName());
  }

  @Test
  void copiesItsArgumentsBeforeItReturns() throws Exception {
    try (var client = builder().build()) {
      var key = client.generateKey(Mechanisms.aesKeyGen(), Templates.aes(256));
      byte[] plain = MESSAGE.clone();
      var encrypted = client.async().encrypt(Mechanisms.aesCbcPad(new byte[16]), key, plain);
      plain[0] = 99;
      // The gateway of the test encrypts by giving back what it got.
      assertThat(soon(encrypted)).isEqualTo(MESSAGE);
    }
  }

  @Test
  void spreadsCallsOverAsManyConnectionsAsItWasTold() throws Exception {
    try (var client = builder().connections(3).build()) {
      for (int i = 0; i < 6; i++) {
        client.generateRandom(1);
      }
      assertThat(gateway.calls()).hasSize(6);
      assertThat(gateway.calls().stream().map(FakeGateway.Call::remote).distinct()).hasSize(3);
    }
    assertThatIllegalArgumentException().isThrownBy(() -> builder().connections(0));
  }
}
