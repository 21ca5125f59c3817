package dev.grep11.gateway.command;

import dev.grep11.gateway.certmgr.ClientCas;
import dev.grep11.gateway.host.Restore;
import dev.grep11.gateway.host.Restore.Confirmed;
import dev.grep11.gateway.host.Restore.Listing;
import dev.grep11.gateway.host.Restore.Restored;
import dev.grep11.gateway.store.AdministratorRecord;
import dev.grep11.gateway.store.ApiKeyRecord;
import dev.grep11.gateway.store.Entitlement;
import dev.grep11.gateway.store.Grant;
import dev.grep11.gateway.store.RegistryRecord;
import dev.grep11.gateway.store.Restoration.InPlace;
import dev.grep11.gateway.store.Restoration.Leave;
import dev.grep11.gateway.store.SealingKeyGeneration;
import dev.grep11.gateway.store.Setback;
import dev.grep11.gateway.store.Snapshot;
import dev.grep11.gateway.trust.Fingerprint;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.security.cert.CertificateException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

@Command(
    name = "restore",
    mixinStandardHelpOptions = true,
    footer = {
      "",
      "Example: grep11 restore --config gateway.yaml --from /backup/grep11-2026-11-22",
      "Example: grep11 restore --config gateway.yaml --from /backup/grep11-2026-11-22 --accept-generation 41",
      Commands.EXIT_CODES
    },
    description = {
      "Puts a backup in the place of a store that is lost. Stop every gateway first.",
      "Without --accept-generation it changes nothing, and lists every client CA, administrator, API",
      "key and grant that would come back: also those that were removed since the backup was made.",
      "With it, they come back as one transaction, recorded as a critical audit event. API keys are",
      "disabled then until they are confirmed, here or by: grep11 apikey confirm",
      "Certificate administrators come back with the keys of then, also one that was replaced because",
      "it was lost or stolen: compare the fingerprints. Leave to enrol (admin invite) does not come back."
    })
final class RestoreCommand implements Callable<Integer> {
  private static final String ALL = "all";

  @Mixin private GatewayOption gateway = new GatewayOption();
  @Mixin private OutputOption output = new OutputOption();

  @Option(names = "--from", required = true, paramLabel = "FILE", description = "the backup")
  private @Nullable Path from;

  @Option(
      names = "--accept-generation",
      paramLabel = "N",
      description = "restore, knowing what comes back: N is the generation that the list names")
  private @Nullable Long accepted;

  @Option(
      names = "--replace",
      description = {
        "also where there is a store already that opens, which is lost then;",
        "one that does not open is never replaced"
      })
  private boolean replace;

  @Option(
      names = "--drop-masterkey",
      paramLabel = "ID",
      description = {
        "with --replace: a master key of the store in place that the backup lacks; every key blob",
        "sealed under it is lost. May be repeated; each has to be named"
      })
  private Set<String> dropped = new LinkedHashSet<>();

  @Option(
      names = "--revert-masterkey",
      paramLabel = "ID",
      description = {
        "with --replace: a master key that comes back in another state than it is in, as one that",
        "was retired since. May be repeated; each has to be named"
      })
  private Set<String> reverted = new LinkedHashSet<>();

  @Option(
      names = "--readmit-administrator",
      paramLabel = "FINGERPRINT",
      description = {
        "with --replace: the key of a certificate administrator that was replaced or removed since,",
        "and counts again. May be repeated; each has to be named"
      })
  private Set<String> readmitted = new LinkedHashSet<>();

  @Option(
      names = "--confirm-apikey",
      paramLabel = "ID|NAME",
      description = "an API key that counts at once; may be repeated")
  private Set<String> confirmed = new LinkedHashSet<>();

  @Option(
      names = "--confirm-apikeys",
      paramLabel = ALL,
      description = "\"all\": every API key that counted when the backup was made counts at once")
  private @Nullable String confirmAll;

  @Spec private @Nullable CommandSpec spec;

