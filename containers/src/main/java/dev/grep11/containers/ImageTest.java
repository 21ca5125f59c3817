package dev.grep11.containers;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestInstance.Lifecycle;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.testcontainers.containers.GenericContainer;

/**
 * One gateway from the image, with SQLite, on a read-only root file system without capabilities.
 */
@Tag("containers")
@TestInstance(Lifecycle.PER_CLASS)
class ImageTest {
  private static final String SQLITE = "{directory: /var/lib/grep11/store}";
  private static final String CONFIG = "/etc/grep11/gateway.yaml";

  private final Installation installation;
  private final int portBase;
  private final String apiKey;
  private final GenericContainer<?> gateway;

  ImageTest(@TempDir Path directory) throws IOException {
    installation = new Installation(directory);
    portBase = Installation.freePorts();
    installation.configure("gateway", portBase, SQLITE);
    installation.initialiseToken();
    installation.grep11("instance", "create", "--config", CONFIG, "--name", "payments").succeeded();
    apiKey = installation.createApiKey("gateway");
    gateway = installation.gateway("gateway");
  }

  @BeforeAll
  void start() {
    gateway.start();
  }

  @AfterAll
  void stop() {
    gateway.stop();
  }

  @Test
  void aSignatureMadeInAContainerIsGenuineOutside() throws Exception {
    try (var client = installation.client(apiKey, portBase)) {
      Installation.signs(client);
    }
  }

  @Test
  void javaIsTheFirstProcessOfAUserWithoutRightsOnAReadOnlySystem() throws Exception {
    assertThat(gateway.execInContainer("readlink", "/proc/1/exe").getStdout())
        .isEqualTo("/opt/grep11/runtime/bin/java\n");
    assertThat(gateway.execInContainer("cat", "/proc/1/status").getStdout())
        .containsPattern("Uid:\\s+10001\\s+10001\\s+10001\\s+10001")
        .containsPattern("Gid:\\s+10001\\s+10001\\s+10001\\s+10001")
        .containsPattern("CapEff:\\s+0000000000000000")
        .containsPattern("NoNewPrivs:\\s+1");
    for (var path : List.of("/opt/grep11/lib/x", "/etc/x", "/x")) {
      var touched = gateway.execInContainer("touch", path);
      assertThat(touched.getExitCode()).as(path).isNotZero();
      assertThat(touched.getStderr()).contains("Read-only file system");
    }
  }

  @Test
  void whatTheJvmLearnedFitsTheRuntimeOfTheImage() {
    // With this mode a cache that does not fit is an error instead of being passed over.
    var version =
        installation.docker(
            List.of("--entrypoint", "/opt/grep11/runtime/bin/java"),
            "@/opt/grep11/gateway.flags",
            "@/opt/grep11/learned.flags",
            "-XX:AOTMode=on",
            "dev.grep11.gateway.command.Main",
            "--version");

    assertThat(version.succeeded()).startsWith("grep11 ");
  }

  @Test
  void aBackupIsRehearsedInContainersOnACopyOfTheToken() {
    var file = "/var/lib/grep11/backup";
    installation.grep11("backup", "--config", CONFIG, "--to", file).succeeded();

    var answer = installation.grep11("rehearse", "--config", CONFIG, "--output", "json");

    assertThat(answer.succeeded())
        .containsPattern("\"file\"\\s*:\\s*\"%s\"".formatted(file))
        .containsPattern("\"token\"\\s*:\\s*\"copy\"")
        .containsPattern("\"counts\"\\s*:\\s*true");
  }

  @Test
  void theImagesHealthCheckPasses() {
    await().atMost(Duration.ofSeconds(60)).until(gateway::isHealthy);
  }

  @Test
  void healthOfAGatewayThatIsNotThereSaysSo() throws IOException {
    installation.configure("absent", Installation.freePorts(), SQLITE);

    var health = installation.grep11("health", "--config", "/etc/grep11/absent.yaml");

    assertThat(health.exitCode()).isEqualTo(1);
    assertThat(health.err()).startsWith("grep11: no answer from https://").hasLineCount(1);
  }

  @Test
  void toldToStopItDrainsAndEndsWithZero() throws Exception {
    int base = Installation.freePorts();
    installation.configure("stopped", base, SQLITE);
    try (var stopped = installation.gateway("stopped");
        var client = installation.client(apiKey, base)) {
      stopped.start();
      Installation.signs(client);

      stopped.getDockerClient().stopContainerCmd(stopped.getContainerId()).withTimeout(20).exec();

      var state =
          stopped.getDockerClient().inspectContainerCmd(stopped.getContainerId()).exec().getState();
      assertThat(state.getExitCodeLong()).isZero();
      assertThat(
              installation
                  .grep11(
                      "audit",
                      "verify",
                      "/var/log/grep11/stopped.jsonl",
                      "--output",
                      "json",
                      "--config",
                      "/etc/grep11/stopped.yaml")
                  .succeeded())
          .contains("\"closed\":true");
    }
  }

  /** F3: path, owner found, owner and mode needed, no stack trace. */
  @ParameterizedTest
  @CsvSource({
    "/mnt/etc/server.key, /etc/grep11/server.key",
    "/mnt/etc/pin, /etc/grep11/pin",
    "/mnt/data/store, /var/lib/grep11/store",
    "/mnt/log, /var/log/grep11",
  })
  void anOwnerThatIsWrongIsToldWithTheOneThatIsNeeded(String given, String told)
      throws IOException {
    installation.configure("other", Installation.freePorts(), SQLITE);
    Command serve;
    installation.own("0:0", given);
    try {
      serve = installation.grep11("serve", "--config", "/etc/grep11/other.yaml");
    } finally {
      installation.own(Installation.USER, given);
    }

    assertThat(serve.exitCode()).isEqualTo(1);
    assertThat(serve.err())
        .contains(told, "owner 0:0", Installation.USER, "chown " + Installation.USER)
        .containsPattern("rw-------|rwx------")
        .doesNotContain("\tat ", "Exception");
  }

  /** F9. */
  @Test
  void theComposeFilesSettingsLeftUnchangedAreRefusedInOneMessage() throws IOException {
    Files.copy(
        Installation.SHIPPED.resolve("config/gateway-1.yaml"),
        installation.etc().resolve("as-is.yaml"));

    var serve = installation.grep11("serve", "--config", "/etc/grep11/as-is.yaml");

    assertThat(serve.exitCode()).isEqualTo(1);
    assertThat(serve.err())
        .contains(
            "instance: still holds the placeholder \"CHANGE-ME\"",
            "tokenService.issuer: still holds the placeholder"
                + " \"https://gateway.example.invalid/identity\"")
        .doesNotContain("\tat ", "Exception");
  }
}
