package dev.grep11.gateway;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.store.RegistryRecord;
import dev.grep11.gateway.store.Subject;
import dev.grep11.gateway.trust.TestCertificates;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Two copies of one store, each with its own gateways, and one token: a split brain. */
class ForkedStoreTest {
  private static final Duration LEASE = Duration.ofSeconds(3);

  @Test
  void aGatewayOnTheCopyThatTheOthersLeftBehindServesNobodyAfterItsLease(@TempDir Path directory)
      throws Exception {
    var ca = TestCertificates.ca("CN=One CA").selfSigned();
    try (var behind =
        RunningGateway.start(
            directory.resolve("demo"), Map.of("/store/leaseSeconds", (int) LEASE.toSeconds()))) {
      var client = behind.client();
      assertThat(RunningGateway.aesKey(client).isEmpty()).as("no lock yet").isFalse();
      var elsewhere = directory.resolve("elsewhere");
      copy(behind.config.store(), elsewhere);
      var config =
          GatewayConfig.read(
              behind.demo.config(), Map.of("/store/directory", elsewhere.toString()));
      try (var host = Host.open(config)) {
        host.store()
            .change(change ->
                change.replace(
                    change
                        .snapshot()
                        .registry(behind.instance)
                        .orElseThrow()
                        .next(
                            List.of(
                                new RegistryRecord.Entry(
                                    new Subject("i", "administrator"),
                                    "ca",
                                    ca.der(),
                                    Instant.now())))));
      }

      await()
          .atMost(LEASE)
          .untilAsserted(() ->
              assertThatThrownBy(() -> RunningGateway.aesKey(client))
                  .isInstanceOf(StatusRuntimeException.class)
                  .hasMessageContaining("UNAVAILABLE"));

      assertThat(behind.health(behind.web(), "/readyz")).isEqualTo(503);
      assertThatThrownBy(() -> behind.grant("somebody", "Manager"))
          .as("a change on the copy left behind")
          .hasMessageContaining("an older database was put back");
    }
  }

  private static void copy(Path store, Path to) throws IOException {
    Files.createDirectory(
        to, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    try (var files = Files.list(store)) {
      for (var file : files.filter(Files::isRegularFile).toList()) {
        Files.copy(file, to.resolve(file.getFileName()), StandardCopyOption.COPY_ATTRIBUTES);
      }
    }
  }
}
