package dev.grep11.gateway.doctor;

import dev.grep11.findings.Findings;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.store.DatabaseState;
import dev.grep11.gateway.store.StoreException;
import dev.grep11.gateway.store.StoreLocation;
import java.time.Duration;

/** The database beneath the store: whether it is there, and what its user may do. */
final class DatabaseAccess {
  private static final String CHECK = "database";
  private static final Duration SLOW = Duration.ofMillis(100);
  private static final int FEW_CONNECTIONS = 5;

  private DatabaseAccess() {}

  /**
   * Looks.
   *
   * @return whether there is a store of this program's version in it
   */
  static boolean look(
      GatewayConfig config, Faulty faulty, ClockComparison clocks, Findings findings) {
    if (faulty.concern("store")) {
      findings.warning(CHECK, "not checked", "correct the section store first");
      return false;
    }
    DatabaseState state;
    try {
      state = DatabaseState.of(config.database(), clocks.ours());
    } catch (StoreException e) {
      findings.bad(
          CHECK,
          String.valueOf(e.getMessage()).contains(config.database().toString())
              ? String.valueOf(e.getMessage())
              : "%s: %s".formatted(config.database(), e.getMessage()),
          config.database() instanceof StoreLocation.Directory
              ? "have it belong to the gateway's user, mode 0700"
              : "see that it runs and takes this user, host, password and certificate;"
                  + " store.postgresql says which");
      return false;
    }
    state.server().ifPresent(server -> server(config, server, clocks, findings));
    return schema(config, state, findings);
  }

  private static boolean schema(GatewayConfig config, DatabaseState state, Findings findings) {
    var check = "schema";
    if (state.schema() == 0) {
      findings.bad(
          check,
          "there is no store in " + config.database(),
          "name the right place, or begin one: grep11 instance create");
      return false;
    }
    if (state.schema() > state.newest()) {
      findings.bad(
          check,
          "%s has version %d, and this program knows up to %d"
              .formatted(config.database(), state.schema(), state.newest()),
          "use the newer program that wrote it");
      return false;
    }
    if (state.schema() < state.newest()) {
      findings.warning(
          check,
          "%s has version %d; a start of this program brings it to %d, and what is in it is not"
                  .formatted(config.database(), state.schema(), state.newest())
              + " checked before",
          "back it up, stop the gateways of the older program, and start this one");
      return false;
    }
    findings.good(check, "version %d in %s".formatted(state.schema(), config.database()));
    return true;
  }

  private static void server(
      GatewayConfig config,
      DatabaseState.Server server,
      ClockComparison clocks,
      Findings findings) {
    clocks.with("the database server's", server.clock(), server.looked());
    int before = findings.all().size();
    if (server.standby()) {
      findings.bad(
          CHECK,
          "%s is a standby%s and cannot be written"
              .formatted(
                  config.database(),
                  server
                      .behind()
                      .map(behind -> ", %d s behind its primary".formatted(behind.toSeconds()))
                      .orElse("")),
          "name the primary, or several hosts with targetServerType=primary");
    }
    if (server.readOnly()) {
      findings.bad(
          CHECK,
          "transactions of %s only read (default_transaction_read_only)"
              .formatted(config.database()),
          "ALTER DATABASE ... RESET default_transaction_read_only, or the same of the user");
    }
    if (!server.missingRights().isEmpty()) {
      findings.bad(
          CHECK,
          "the user lacks " + String.join(", ", server.missingRights()),
          "have the gateway's user own the tables, as when instance create made them");
    }
    if (server.freeConnections() < FEW_CONNECTIONS) {
      findings.warning(
          CHECK,
          "%d more connections are free, and each gateway takes up to four"
              .formatted(server.freeConnections()),
          "raise max_connections, or see who has them: pg_stat_activity");
    }
    if (server.roundTrip().compareTo(SLOW) > 0) {
      findings.warning(
          CHECK,
          "a question takes %d ms: changes and leases wait for several"
              .formatted(server.roundTrip().toMillis()),
          "have the database nearer to the gateways");
    }
    if (findings.all().size() == before) {
      findings.good(
          CHECK,
          "PostgreSQL %s, %s, answers in %d ms"
              .formatted(
                  server.version(),
                  server.tls().map(tls -> "over " + tls).orElse("in clear on this host"),
                  server.roundTrip().toMillis()));
    }
  }
}
