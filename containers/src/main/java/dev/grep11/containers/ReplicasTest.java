package dev.grep11.containers;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.grep11.client.Grep11Client;
import dev.grep11.client.KeyPair;
import dev.grep11.client.Mechanisms;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.testcontainers.containers.GenericContainer;
import org.testcontainers.containers.wait.strategy.Wait;
import org.testcontainers.utility.DockerImageName;

/** Two gateways and a PostgreSQL from images, under load while they go and come back. */
@Tag("containers")
class ReplicasTest {
  private static final int THREADS = 8;
  private static final Duration A_WHILE = Duration.ofSeconds(3);

  @Test
  void neitherAKilledGatewayNorARestartedDatabaseFailsACall(@TempDir Path directory)
      throws Exception {
    var installation = new Installation(directory);
    Files.writeString(installation.etc().resolve("db-password"), "only in this test\n");
    Command.run("chmod", "600", installation.etc().resolve("db-password").toString()).succeeded();
    installation.own(Installation.USER, "/mnt/etc/db-password");
    int databasePort = Installation.freePorts();
    int first = Installation.freePorts();
    int second = Installation.freePorts();
    var store =
        "{directory: /var/lib/grep11/store, postgresql: {url: 'jdbc:postgresql://127.0.0.1:%d/grep11', user: grep11, passwordFile: db-password}}"
            .formatted(databasePort);
    installation.configure("first", first, store);
    installation.configure("second", second, store);
    installation.initialiseToken();
    try (var database = database(installation, databasePort);
        var one = installation.gateway("first");
        var two = installation.gateway("second")) {
      database.start();
      installation
          .grep11("instance", "create", "--config", "/etc/grep11/first.yaml", "--name", "payments")
          .succeeded();
      var apiKey = installation.createApiKey("first");
      one.start();
      two.start();
      try (var client = installation.client(apiKey, first, second);
          var load = new Load(client, Installation.signs(client))) {
        load.goesOn();

        one.getDockerClient().killContainerCmd(one.getContainerId()).withSignal("KILL").exec();
        load.goesOn();
        one.getDockerClient().startContainerCmd(one.getContainerId()).exec();
        // No later than the database goes, without which nothing starts.
        serves(installation, apiKey, first);
        load.goesOn();

        var server = database.getContainerId();
        database.getDockerClient().stopContainerCmd(server).withTimeout(10).exec();
        load.goesOn();
        database.getDockerClient().startContainerCmd(server).exec();
        load.goesOn();

        two.getDockerClient().killContainerCmd(two.getContainerId()).withSignal("KILL").exec();
        load.goesOn();
        System.out.printf(
            "containers: %d calls while gateways were killed and PostgreSQL restarted, %d failed%n",
            load.answered.get(), load.failures.size());
        assertThat(load.failures).isEmpty();
      }
    }
  }

  private static void serves(Installation installation, String apiKey, int portBase) {
    try (var client = installation.client(apiKey, portBase)) {
      await()
          .atMost(Duration.ofSeconds(60))
          .ignoreExceptions()
          .untilAsserted(() -> Installation.signs(client));
    }
  }

  private static GenericContainer<?> database(Installation installation, int port) {
    var password = readableCopy(installation);
    return new GenericContainer<>(DockerImageName.parse(Installation.POSTGRES_IMAGE))
        .withNetworkMode("host")
        .withEnv("POSTGRES_USER", "grep11")
        .withEnv("POSTGRES_DB", "grep11")
        .withEnv("POSTGRES_PASSWORD_FILE", "/run/password")
        .withCreateContainerCmdModifier(create ->
            Objects.requireNonNull(create.getHostConfig())
                .withBinds(Installation.bind(password + ":/run/password:ro")))
        .withCommand("postgres", "-p", Integer.toString(port))
        .waitingFor(Wait.forLogMessage(".*ready to accept connections.*", 1))
        .withStartupTimeout(Duration.ofSeconds(60));
  }

  /** The server's user is another one than the gateway's. */
  private static Path readableCopy(Installation installation) {
    var copy = installation.directory.resolve("server-password");
    Command.run("cp", installation.etc().resolve("db-password").toString(), copy.toString())
        .succeeded();
    Command.run("chmod", "644", copy.toString()).succeeded();
    Command.run("chmod", "755", installation.directory.toString()).succeeded();
    return copy;
  }

  /** Threads that sign, one call after another. */
  private static final class Load implements AutoCloseable {
    final AtomicInteger answered = new AtomicInteger();
    final Queue<String> failures = new ConcurrentLinkedQueue<>();
    private final AtomicBoolean stopped = new AtomicBoolean();
    private final List<Thread> threads = new ArrayList<>();

    Load(Grep11Client client, KeyPair pair) {
      for (int i = 0; i < THREADS; i++) {
        threads.add(
            Thread.ofPlatform()
                .start(() -> {
                  while (!stopped.get()) {
                    try {
                      client.sign(
                          Mechanisms.ecdsaSha256(), pair.privateKey(), Installation.MESSAGE);
                      answered.incrementAndGet();
                    } catch (RuntimeException e) {
                      failures.add(String.valueOf(e));
                    }
                  }
                }));
      }
    }

    /** Returns after a while in which calls were answered. */
    void goesOn() throws InterruptedException {
      Thread.sleep(A_WHILE.toMillis());
      int before = answered.get();
      await().atMost(Duration.ofSeconds(20)).until(() -> answered.get() > before + THREADS);
    }

    @Override
    public void close() {
      stopped.set(true);
      for (var thread : threads) {
        try {
          thread.join();
        } catch (InterruptedException e) {
          Thread.currentThread().interrupt();
        }
      }
    }
  }
}
