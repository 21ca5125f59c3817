package dev.grep11.gateway;

import dev.grep11.gateway.command.DemoData;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.store.PostgresServer;
import java.nio.file.Path;
import java.util.Map;

/** On a database server. */
class KeystoreOnPostgresTest extends KeystoreBehaviour {
  @Override
  Map<String, Object> store(Path directory) throws Exception {
    var database = PostgresServer.shared().createDatabase();
    Map<String, Object> settings =
        Map.of(
            "/store/directory",
            "host",
            "/store/postgresql",
            Map.of(
                "url",
                database.url(),
                "user",
                database.user(),
                "passwordFile",
                database.passwordFile().toString()));
    var config = GatewayConfig.read(DemoData.open(directory).config(), settings);
    try (var host = Host.openOrBegin(config)) {
      host.createInstance(config.instance().orElseThrow(), "keystores", "account", "local");
    }
    return settings;
  }
}
