package dev.grep11.gateway;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.grep11.gateway.command.DemoData;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.store.Grant;
import dev.grep11.gateway.store.PostgresServer;
import dev.grep11.gateway.store.StoreException;
import dev.grep11.gateway.store.StoreLocation;
import dev.grep11.gateway.store.Subject;
import dev.grep11.gateway.token.StartException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.UUID;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Two hosts with one token and one server, as an operator sets them up. */
class StoreOnPostgresTest {
  private static final UUID INSTANCE = UUID.fromString("0b0e5a3c-8a63-4f0e-9d0f-3a5d0b1c2d4e");

  @Test
  void aSecondHostNeedsTheFileOfKeyIdsAndNothingElse(@TempDir Path parent) throws Exception {
    var demo = DemoData.open(parent.resolve("demo"));
    var database = PostgresServer.shared().createDatabase();
    var first = config(demo.config(), "first", database);
    var second = config(demo.config(), "second", database);
    var grant = Grant.ofRole(new Subject("i", "somebody"), INSTANCE, "Reader");
    try (var host = Host.openOrBegin(first)) {
      host.createInstance(INSTANCE, "payments", "account", "local");
    }
    assertThatThrownBy(() -> Host.openOrBegin(second).close())
        .as("never a second store beside the first")
        .isInstanceOf(StartException.class)
        .hasMessageContaining("token-keys cannot be read; a replica has a copy");

    Files.createDirectory(second.store());
    Files.copy(first.store().resolve("token-keys"), second.store().resolve("token-keys"));
    try (var one = Host.open(first);
        var two = Host.open(second)) {
      assertThat(two.store().findInstance(INSTANCE)).isPresent();
      assertThat(two.store().addGrant(grant)).isTrue();
      assertThat(one.store().grants()).containsExactly(grant);
    }
  }

  @Test
  void aBeginningThatFailsLeavesNothingInTheWay(@TempDir Path parent) throws Exception {
    var demo = DemoData.open(parent.resolve("demo"));
    var server = PostgresServer.shared();
    var database = server.createDatabase();
    var config = config(demo.config(), "first", database);
    server.forbidTables(database);
    assertThatThrownBy(() -> Host.openOrBegin(config).close())
        .isInstanceOf(StoreException.class)
        .hasMessageContaining("cannot create a store in " + database.url());
    assertThat(config.store()).isEmptyDirectory();
    server.permitTables(database);
    try (var host = Host.openOrBegin(config)) {
      assertThat(host.store().generation()).isZero();
    }
  }

  private static GatewayConfig config(
      Path demo, String directory, StoreLocation.Postgresql database) throws Exception {
    var text =
        Files.readString(demo)
            .replaceFirst(
                "(?m)^  directory: store$",
                "  directory: %s%n  postgresql: {url: '%s', user: %s, passwordFile: %s}"
                    .formatted(
                        directory, database.url(), database.user(), database.passwordFile()));
    assertThat(text).contains("postgresql");
    return GatewayConfig.read(Files.writeString(demo.resolveSibling(directory + ".yaml"), text));
  }
}
