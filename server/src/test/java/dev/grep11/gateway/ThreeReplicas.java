package dev.grep11.gateway;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.grep11.client.Grep11Client;
import dev.grep11.client.certmgr.AdministratorKeyPair;
import dev.grep11.client.certmgr.CertificateManagerClient;
import dev.grep11.client.certmgr.Change;
import dev.grep11.gateway.command.DemoData;
import dev.grep11.gateway.command.GatewayProcess;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.store.PostgresServer;
import dev.grep11.gateway.store.StoreLocation;
import dev.grep11.gateway.store.TcpRelay;
import dev.grep11.gateway.trust.TestCertificates.Identity;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Three gateways with one token and one PostgreSQL, the third of which reaches the database by a
 * {@link TcpRelay}; and an administrator, who speaks to the first. One process, so that one clock
 * measures them.
 */
final class ThreeReplicas implements AutoCloseable {
  static final Duration LEASE = Duration.ofSeconds(5);
  private static final String ADMINISTRATOR = "IBMid-administrator";

  final RunningGateway first;
  final TcpRelay relay;

  /** Each with what it does to the token. */
  final List<Replica> replicas;

  private final StoreLocation.Postgresql database;
  private final CertificateManagerClient manager;
  private final AdministratorKeyPair pair =
      AdministratorKeyPair.generate(AdministratorKeyPair.Type.P256);

  /**
   * @param name as administrators are told it
   */
  record Replica(String name, Gateway gateway, CountedCalls token, Path audit) {}

  /**
   * @param users subjects that may use keys
   */
  static ThreeReplicas start(Path directory, String... users) throws Exception {
    return new ThreeReplicas(directory, users);
  }

  private ThreeReplicas(Path directory, String... users) throws Exception {
    var demo = DemoData.open(directory);
    database = PostgresServer.shared().createDatabase();
    relay = new TcpRelay(database);
    var byRelay = relay.to(database);
    var settings = settings(0, database);
    // Issuers come with a running gateway.
    var begin = new HashMap<>(settings);
    begin.remove("/issuers");
    var config = GatewayConfig.read(demo.config(), begin);
    try (var host = Host.openOrBegin(config)) {
      host.createInstance(config.instance().orElseThrow(), "replicated", "account", "local");
    }
    var started = new ArrayList<Replica>();
    first = RunningGateway.start(directory, settings);
    started.add(replica(first.config, first.gateway, first.calls));
    for (var user : users) {
      first.grant(user, "Manager");
    }
    first.grant(ADMINISTRATOR, "Certificate Manager");
    for (var location : List.of(database, byRelay)) {
      var other = GatewayConfig.read(demo.config(), settings(started.size(), location));
      Files.createDirectory(other.store());
      Files.copy(config.store().resolve("token-keys"), other.store().resolve("token-keys"));
      var token = new CountedCalls();
      started.add(replica(other, Gateway.start(other, token::open), token));
    }
    replicas = List.copyOf(started);
    manager =
        new CertificateManagerClient(
            Grep11Client.builder("localhost:" + first.gateway.certificateManagerPort())
                .trustedCa(demo.ca())
                .token(() -> first.token(ADMINISTRATOR))
                .connect(),
            first.instance);
    // The demo's enrolment is open.
    manager.execute(manager.signedBy(pair).setAdministratorKey(null));
  }

  private static Map<String, Object> settings(int number, StoreLocation.Postgresql database)
      throws Exception {
    var settings = new HashMap<>(DemoOnPostgres.settings("host-" + number, database));
    settings.put("/listen/portBase", GatewayProcess.freePorts());
    settings.put("/store/pollMillis", 250);
    settings.put("/store/leaseSeconds", Math.toIntExact(LEASE.toSeconds()));
    settings.put("/audit/file", "audit-" + number + ".jsonl");
    settings.put("/limits/administrativeCallsPerMinute", 1_000_000);
    settings.put(
        "/issuers",
        List.of(
            Map.of(
                "issuer",
                RunningGateway.ISSUER,
                "jwksFile",
                "jwks.json",
                "audience",
                RunningGateway.AUDIENCE)));
    return settings;
  }

  private static Replica replica(GatewayConfig config, Gateway gateway, CountedCalls token) {
    return new Replica(
        "127.0.0.1:%d (process %d)"
            .formatted(config.listen().portBase(), ProcessHandle.current().pid()),
        gateway,
        token,
        config.audit().file().orElseThrow());
  }

  // ---- The administrator, by signed commands

  Change register(String id, Identity ca) {
    return manager.execute(
        manager.signedBy(pair).setCertificate(id, ca.certificate(), false, List.of()));
  }

  Change delete(String id) {
    return manager.execute(manager.signedBy(pair).deleteCertificate(id));
  }

  /** When the registry was last changed, by PostgreSQL's own record. */
  Instant committed() throws Exception {
    try (var connection =
            DriverManager.getConnection(
                database.url(),
                database.user(),
                Files.readString(database.passwordFile(), UTF_8).strip());
        var statement = connection.createStatement();
        var row = statement.executeQuery("SELECT pg_xact_commit_timestamp(xmin) FROM registry")) {
      if (!row.next()) {
        throw new SQLException("there is no registry");
      }
      return row.getObject(1, OffsetDateTime.class).toInstant();
    }
  }

  /** Ends every gateway; their audit files are complete then. */
  @Override
  public void close() throws IOException {
    manager.close();
    replicas.reversed().forEach(replica -> replica.gateway().close());
    first.close();
    relay.close();
  }
}
