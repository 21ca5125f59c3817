package dev.grep11.gateway.rpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.EncryptSingleRequest;
import dev.grep11.proto.EncryptSingleResponse;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
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

  private static void waitFor(CountDownLatch latch) {
    try {
      assertThat(latch.await(20, TimeUnit.SECONDS)).isTrue();
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }
}
