package dev.grep11.gateway;

import dev.grep11.gateway.audit.AuditLog;
import dev.grep11.gateway.certmgr.ClientCas;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.Lane;
import dev.grep11.gateway.iam.TokenVerifier;
import dev.grep11.gateway.key.Keys;
import dev.grep11.gateway.metrics.CallMetrics;
import dev.grep11.gateway.metrics.Metrics;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.RegistryRecord;
import dev.grep11.gateway.store.Snapshot;
import dev.grep11.gateway.store.StoreFollower;
import dev.grep11.gateway.store.UpkeepRecord;
import dev.grep11.gateway.tls.Connections;
import dev.grep11.gateway.tls.ServerTls;
import dev.grep11.gateway.token.Lease;
import dev.grep11.gateway.trust.RevocationFiles;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.UUID;
import java.util.function.ToDoubleFunction;

/** Which parts of a gateway are measured, and under which names (docs/metrics.md). */
final class Measured {
  private Measured() {}

  static Metrics metrics(GatewayConfig config, List<InstanceRecord> instances) {
    var only =
        config
            .instance()
            .flatMap(id -> instances.stream().filter(i -> i.id().equals(id)).findFirst());
    return new Metrics(
        version(),
        new CallMetrics.Segments(
            only.map(InstanceRecord::location).orElse(""),
            only.map(instance -> instance.id().toString()).orElse(""),
            only.map(InstanceRecord::name).orElse("")),
        config.tracing().isPresent(),
        System::nanoTime);
  }

  static String version() {
    var version = Gateway.class.getPackage().getImplementationVersion();
    return version == null ? "development" : version;
  }

  static void token(Metrics metrics, Hsm hsm, Keys keys, TokenProbe probe) {
    metrics.gauge(
        "grep11_token_up", "1 while the token is there.", () -> hsm.epoch().live() ? 1 : 0);
    metrics.gauge(
        "grep11_token_epoch",
        "Openings of the token since the start: every loss adds one.",
        () -> hsm.epoch().number());
    metrics.gauge(
        "grep11_token_signature_age_seconds",
        "Since the token last made a signature for the gateway itself.",
        () -> probe.age().toMillis() / 1e3);
    metrics.gauges(
        "grep11_lane_waiting",
        "Work that waits for threads with a session of the token.",
        "lane",
        () -> {
          var waiting = new HashMap<String, Double>();
          for (var lane : Lane.values()) {
            waiting.put(word(lane), (double) hsm.queued(lane));
          }
          return waiting;
        });
    for (var lane : Lane.values()) {
      var waits = metrics.laneWaits(word(lane));
      hsm.measureWaits(lane, nanos -> waits.observe(nanos / 1e9));
    }
    metrics.gauge("grep11_token_sessions", "Open sessions with the token.", hsm::sessions);
    metrics.gauge(
        "grep11_token_sessions_in_use", "Sessions in which a call runs.", hsm::sessionsInUse);
    metrics.counts(
        "grep11_token_failures",
        "Calls of the token that gave something other than CKR_OK, by what they gave.",
        "ckr",
        hsm::failures);
    metrics.gauge("grep11_keys_loaded", "Working copies of keys in the token.", keys::size);
    metrics.count("grep11_key_loads", "Key blobs that were opened in the token.", keys::loads);
  }

  private static String word(Lane lane) {
    return lane.name().toLowerCase(Locale.ROOT);
  }

  static void tokens(Metrics metrics, TokenVerifier verifier) {
    metrics.counts(
        "grep11_bearer_cache",
        "Bearer tokens that were looked up among those verified before, by what came of it.",
        "outcome",
        () -> Map.of("hit", verifier.hits(), "miss", verifier.misses()));
    metrics.gauge(
        "grep11_issuer_keys_age_seconds",
        "Age of the oldest keys of an issuer whose last fetch failed; 0 when none failed.",
        () -> verifier.keysOverdue().toMillis() / 1e3);
  }

  static void store(Metrics metrics, StoreFollower follower, Lease lease) {
    metrics.optionalGauge(
        "grep11_store_generation",
        "Change of the store that this gateway goes by; absent when it may go by none.",
        () -> number(follower.current().map(snapshot -> (double) snapshot.generation())));
    metrics.optionalGauge(
        "grep11_store_lag_seconds",
        "How far behind the store what this gateway goes by may be.",
        () -> number(follower.lag().map(lag -> lag.toMillis() / 1e3)));
    metrics.gauge(
        "grep11_lease_left_seconds",
        "How long this gateway may still serve by what it last verified.",
        () -> lease.left().toMillis() / 1e3);
  }

  static void backups(Metrics metrics, StoreFollower follower, InstantSource clock) {
    metrics.optionalGauge(
        "grep11_backup_age_seconds",
        "Since the last backup of the store; absent when there was none.",
        () -> age(follower, UpkeepRecord.Kind.BACKUP, clock));
    metrics.optionalGauge(
        "grep11_backup_rehearsal_age_seconds",
        "Since the last backup of then was restored on trial and found good; absent when none was.",
        () -> age(follower, UpkeepRecord.Kind.REHEARSAL, clock));
  }

