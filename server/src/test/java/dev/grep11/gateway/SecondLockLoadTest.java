package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.MANAGER;
import static dev.grep11.gateway.RunningGateway.aesKey;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.sun.management.UnixOperatingSystemMXBean;
import dev.grep11.gateway.trust.TestCertificates;
import dev.grep11.proto.CryptoGrpc;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.GrpcSslContexts;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@Tag("load")
class SecondLockLoadTest {
  private static final int EACH = 5_000;
  private static final Duration BOUND = Duration.ofSeconds(5);
  private static final Map<String, Object> ALL_FROM_ONE_ADDRESS =
      Map.of(
          "/limits/connections", 3 * EACH,
          "/limits/connectionsPerAddress", 3 * EACH,
          "/limits/connectionsPerSecond", 3 * EACH,
          "/limits/connectionsPerSecondPerAddress", 3 * EACH);

  @Test
  void ofTenThousandConnectionsThoseOfADeletedCaAreClosedAndTheOthersNoticeNothing(
      @TempDir Path parent) throws Exception {
    assumeTrue(fileDescriptors() > 2 * EACH + 500, "too few file descriptors (ulimit -n)");
    var deleted = TestCertificates.ca("CN=Deleted CA").selfSigned();
    var kept = TestCertificates.ca("CN=Kept CA").selfSigned();
    var app = TestCertificates.client("CN=app").signedBy(kept);
    TestCertificates.client("CN=deleted").signedBy(deleted).write(parent, "deleted");
    app.write(parent, "kept");
    try (var running = RunningGateway.start(parent.resolve("demo"), ALL_FROM_ONE_ADDRESS)) {
      running.registerClientCas(running.instance, List.of(deleted.der(), kept.der()));
      var ssl =
          GrpcSslContexts.forClient()
              .trustManager(running.demo.ca().toFile())
              .keyManager(app.privateKey(), app.certificate());
      var calls =
          CryptoGrpc.newBlockingStub(running.channel("localhost", ssl))
              .withInterceptors(
                  RunningGateway.headers("authorization", "Bearer " + running.token(MANAGER)));
      var output = Files.createFile(parent.resolve("connections"));
      var clients = clients(running, parent, output);
      var stopped = new AtomicBoolean();
      var failure = new AtomicReference<@Nullable StatusRuntimeException>();
      var answered = new AtomicInteger();
      try {
        await()
            .atMost(Duration.ofMinutes(5))
            .until(() -> open(output, "deleted") == EACH && open(output, "kept") == EACH);
        var traffic =
            Thread.ofPlatform()
                .daemon()
                .start(() -> {
                  while (!stopped.get() && failure.get() == null) {
                    try {
                      aesKey(calls);
                      answered.incrementAndGet();
                    } catch (StatusRuntimeException e) {
                      failure.set(e);
                    }
                  }
                });
        await().until(() -> answered.get() > 20);

        running.registerClientCas(running.instance, List.of(kept.der()));
        var committed = Instant.now();
        await()
            .atMost(Duration.ofSeconds(30))
            .pollInterval(Duration.ofMillis(100))
            .until(() -> open(output, "deleted") == 0);
        var closedAfter = Duration.between(committed, Instant.now());
        stopped.set(true);
        traffic.join();

        assertThat(closedAfter).isLessThan(BOUND);
        assertThat(failure.get()).isNull();
        assertThat(open(output, "kept")).isEqualTo(EACH);
      } finally {
        stopped.set(true);
        clients.destroyForcibly().waitFor();
      }
    }
  }

  private static long fileDescriptors() {
    return ManagementFactory.getOperatingSystemMXBean() instanceof UnixOperatingSystemMXBean unix
        ? unix.getMaxFileDescriptorCount()
        : 0;
  }

  private static Process clients(RunningGateway running, Path parent, Path output)
      throws IOException {
    return new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "--enable-native-access=ALL-UNNAMED",
            "--sun-misc-unsafe-memory-access=allow",
            "-Dio.netty.noUnsafe=false",
            "-cp",
            System.getProperty("java.class.path"),
            ManyConnections.class.getName(),
            Integer.toString(running.gateway.cryptoPort()),
            Integer.toString(EACH),
            parent.resolve("deleted").toString(),
            parent.resolve("kept").toString())
        .redirectErrorStream(true)
        .redirectOutput(output.toFile())
        .start();
  }

  /** What the clients said last; -1 while they have said nothing. */
  private static int open(Path output, String name) throws IOException {
    return Files.readAllLines(output).stream()
        .filter(line -> line.startsWith("OPEN " + name + " "))
        .reduce((_, last) -> last)
        .map(line -> Integer.parseInt(line.substring(line.lastIndexOf(' ') + 1)))
        .orElse(-1);
  }
}
