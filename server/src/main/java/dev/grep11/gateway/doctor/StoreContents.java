package dev.grep11.gateway.doctor;

import dev.grep11.findings.Findings;
import dev.grep11.findings.Validity;
import dev.grep11.gateway.certmgr.ClientCas;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.StartSteps;
import dev.grep11.gateway.store.AuditHeadRecord;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.RegistryRecord;
import dev.grep11.gateway.store.ReplicaRecord;
import dev.grep11.gateway.store.Snapshot;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.StoreException;
import dev.grep11.gateway.token.HsmCalls;
import dev.grep11.gateway.token.StartException;
import dev.grep11.gateway.token.TokenAnchor;
import dev.grep11.gateway.token.TokenKeys;
import java.security.cert.CertificateException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** What is in the store: its generation, instances, client CAs, and the gateways that share it. */
final class StoreContents {
  private static final String REGISTRY = "client CAs";
  private static final String SUCCESSOR =
      "register its successor, then delete it: certmgr cert set, cert delete";

  private final GatewayConfig config;
  private final Snapshot snapshot;
  private final Instant now;
  private final Findings findings;

  private StoreContents(GatewayConfig config, Snapshot snapshot, Instant now, Findings findings) {
    this.config = config;
    this.snapshot = snapshot;
    this.now = now;
    this.findings = findings;
  }

  /** Looks, and hands on what was verified; empty when the findings say why not. */
  static Optional<Snapshot> look(
      GatewayConfig config,
      HsmCalls calls,
      Instant now,
      ClockComparison clocks,
      Findings findings) {
    var check = "store";
    Store.Contents contents;
    try {
      var keys = TokenKeys.read(config.store());
      contents =
          Store.look(
              config.database(), StartSteps.envelope(config, calls), new TokenAnchor(calls, keys));
    } catch (StartException | StoreException e) {
      findings.bad(
          check,
          String.valueOf(e.getMessage()),
          "use database, token and token-keys of one gateway; restore what was changed");
      return Optional.empty();
    }
    var snapshot = contents.snapshot();
    if (contents.anchored() < contents.remembered()) {
      findings.bad(
          check,
          "an older database was put back: what it grants is of generation %d, and the token remembers generation %d"
              .formatted(contents.anchored(), contents.remembered()),
          "put the newest database back; what was removed since then is in this one again");
    } else if (contents.anchored() > contents.remembered()) {
      findings.warning(
          check,
          "the token remembers generation %d, and the last change of rights is generation %d: it was"
                  .formatted(contents.remembered(), contents.anchored())
              + " cut off before the token knew",
          "start a gateway, or repeat the change: either tells the token");
    } else {
      findings.good(
          check,
          "generation %d is intact, and not older than the token remembers (%d)"
              .formatted(snapshot.generation(), contents.remembered()));
    }
    var look = new StoreContents(config, snapshot, now, findings);
    look.instances();
    look.registries();
    look.replicas();
    look.latest().ifPresent(latest -> clocks.withRecord("the newest record of the store", latest));
    return Optional.of(snapshot);
  }

  /** Instances that this gateway serves. */
  static List<InstanceRecord> served(GatewayConfig config, Snapshot snapshot) {
    return snapshot.instances().stream()
        .filter(instance ->
            config.instance().isEmpty() || config.instance().get().equals(instance.id()))
        .toList();
  }

  private void instances() {
    try {
      StartSteps.requireInstance(snapshot.instances(), config.instance());
      findings.good(
          "instance",
          config
              .instance()
              .map(id -> id + " is in the store")
              .orElse(snapshot.instances().size() + " in the store"));
    } catch (StartException e) {
      findings.bad(
          "instance",
          String.valueOf(e.getMessage()),
          "grep11 instance list shows those that are there; correct instance, or make it by grep11"
              + " instance create");
    }
  }

  private void registries() {
    boolean required = config.clientCertificates() == GatewayConfig.ClientCertificateRule.REQUIRED;
    for (var instance : served(config, snapshot)) {
      var registry = snapshot.registry(instance.id());
      if (registry.isEmpty()) {
        findings.bad(
            REGISTRY,
            "instance %s has no registry, so that every call is refused".formatted(instance.id()),
            "restore the store: an instance is made together with its registry");
      } else if (registry.get().entries().isEmpty() && required) {
        findings.bad(
            REGISTRY,
            "none is registered in instance %s, and clientCertificates is required: every call is refused"
                .formatted(instance.id()),
            "have a certificate administrator register one: certmgr cert set");
      } else {
        registry(instance, registry.get());
      }
    }
  }

  private void registry(InstanceRecord instance, RegistryRecord registry) {
    int before = findings.all().size();
    for (var entry : registry.entries()) {
      var what =
          "\"%s\" of %s in instance %s".formatted(entry.id(), entry.owner().id(), instance.id());
      try {
        var certificate = ClientCas.certificate(entry);
        var of = new Findings();
        Validity.look(of, REGISTRY, what, certificate, now, SUCCESSOR);
        of.all().stream()
            .filter(finding -> finding.level() != dev.grep11.findings.Finding.Level.GOOD)
            .forEach(findings::add);
      } catch (CertificateException e) {
        findings.bad(
            REGISTRY,
            what + " cannot be read, so that every call is refused",
            "delete it: certmgr cert delete");
      }
    }
    if (findings.all().size() == before) {
      findings.good(
          REGISTRY,
          registry.entries().isEmpty()
              ? "none in instance %s: a token alone is enough (registry generation %d)"
                  .formatted(instance.id(), registry.generation())
              : "%d in instance %s, none ends within 30 days (registry generation %d)"
                  .formatted(registry.entries().size(), instance.id(), registry.generation()));
    }
  }

  private void replicas() {
    var live = snapshot.live(now);
    var ours =
        new ReplicaRecord.Rules(
            config.clientCertificates() == GatewayConfig.ClientCertificateRule.REQUIRED,
            config.enrolment().name());
    var others =
        live.stream()
            .filter(each -> each.rules().filter(rules -> !rules.equals(ours)).isPresent())
            .toList();
    for (var other : others) {
      findings.warning(
          "gateways",
          "%s runs with other rules than this configuration has (clientCertificates, enrolment)"
              .formatted(other.name()),
          "give all gateways of a store the same, and restart them one after the other");
    }
    if (others.isEmpty()) {
      findings.good(
          "gateways",
          live.isEmpty()
              ? "none runs on this store"
              : "%d: %s"
                  .formatted(
                      live.size(),
                      String.join(", ", live.stream().map(ReplicaRecord::name).toList())));
    }
  }

  /** The latest moment that anybody wrote into the store. */
  private Optional<Instant> latest() {
    var moments = new ArrayList<Instant>();
    snapshot.replicas().forEach(each -> moments.add(each.seen()));
    snapshot.auditHeads().stream().map(AuditHeadRecord::time).forEach(moments::add);
    snapshot
        .instances()
        .forEach(instance -> instance.generations().forEach(each -> moments.add(each.since())));
    snapshot
        .registries()
        .forEach(registry -> registry.entries().forEach(entry -> moments.add(entry.registered())));
    return moments.stream().max(Instant::compareTo);
  }
}
