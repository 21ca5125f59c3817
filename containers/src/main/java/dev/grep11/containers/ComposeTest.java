package dev.grep11.containers;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** docker/compose.yaml by the distribution's docker-compose, in the steps of docs/image.md. */
@Tag("containers")
class ComposeTest {
  private static final String PIN = "12345678";

  private final String project = "grep11-" + UUID.randomUUID().toString().substring(0, 8);
  private final Path secrets;
  private final Path config;
  private final int first;
  private final int second;

  ComposeTest(@TempDir Path directory) throws IOException {
    secrets = Files.createDirectory(directory.resolve("secrets"));
    config = Files.createDirectory(directory.resolve("config"));
    first = Installation.freePorts();
    second = Installation.freePorts();
  }

  @BeforeEach
  void prepare() throws IOException {
    Command.makeCertificates(
        secrets, Map.of("server", "DNS:localhost", "postgresql", "DNS:postgresql"));
    Files.copy(secrets.resolve("ca.pem"), secrets.resolve("db-ca.pem"));
    Files.writeString(secrets.resolve("pin"), PIN + "\n");
    Files.writeString(secrets.resolve("db-password"), "only in this test\n");
    Files.copy(secrets.resolve("db-password"), secrets.resolve("postgresql-password"));
    owned(Installation.USER, "server.key", "pin", "db-password");
    // Of PostgreSQL's user in its public image.
    owned("999:999", "postgresql.key", "postgresql-password");
    var instance = UUID.randomUUID().toString();
    for (var name : List.of("gateway-1.yaml", "gateway-2.yaml")) {
      Files.writeString(
          config.resolve(name),
          Files.readString(Installation.SHIPPED.resolve("config").resolve(name))
              .replace("CHANGE-ME", instance)
              .replace("gateway.example.invalid", "localhost"));
    }
  }

  private void owned(String owner, String... names) {
    for (var name : names) {
      Command.run("chmod", "600", secrets.resolve(name).toString()).succeeded();
    }
    var words =
        new ArrayList<>(
            List.of(
                "docker",
                "run",
                "--rm",
                "--user",
                "0:0",
                "-v",
                secrets + ":/mnt",
                "-w",
                "/mnt",
                "--entrypoint",
                "chown",
                Installation.IMAGE,
                owner));
    words.addAll(List.of(names));
    Command.run(Map.of(), words).succeeded();
  }

  @AfterEach
  void down() {
    compose("down", "--volumes", "--timeout", "20").succeeded();
  }

  private Command compose(String... arguments) {
    var words =
        new ArrayList<>(Arrays.asList(Installation.setting("GREP11_COMPOSE").split(" ", -1)));
    words.addAll(
        List.of("-p", project, "-f", Installation.SHIPPED.resolve("compose.yaml").toString()));
    words.addAll(List.of(arguments));
    return Command.run(
        Map.of(
            "GREP11_IMAGE", Installation.IMAGE,
            "GREP11_POSTGRES_IMAGE", Installation.POSTGRES_IMAGE,
            "GREP11_CONFIG", config.toString(),
            "GREP11_SECRETS", secrets.toString(),
            "GREP11_PUBLISH_1", "127.0.0.1:%d-%d".formatted(first, first + 2),
            "GREP11_PUBLISH_2", "127.0.0.1:%d-%d".formatted(second, second + 2),
            "GREP11_HEALTH_1", "127.0.0.1:%d".formatted(first + 3),
            "GREP11_HEALTH_2", "127.0.0.1:%d".formatted(second + 3)),
        words);
  }

  @Test
  void twoGatewaysServeTheSameKeysAndOneIsEnough() throws Exception {
    compose("up", "-d", "postgresql").succeeded();
    compose(
            "run",
            "--rm",
            "-T",
            "--entrypoint",
            "softhsm2-util",
            "gateway-1",
            "--init-token",
            "--free",
            "--label",
            "grep11",
            "--pin",
            PIN,
            "--so-pin",
            PIN)
        .succeeded();
    compose(
            "run",
            "--rm",
            "-T",
            "gateway-1",
            "instance",
            "create",
            "--config",
            "/etc/grep11/gateway.yaml",
            "--name",
            "payments")
        .succeeded();
    var apiKey =
        compose(
                "run",
                "--rm",
                "-T",
                "gateway-1",
                "apikey",
                "create",
                "--config",
                "/etc/grep11/gateway.yaml",
                "--name",
                "app",
                "--role",
                "Writer")
            .succeeded()
            .lines()
            .filter(line -> line.startsWith("apikey: "))
            .map(line -> line.substring("apikey: ".length()).strip())
            .findFirst()
            .orElseThrow();

    compose("up", "-d").succeeded();

    var ca = secrets.resolve("ca.pem");
    try (var client = Installation.client(ca, apiKey, first);
        var other = Installation.client(ca, apiKey, second);
        var both = Installation.client(ca, apiKey, second, first)) {
      await()
          .atMost(Duration.ofSeconds(60))
          .ignoreExceptions()
          .until(() -> client.generateRandom(8).length + other.generateRandom(8).length == 16);
      var pair = Installation.signs(client);
      Installation.signs(other, pair);
      Installation.signs(both, pair);
      compose("kill", "-s", "KILL", "gateway-2").succeeded();
      Installation.signs(both, pair);
    }
    await()
        .atMost(Duration.ofSeconds(60))
        .until(() -> compose("ps").succeeded().contains("(healthy)"));
  }

  @Test
  void placeholdersLeftUnchangedKeepAGatewayFromStarting() throws Exception {
    Files.copy(
        Installation.SHIPPED.resolve("config/gateway-1.yaml"),
        config.resolve("gateway-1.yaml"),
        StandardCopyOption.REPLACE_EXISTING);

    var serve = compose("run", "--rm", "-T", "--no-deps", "gateway-1");

    assertThat(serve.exitCode()).isEqualTo(1);
    assertThat(serve.out() + serve.err())
        .contains(
            "/etc/grep11/gateway.yaml has 2 problems",
            "still holds the placeholder \"CHANGE-ME\"",
            "gateway.example.invalid");
  }
}
