package dev.grep11.gateway;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import com.sun.management.ThreadMXBean;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.CryptoGrpc.CryptoBlockingStub;
import dev.grep11.proto.EncryptSingleRequest;
import io.grpc.Metadata;
import io.grpc.stub.MetadataUtils;
import io.netty.util.ResourceLeakDetector;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadInfo;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What a call costs on the heap of the gateway. Bytes are counted and not time, so that a busy
 * machine changes nothing. Leak detection is off here: it allocates a record for each touch of a
 * buffer.
 */
class AllocationTest {
  private static final int CALLS = 60;

  /** Objects of the transport for 64 TLS records each way; interpreted code makes some more. */
  private static final long CEILING = 128 << 10;

  private static final int PAYLOAD = 1 << 20;
  private static final Set<String> OF_THE_GATEWAY = Set.of("loop-", "hsm-use-", "audit-writer");

  private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

  /** Bytes so far, by the threads that serve calls. */
  private static long allocated() {
    var ids =
        Arrays.stream(THREADS.getThreadInfo(THREADS.getAllThreadIds()))
            .filter(thread ->
                thread != null
                    && OF_THE_GATEWAY.stream().anyMatch(thread.getThreadName()::startsWith))
            .mapToLong(ThreadInfo::getThreadId)
            .toArray();
    return Arrays.stream(THREADS.getThreadAllocatedBytes(ids)).sum();
  }

  @Test
  void theHeapDoesNotGrowWithThePayload(@TempDir Path directory) throws Exception {
    var level = ResourceLeakDetector.getLevel();
    ResourceLeakDetector.setLevel(ResourceLeakDetector.Level.DISABLED);
    try (var running = RunningGateway.start(directory)) {
      var headers = new Metadata();
      headers.put(
          Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER),
          "Bearer " + running.tokenFor(running.demoApiKey()));
      var client =
          CryptoGrpc.newBlockingStub(running.channel())
              .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers));
      var key = RunningGateway.aesKey(client);

      encrypt(client, key, CALLS);
      long before = allocated();
      encrypt(client, key, CALLS);
      long each = (allocated() - before) / CALLS;

      assertThat(each).isBetween(1L, CEILING);
    } finally {
      ResourceLeakDetector.setLevel(level);
    }
  }

  private static void encrypt(CryptoBlockingStub client, ByteString key, int calls) {
    var request =
        EncryptSingleRequest.newBuilder()
            .setMech(RunningGateway.cbcPad())
            .setKeyBytes(key)
            .setPlain(ByteString.copyFrom(new byte[PAYLOAD]))
            .build();
    for (int i = 0; i < calls; i++) {
      assertThat(client.encryptSingle(request).getCiphered().size()).isEqualTo(PAYLOAD + 16);
    }
  }
}
