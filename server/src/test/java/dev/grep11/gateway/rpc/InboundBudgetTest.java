package dev.grep11.gateway.rpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import dev.grep11.gateway.operation.Workload;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.EncryptSingleRequest;
import dev.grep11.proto.EncryptSingleResponse;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class InboundBudgetTest {
  private static final Limits TIGHT =
      new Limits(
          4 * Limits.MIB,
          5L * Limits.MIB,
          16 * 1024,
          16,
          200,
          Duration.ofSeconds(30),
          Duration.ofSeconds(10),
          Duration.ofMinutes(2),
          Duration.ofSeconds(10));

  @Test
  void refusesTheCallThatGoesOverItAndTakesTheNextWhenThereIsRoomAgain(@TempDir Path directory)
      throws Exception {
    var running = new CountDownLatch(1);
    var release = new CountDownLatch(1);
    try (var server =
        WireServer.start(
            directory,
            TIGHT,
            routes ->
                routes.unary(
                    CryptoGrpc.getEncryptSingleMethod(),
                    _ -> Workload.INFORMATION,
                    (_, _) -> {
                      running.countDown();
                      waitFor(release);
                      return EncryptSingleResponse.getDefaultInstance();
                    }))) {
      var request =
          EncryptSingleRequest.newBuilder()
              .setPlain(ByteString.copyFrom(new byte[3 * Limits.MIB]))
              .build();
      var first =
          CryptoGrpc.newFutureStub(server.channel())
              .withInterceptors(WireServer.headers("authorization", "Bearer " + WireServer.GOOD))
              .encryptSingle(request);
      waitFor(running);
      var client = server.client();

      var refused =
          catchThrowableOfType(StatusRuntimeException.class, () -> client.encryptSingle(request));
      assertThat(refused.getStatus().getCode()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
      assertThat(WireServer.detail(refused).getRetry()).isTrue();

      release.countDown();
      assertThat(first.get(10, TimeUnit.SECONDS)).isNotNull();
      await().untilAsserted(() -> assertThat(client.encryptSingle(request)).isNotNull());
    }
  }

  @Test
  void whoNeverEndsWhatHeSendsKeepsOnlyHimselfOut(@TempDir Path directory) throws Exception {
    keepsOnlyHimselfOut(directory, 3 * Limits.MIB, 2);
  }

  @Test
  void whoNeverEndsManySmallRequestsKeepsOnlyHimselfOut(@TempDir Path directory) throws Exception {
    keepsOnlyHimselfOut(directory, 30 * 1024, 300);
  }

  private static void keepsOnlyHimselfOut(Path directory, int size, int number) throws Exception {
    var limits =
        new Limits(
            4 * Limits.MIB,
            8L * Limits.MIB,
            16 * 1024,
            1000,
            200,
            Duration.ofSeconds(30),
            Duration.ofSeconds(10),
            Duration.ofMinutes(2),
            Duration.ofSeconds(10));
    try (var server =
        WireServer.start(
            directory,
            limits,
            routes ->
                routes.unary(
                    CryptoGrpc.getEncryptSingleMethod(),
                    _ -> Workload.INFORMATION,
                    (_, _) -> EncryptSingleResponse.getDefaultInstance()))) {
      var request =
          EncryptSingleRequest.newBuilder().setPlain(ByteString.copyFrom(new byte[size])).build();
      var refusals = new AtomicInteger();
      var channel = server.channel();
      for (int i = 0; i < number; i++) {
        var _ =
            WireServer.sendWithoutEnd(
                channel,
                CryptoGrpc.getEncryptSingleMethod(),
                request,
                status -> {
                  if (status.getCode() == Status.Code.RESOURCE_EXHAUSTED) {
                    refusals.incrementAndGet();
                  }
                });
      }
      // More than one, when the next adds to what the first has not given back yet.
      await().untilAsserted(() -> assertThat(refusals).hasPositiveValue());

      var other = server.client("authorization", "Bearer " + WireServer.WITHOUT_SIGN);
      var large =
          EncryptSingleRequest.newBuilder()
              .setPlain(ByteString.copyFrom(new byte[3 * Limits.MIB]))
              .build();
      assertThat(other.encryptSingle(large)).isNotNull();
    }
  }

  private static void waitFor(CountDownLatch latch) {
    try {
      assertThat(latch.await(20, TimeUnit.SECONDS)).isTrue();
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }
}