  @Override
  public Integer call() {
    var confirmation = confirmation();
    try (var restore = Restore.open(gateway.read(), Objects.requireNonNull(from))) {
      var listing = restore.listing();
      var generation = accepted;
      if (generation == null) {
        show(listing);
      } else {
        show(
            restore.restore(
                generation, new Leave(replace, dropped, reverted, readmitted), confirmation));
      }
    }
    return 0;
  }

  private Confirmed confirmation() {
    if (confirmAll == null) {
      return new Confirmed.Named(confirmed);
    }
    if (!confirmAll.equals(ALL) || !confirmed.isEmpty()) {
      throw new ParameterException(
          Objects.requireNonNull(spec).commandLine(),
          "--confirm-apikeys is followed by all, and given without --confirm-apikey");
    }
    return new Confirmed.All();
  }

  // ---- What would come back

  private void show(Listing listing) {
    var out = Commands.out(spec);
    var fields = new LinkedHashMap<String, Object>();
    fields.put("result", "nothing was changed");
    fields.put("file", listing.file().toString());
    fields.putAll(BackupCommand.fields(listing.manifest()));
    fields.put("remembered-by-token", listing.remembered());
    fields.put("in-place", inPlace(listing.inPlace()));
    var back = listing.comesBack();
    var cas = back.registries().stream().flatMap(each -> cas(each).stream()).toList();
    var administrators =
        sorted(back.administrators().stream().map(RestoreCommand::fields).toList());
    var keys = sorted(back.apiKeys().stream().map(RestoreCommand::fields).toList());
    var grants = sorted(back.grants().stream().map(RestoreCommand::fields).toList());
    var instances = back.instances().stream().map(each -> instance(back, each.id())).toList();
    var retired =
        listing.missing().stream()
            .map(each -> {
              var row = new LinkedHashMap<String, Object>();
              row.put("instance", each.instance().toString());
              row.put("master-key", each.generation().id());
              row.put("why", each.why());
              return row;
            })
            .toList();
    var lost = new ArrayList<Map<String, Object>>();
    var changed = new ArrayList<Map<String, Object>>();
    var replaced = new ArrayList<Map<String, Object>>();
    for (var setback : listing.setbacks()) {
      switch (setback) {
        case Setback.Dropped each -> lost.add(fields(each.instance(), each.generation()));
        case Setback.Reverted each -> {
          var row = fields(each.instance(), each.generation());
          row.put("comes-back", each.back().name());
          changed.add(row);
        }
        case Setback.Readmitted each -> {
          var row = fields(each.back());
          row.put(
              "in-place", each.inPlace().map(AdministratorRecord::fingerprint).orElse("removed"));
          replaced.add(row);
        }
      }
    }
    if (!output.isText()) {
      fields.put("instances", instances);
      fields.put("client-cas", cas);
      fields.put("administrators", administrators);
      fields.put("api-keys", keys);
      fields.put("grants", grants);
      fields.put("master-keys-retired", retired);
      fields.put("master-keys-dropped", lost);
      fields.put("master-keys-reverted", changed);
      fields.put("administrators-readmitted", replaced);
      fields.put("enrolments-dropped", back.enrolments().size());
      output.one(out, fields);
      return;
    }
    output.one(out, fields);
    table(out, "Instances", List.of("id", "name", "client-cas", "lock"), instances);
    table(out, "Client CAs", List.of("instance", "id", "owner", "subject", "ends", "sha256"), cas);
    table(
        out,
        "Certificate administrators",
        List.of("instance", "subject", "issuer", "since", "fingerprint"),
        administrators);
    table(
        out,
        "API keys (disabled until they are confirmed)",
        List.of("id", "name", "subject", "created", "in-backup"),
        keys);
    table(out, "Grants", List.of("instance", "subject", "issuer", "grants", "resource"), grants);
    if (!retired.isEmpty()) {
      table(
          out,
          "Master keys whose keys the token lacks (come back retired)",
          List.of("instance", "master-key", "why"),
          retired);
    }
    if (!lost.isEmpty()) {
      table(
          out,
          "Master keys in place that the backup lacks (every key blob sealed under them would be lost)",
          List.of("instance", "master-key", "state", "since"),
          lost);
    }
    if (!changed.isEmpty()) {
      table(
          out,
          "Master keys in place that would come back in another state",
          List.of("instance", "master-key", "state", "since", "comes-back"),
          changed);
    }
    if (!replaced.isEmpty()) {
      table(
          out,
          "Certificate administrators whose keys were replaced or removed since (would count again)",
          List.of("instance", "subject", "issuer", "since", "fingerprint", "in-place"),
          replaced);
    }
    out.println();
    advice(listing).forEach(out::println);
    out.flush();
  }