  private static OptionalDouble age(
      StoreFollower follower, UpkeepRecord.Kind kind, InstantSource clock) {
    return number(
        follower
            .current()
            .flatMap(snapshot -> snapshot.last(kind))
            .map(last -> Duration.between(last.time(), clock.instant()).toMillis() / 1e3));
  }

  static void locks(
      Metrics metrics,
      StoreFollower follower,
      Optional<UUID> only,
      ClientCas clientCas,
      ServerTls tls,
      Connections connections) {
    metrics.gauges(
        "grep11_client_cas",
        "Client CAs that are registered.",
        "instance",
        () -> byInstance(follower, only, registry -> registry.entries().size()));
    metrics.gauges(
        "grep11_second_lock_closed",
        "1 while calls need a client certificate; also while it is not known whether they do.",
        "instance",
        () ->
            byInstance(
                follower,
                only,
                registry ->
                    clientCas.of(registry.instance()).map(ClientCas.Registered::locked).orElse(true)
                        ? 1
                        : 0));
    metrics.gauges(
        "grep11_registry_generation",
        "Changes of the registered client CAs.",
        "instance",
        () -> byInstance(follower, only, RegistryRecord::generation));
    metrics.optionalGauge(
        "grep11_server_certificate_end_timestamp_seconds",
        "When the first certificate of the server's own chain ends.",
        () ->
            number(
                tls.chain().stream()
                    .map(certificate -> seconds(certificate.getNotAfter().toInstant()))
                    .min(Double::compare)));
    metrics.optionalGauge(
        "grep11_client_ca_end_timestamp_seconds",
        "When the first registered client CA ends.",
        () ->
            number(
                follower
                    .current()
                    .flatMap(snapshot ->
                        registries(snapshot, only).stream()
                            .flatMap(registry -> registry.entries().stream())
                            .flatMap(entry -> end(entry).stream())
                            .min(Double::compare))));
    metrics.gauge(
        "grep11_connections",
        "Open connections of the crypto port.",
        () -> connections.live().size());
    metrics.count(
        "grep11_connections_accepted",
        "Connections of the crypto port whose handshake was done.",
        connections::accepted);
  }

  static void revocations(Metrics metrics, RevocationFiles files, InstantSource clock) {
    metrics.optionalGauge(
        "grep11_client_crl_left_seconds",
        "Until the first revocation list is out of date; 0 while clients are refused for one.",
        () -> number(files.current().left(clock.instant()).map(left -> left.toMillis() / 1e3)));
  }

  static void audit(Metrics metrics, AuditLog audit, EventExporter events) {
    metrics.gauge(
        "grep11_audit_working",
        "1 while the audit file takes events.",
        () -> audit.working() ? 1 : 0);
    metrics.gauge(
        "grep11_audit_lost_events",
        "Events lost that the audit file does not tell of yet.",
        audit::dropped);
    metrics.gauge(
        "grep11_audit_waiting_events",
        "Events that were taken and are not in the audit file yet.",
        audit::waiting);
    metrics.gauge(
        "grep11_audit_lag_seconds",
        "How long the events that are being written have been.",
        () -> audit.lag().toMillis() / 1e3);
    metrics.gauge(
        "grep11_audit_checkpoint_age_seconds",
        "Since the oldest line of the audit file that no checkpoint vouches for; 0 without one.",
        () -> audit.unvouched().toMillis() / 1e3);
    metrics.gauge(
        "grep11_audit_stored_events",
        "Events of administration that are in the store and not in the audit file yet.",
        events::waiting);
  }

  private static Map<String, Double> byInstance(
      StoreFollower follower, Optional<UUID> only, ToDoubleFunction<RegistryRecord> value) {
    var values = new HashMap<String, Double>();
    follower
        .current()
        .ifPresent(snapshot ->
            registries(snapshot, only)
                .forEach(registry ->
                    values.put(registry.instance().toString(), value.applyAsDouble(registry))));
    return values;
  }

  private static List<RegistryRecord> registries(Snapshot snapshot, Optional<UUID> only) {
    return snapshot.registries().stream()
        .filter(registry -> only.isEmpty() || only.get().equals(registry.instance()))
        .toList();
  }

  private static Optional<Double> end(RegistryRecord.Entry entry) {
    try {
      X509Certificate ca = ClientCas.certificate(entry);
      return Optional.of(seconds(ca.getNotAfter().toInstant()));
    } catch (CertificateException e) {
      // What does not parse is told of where the lock is decided.
      return Optional.empty();
    }
  }

  private static double seconds(Instant instant) {
    return instant.getEpochSecond();
  }

  private static OptionalDouble number(Optional<Double> value) {
    return value.map(OptionalDouble::of).orElse(OptionalDouble.empty());
  }
}
