package dev.grep11.gateway;

import dev.grep11.gateway.command.DemoData;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.store.PostgresServer;
import dev.grep11.gateway.store.StoreLocation;
import java.nio.file.Path;
import java.util.Map;

/** A demo's gateway whose store is on PostgreSQL. */
public final class DemoOnPostgres {
  private DemoOnPostgres() {}

  /** Begins a store in a new database of the shared server; the settings that name it. */
  public static Map<String, Object> begin(Path demo) throws Exception {
    return begin(demo, PostgresServer.shared().createDatabase());
  }

  /** Begins a store in an empty database, with the demo's instance; the settings that name it. */
  static Map<String, Object> begin(Path demo, StoreLocation.Postgresql database) throws Exception {
    var settings = settings("host", database);
    var config = GatewayConfig.read(DemoData.open(demo).config(), settings);
    try (var host = Host.openOrBegin(config)) {
      host.createInstance(config.instance().orElseThrow(), "demo", "account", "local");
    }
    return settings;
  }

  /**
   * @param directory where the gateway keeps the ids of the store's keys
   */
  static Map<String, Object> settings(String directory, StoreLocation.Postgresql database) {
    return Map.of(
        "/store/directory",
        directory,
        "/store/postgresql",
        Map.of(
            "url",
            database.url(),
            "user",
            database.user(),
            "passwordFile",
            database.passwordFile().toString()));
  }
}