  private List<String> advice(Listing listing) {
    var manifest = listing.manifest();
    var lost =
        listing.remembered() > manifest.granted()
            ? "The token remembers generation %d: what was granted, revoked or registered after generation %d is undone."
                .formatted(listing.remembered(), manifest.granted())
            : "Nothing was granted or revoked since, as far as the token remembers.";
    var advice = new ArrayList<String>();
    advice.add(lost);
    advice.add(
        ("Keys that were put into keystores since %s are lost; keystores that were deleted since, and"
                + " passwords that were replaced, are there again.")
            .formatted(manifest.made()));
    if (!listing.comesBack().administrators().isEmpty()) {
      advice.add(
          "Compare each certificate administrator's fingerprint with the key that is in use: one that"
              + " was replaced because it was lost or stolen counts again (admin recover).");
    }
    advice.add(
        "Take back what should not have come back before you start a gateway: grep11 grant remove,"
            + " apikey delete, admin recover.");
    advice.addAll(way(listing));
    return advice;
  }

  /** Whoever has a store that opens is not told how to lose it before asking for that. */
  private List<String> way(Listing listing) {
    var command =
        "grep11 restore %s --from %s --accept-generation %d"
            .formatted(gateway.words(), listing.file(), listing.manifest().generation());
    return switch (listing.inPlace()) {
      case InPlace.Nothing _ -> List.of("To restore: " + command);
      case InPlace.Unreadable _ ->
          List.of(
              "Nothing can be restored here: the store in place does not open, may be another"
                  + " gateway's, and is never replaced.",
              "Name another, empty database in the configuration; or, once it is certain whose it is"
                  + " and that nobody needs it, move it away by hand.");
      case InPlace.Present present -> {
        if (present.servesNobody()) {
          yield List.of("To restore: " + command);
        }
        if (!replace) {
          yield List.of(
              "The store in place opens, and a restore leaves it as it is. Keep it unless it is known"
                  + " to be the wrong one.");
        }
        var told = new ArrayList<String>();
        if (!listing.setbacks().isEmpty()) {
          told.add(
              "The store in place knows more than the backup: name each master key that may be lost"
                  + " by --drop-masterkey ID, each that may be in another state by"
                  + " --revert-masterkey ID, and each replaced or removed key of an administrator that"
                  + " may count again by --readmit-administrator FINGERPRINT.");
        }
        told.add("To restore, and lose the store in place: " + command + " --replace");
        yield told;
      }
    };
  }

  private static Map<String, Object> fields(UUID instance, SealingKeyGeneration masterKey) {
    var fields = new LinkedHashMap<String, Object>();
    fields.put("instance", instance.toString());
    fields.put("master-key", masterKey.id());
    fields.put("state", masterKey.state().name());
    fields.put("since", masterKey.since().toString());
    return fields;
  }

  private static String inPlace(InPlace inPlace) {
    return switch (inPlace) {
      case InPlace.Nothing _ -> "no store";
      case InPlace.Unreadable(String why) -> "a store that does not open: " + why;
      case InPlace.Present present ->
          present.servesNobody()
              ? "a store without instances, API keys and grants"
              : "a store of generation %d that opens%s"
                  .formatted(
                      present.snapshot().generation(),
                      present.snapshot().live(Instant.now()).isEmpty()
                          ? ""
                          : ", by which gateways are serving");
    };
  }

