package dev.grep11.gateway.doctor;

import dev.grep11.findings.Findings;
import dev.grep11.gateway.config.ConfigException;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.store.Snapshot;
import dev.grep11.gateway.token.HsmCalls;
import dev.grep11.softhsm.SoftHsmToken;
import dev.grep11.softhsm.SoftHsmUnavailableException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.atomic.AtomicReference;
import java.util.regex.Pattern;

/**
 * Looks at everything that a gateway needs and changes none of it: safe beside one that runs. No
 * file is made, no row is written, the token gets a login and session objects that end with it. A
 * fault stops no check but those that cannot be made with it, and these say so.
 */
public final class Doctor {
  /** As a gateway names itself in the store. */
  private static final Pattern PROCESS = Pattern.compile("\\(process (\\d+)\\)$");

  private final Surroundings surroundings;
  private final boolean tryPin;
  private final Findings findings = new Findings();

  /**
   * An examination, which is made once.
   *
   * @param tryPin offers the PIN although a wrong one was tried before; never where one more would
   *     lock the token
   */
  public Doctor(Surroundings surroundings, boolean tryPin) {
    this.surroundings = surroundings;
    this.tryPin = tryPin;
  }

  /** What every gateway on this machine needs. */
  public Findings examine() {
    machine(Optional.empty());
    guarded("SoftHSM", () -> softHsm());
    return findings;
  }

  /** The same, and what a configuration names. */
  public Findings examine(Path file) {
    return examine(file, Map.of());
  }

  /** As {@link #examine(Path)}, with settings replaced as {@link GatewayConfig#read} does. */
  public Findings examine(Path file, Map<String, Object> replaced) {
    GatewayConfig.Reading reading;
    try {
      reading = GatewayConfig.examine(file, replaced);
    } catch (ConfigException e) {
      machine(Optional.empty());
      for (var problem : e.problems()) {
        findings.bad("configuration", file + ": " + problem, "docs/gateway.yaml is a whole one");
      }
      findings.warning("everything else", "not checked", "correct the configuration first");
      return findings;
    }
    var config = reading.config();
    machine(Optional.of(config));
    configuration(file, reading);
    var faulty = new Faulty(reading.problems());
    guarded("files", () -> FileRights.look(file, config, faulty, findings));
    guarded(
        "server certificate",
        () -> ServerCertificate.look(config, faulty, surroundings.clock().instant(), findings));
    var clocks = new ClockComparison(surroundings.clock(), findings);
    var snapshot = keysAndStore(config, faulty, clocks);
    guarded("audit file", () -> AuditSink.look(config, faulty, surroundings, snapshot, findings));
    guarded(
        "revoked client certificates",
        () -> ClientTrustFiles.look(config, faulty, surroundings.clock().instant(), findings));
    guarded("issuers", () -> Issuers.look(config, faulty, clocks, findings));
    guarded("ports", () -> Ports.look(config, faulty, surroundings, processes(snapshot), findings));
    guarded("clock", clocks::tell);
    return findings;
  }

  private void machine(Optional<GatewayConfig> config) {
    guarded("Java", () -> JavaRuntime.look(surroundings, findings));
    guarded("kernel limits", () -> KernelLimits.look(surroundings, config, findings));
  }

  private void softHsm() {
    try {
      findings.good("SoftHSM", SoftHsmToken.findModule().toString());
    } catch (SoftHsmUnavailableException e) {
      findings.bad(
          "SoftHSM",
          String.valueOf(e.getMessage()),
          "the demo needs it; a gateway on another token does not: --config");
    }
  }

  private void configuration(Path file, GatewayConfig.Reading reading) {
    for (var problem : reading.problems()) {
      var parts = problem.split("; remedy: ", 2);
      findings.bad(
          "configuration",
          parts[0],
          parts.length > 1 ? parts[1] : "correct it in %s".formatted(file));
    }
    if (reading.problems().isEmpty()) {
      findings.good(
          "configuration", "%s: %s, no setting is wrong".formatted(file, reading.config().mode()));
    }
  }

  /** What takes the PIN. */
  private Optional<Snapshot> keysAndStore(
      GatewayConfig config, Faulty faulty, ClockComparison clocks) {
    var opened = new AtomicReference<>(Optional.<Hsm>empty());
    var read = new AtomicReference<>(Optional.<Snapshot>empty());
    guarded(
        "token",
        () ->
            opened.set(
                TokenAccess.open(config, faulty, tryPin, surroundings.module(), clocks, findings)));
    var isThere = new AtomicReference<>(false);
    guarded("database", () -> isThere.set(DatabaseAccess.look(config, faulty, clocks, findings)));
    if (opened.get().isEmpty()) {
      findings.warning("store, keys", "not checked", "first the token has to open");
      return Optional.empty();
    }
    try (var hsm = opened.get().get()) {
      var calls = new HsmCalls(hsm);
      if (!faulty.concern("store")) {
        guarded("token-signing key", () -> TokenContents.signingKey(config, calls, findings));
      }
      if (!isThere.get()) {
        findings.warning(
            "store, sealing keys", "not checked", "first the database has to be in order");
        return Optional.empty();
      }
      guarded(
          "store",
          () ->
              read.set(
                  StoreContents.look(
                      config, calls, surroundings.clock().instant(), clocks, findings)));
      read.get()
          .ifPresent(snapshot ->
              guarded(
                  "sealing keys",
                  () ->
                      TokenContents.sealingKeys(
                          StoreContents.served(config, snapshot), calls, findings)));
    }
    return read.get();
  }

  /** Empty where the store could not be read. */
  private static Optional<Set<Long>> processes(Optional<Snapshot> snapshot) {
    return snapshot.map(known -> {
      Set<Long> processes = new HashSet<>();
      for (var replica : known.replicas()) {
        var named = PROCESS.matcher(replica.name());
        if (named.find()) {
          processes.add(Long.parseLong(named.group(1)));
        }
      }
      return processes;
    });
  }

  /** What nobody foresaw is a finding too, and the other checks go on. */
  private void guarded(String check, Runnable look) {
    try {
      look.run();
    } catch (RuntimeException e) {
      findings.bad(
          check,
          "could not be looked at to its end: %s: %s"
              .formatted(e.getClass().getSimpleName(), e.getMessage()),
          "report this with the version of grep11");
    }
  }
}
