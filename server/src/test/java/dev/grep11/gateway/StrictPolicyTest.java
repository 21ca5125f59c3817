package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.MANAGER;
import static dev.grep11.gateway.RunningGateway.aesKey;
import static dev.grep11.gateway.RunningGateway.encrypt;
import static dev.grep11.gateway.RunningGateway.flag;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.proto.SetAttributeValueRequest;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What the strict policy takes from a role of the published table. */
class StrictPolicyTest {
  private static final AtomicInteger SUBJECTS = new AtomicInteger();

  @TempDir private static Path parent;

  @ParameterizedTest
  @CsvSource({
    "strict, Reader, PERMISSION_DENIED",
    "strict, ReaderPlus, PERMISSION_DENIED",
    "strict, Writer, OK",
    "strict, Crypto operator, OK",
    "compatible, Reader, OK"
  })
  void whoMaySetAttributes(String policy, String role, Status.Code expected) throws Exception {
    try (var running = RunningGateway.start(parent.resolve("demo"), Map.of("/policy", policy))) {
      var key = aesKey(running.client("authorization", running.token(MANAGER)));
      // Of each row its own, for all of them share a store.
      var subject = "IBMid-" + SUBJECTS.incrementAndGet();
      running.grant(subject, role);
      var client = running.client("authorization", running.token(subject));
      await().ignoreExceptions().until(() -> encrypt(client, key, ByteString.EMPTY).size() == 16);

      var refusal =
          catchThrowableOfType(
              StatusRuntimeException.class,
              () ->
                  client.setAttributeValue(
                      SetAttributeValueRequest.newBuilder()
                          .setObject(key)
                          .putAttributes(Cka.CKA_ENCRYPT, flag(false))
                          .build()));

      assertThat(refusal == null ? Status.Code.OK : refusal.getStatus().getCode())
          .isEqualTo(expected);
    }
  }
}