  private void table(
      PrintWriter out, String title, List<String> columns, List<? extends Map<String, ?>> rows) {
    out.println();
    out.println(title + (rows.isEmpty() ? ": none" : ":"));
    if (!rows.isEmpty()) {
      output.list(out, columns, rows);
    }
  }

  private static List<Map<String, Object>> sorted(List<Map<String, Object>> rows) {
    return rows.stream().sorted(Comparator.comparing(Map::toString)).toList();
  }

  private static Map<String, Object> instance(Snapshot back, UUID id) {
    var fields = new LinkedHashMap<String, Object>();
    fields.put("id", id.toString());
    fields.put("name", back.instance(id).orElseThrow().name());
    int cas = back.registry(id).map(each -> each.entries().size()).orElse(0);
    fields.put("client-cas", cas);
    fields.put("lock", cas == 0 ? "open" : "closed");
    return fields;
  }

  private static List<Map<String, Object>> cas(RegistryRecord registry) {
    return registry.entries().stream().map(entry -> ca(registry.instance(), entry)).toList();
  }

  private static Map<String, Object> ca(UUID instance, RegistryRecord.Entry entry) {
    var fields = new LinkedHashMap<String, Object>();
    fields.put("instance", instance.toString());
    fields.put("id", entry.id());
    fields.put("owner", entry.owner().id());
    try {
      var certificate = ClientCas.certificate(entry);
      fields.put("subject", certificate.getSubjectX500Principal().getName());
      fields.put("ends", certificate.getNotAfter().toInstant().toString());
      fields.put("sha256", Fingerprint.of(certificate));
    } catch (CertificateException e) {
      fields.put("subject", "cannot be read");
    }
    return fields;
  }

  private static Map<String, Object> fields(AdministratorRecord administrator) {
    var fields = new LinkedHashMap<String, Object>();
    fields.put("instance", administrator.instance().toString());
    fields.put("subject", administrator.subject().id());
    fields.put("issuer", administrator.subject().issuer());
    fields.put("since", administrator.since().toString());
    fields.put("fingerprint", administrator.fingerprint());
    return fields;
  }

  private static Map<String, Object> fields(ApiKeyRecord key) {
    var fields = new LinkedHashMap<String, Object>();
    fields.put("id", key.id().toString());
    fields.put("name", key.name());
    fields.put("subject", key.subject().id());
    fields.put("created", key.created().toString());
    fields.put("in-backup", key.disabled().isEmpty() ? "counted" : "disabled");
    return fields;
  }

  private static Map<String, Object> fields(Grant grant) {
    var fields = new LinkedHashMap<String, Object>();
    fields.put("instance", grant.instance().toString());
    fields.put("subject", grant.subject().id());
    fields.put("issuer", grant.subject().issuer());
    fields.put(
        "grants",
        switch (grant.entitlement()) {
          case Entitlement.Role(String name) -> name;
          case Entitlement.Actions(Set<String> names) -> String.join(" ", names);
        });
    fields.put("resource", grant.resource().orElse("the instance"));
    return fields;
  }

  // ---- What came back

  private void show(Restored restored) {
    var fields = new LinkedHashMap<String, Object>();
    fields.put("result", "restored");
    fields.put("generation", restored.generation());
    fields.put(
        "api-keys-disabled",
        new OutputOption.Value(
            restored.disabled().stream().map(key -> key.id().toString()).toList(),
            restored.disabled().isEmpty()
                ? "none"
                : String.join(", ", restored.disabled().stream().map(ApiKeyRecord::name).toList())
                    + "; to let one count again: grep11 apikey confirm ID|NAME"));
    output.one(Commands.out(spec), fields);
  }
}
