package dev.grep11.gateway.host;

import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.config.IoCause;
import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.key.SealingKeyException;
import dev.grep11.gateway.key.SealingKeys;
import dev.grep11.gateway.store.ApiKeyRecord;
import dev.grep11.gateway.store.BackupFile;
import dev.grep11.gateway.store.BackupManifest;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.RegistryRecord;
import dev.grep11.gateway.store.Restoration;
import dev.grep11.gateway.store.Restoration.InPlace;
import dev.grep11.gateway.store.SealingKeyGeneration;
import dev.grep11.gateway.store.SealingKeyGeneration.State;
import dev.grep11.gateway.store.SealingKeyUse;
import dev.grep11.gateway.store.Setback;
import dev.grep11.gateway.store.Snapshot;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.token.HsmCalls;
import dev.grep11.gateway.token.HsmCheckpointMac;
import dev.grep11.gateway.token.HsmEnvelope;
import dev.grep11.gateway.token.KeyringFollower;
import dev.grep11.gateway.token.StartException;
import dev.grep11.gateway.token.TokenAnchor;
import dev.grep11.gateway.token.TokenKeys;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;

/**
 * A backup on its way into the place of a store that is lost, for a command on the host. No store
 * is needed, and none is opened: the token alone judges the backup.
 */
public final class Restore implements AutoCloseable {
  private final GatewayConfig config;
  private final Hsm hsm;
  private final BackupFile file;
  private final BackupFile.Verified backup;
  private final TokenKeys keys;
  private final Restoration restoration;
  private final HostAudit audit;
  private final StoreEvents events;
  private final InstantSource clock;
  private final Snapshot comesBack;
  private final List<Missing> missing;
  private final long remembered;

  private Restore(GatewayConfig config, Hsm hsm, BackupFile file) {
    this.config = config;
    this.hsm = hsm;
    this.file = file;
    this.clock = InstantSource.system();
    this.keys = keys(config, file.manifest());
    requireToken(hsm, file, keys);
    var calls = new HsmCalls(hsm);
    var envelope = new HsmEnvelope(calls, keys);
    this.backup = file.verify(envelope);
    config
        .instance()
        .filter(id -> file.manifest().instances().stream().noneMatch(each -> each.id().equals(id)))
        .ifPresent(id -> {
          throw new StartException(
              "the backup %s is of another instance: the configuration serves %s, and the backup holds %s"
                  .formatted(
                      file.path(),
                      id,
                      String.join(
                          ", ",
                          file.manifest().instances().stream()
                              .map(each -> each.id().toString())
                              .toList())));
        });
    this.restoration = new Restoration(config.database(), envelope, new TokenAnchor(calls, keys));
    this.audit = HostAudit.of(config.audit(), new HsmCheckpointMac(envelope));
    this.events = new StoreEvents(Backups.hex(keys.storeKey()), clock);
    this.comesBack = backup.snapshot(envelope);
    this.missing = missing(calls, comesBack);
    this.remembered = restoration.remembered();
  }

  /**
   * Opens the token and the backup, and judges the backup as a whole.
   *
   * @throws StartException when it is of another token, or of another instance
   * @throws dev.grep11.gateway.store.StoreException when it is damaged or was changed
   */
  public static Restore open(GatewayConfig config, Path from) {
    var file = BackupFile.open(from);
    try {
      var hsm = Host.openToken(config);
      try {
        return new Restore(config, hsm, file);
      } catch (RuntimeException e) {
        hsm.close();
        throw e;
      }
    } catch (RuntimeException e) {
      file.close();
      throw e;
    }
  }

  /** Where the store is lost with its directory, the backup knows which keys were its own. */
  private static TokenKeys keys(GatewayConfig config, BackupManifest manifest) {
    TokenKeys named;
    try {
      named =
          new TokenKeys(
              HexFormat.of().parseHex(manifest.token().storeKey()),
              HexFormat.of().parseHex(manifest.token().signingKey()));
    } catch (IllegalArgumentException e) {
      throw new StartException("the backup does not name the keys that it needs", e);
    }
    if (TokenKeys.exist(config.store())) {
      var there = TokenKeys.read(config.store());
      if (!Arrays.equals(there.storeKey(), named.storeKey())
          || !Arrays.equals(there.signingKey(), named.signingKey())) {
        throw new StartException(
            "the backup is of another store: it needs the store key %s, and %s names %s. Restore it into a gateway of its own, or move that file away if nothing needs it"
                .formatted(
                    Backups.hex(named.storeKey()),
                    config.store().resolve("token-keys"),
                    Backups.hex(there.storeKey())));
      }
    }
    return named;
  }

  /**
   * That the store key of a backup is in the token.
   *
   * @throws StartException naming what is needed, and what is there
   */
  static void requireToken(Hsm hsm, BackupFile file, TokenKeys keys) {
    var needs = file.manifest().token();
    if (!needs.storeKey().equals(Backups.hex(keys.storeKey()))) {
      throw new StartException(
          "the backup %s is of another store: it needs the store key %s, and that of this gateway is %s"
              .formatted(file.path(), needs.storeKey(), Backups.hex(keys.storeKey())));
    }
    try {
      var _ =
          new HsmCalls(hsm)
              .call(
                  session -> SealingKeys.find(session, "the store", "store key", keys.storeKey()));
    } catch (SealingKeyException e) {
      throw new StartException(
          "the backup %s needs the token \"%s\" (serial %s, %s %s) or one with its keys, and the token here is \"%s\" (serial %s): %s"
              .formatted(
                  file.path(),
                  needs.label(),
                  needs.serial(),
                  needs.manufacturer(),
                  needs.model(),
                  hsm.tokenInfo().label(),
                  hsm.tokenInfo().serial(),
                  e.getMessage()),
          e);
    }
  }

  /** A master key that opens by the backup, and of which the token lacks keys. */
  public record Missing(UUID instance, SealingKeyGeneration generation, String why) {}

  private static List<Missing> missing(HsmCalls calls, Snapshot snapshot) {
    List<Missing> found = new ArrayList<>();
    for (var instance : snapshot.instances()) {
      for (var generation : instance.generations()) {
        if (generation.state().opens()) {
          try {
            var _ =
                calls.call(session -> {
                  KeyringFollower.requireOpens(session, instance, generation);
                  return true;
                });
          } catch (SealingKeyException e) {
            found.add(new Missing(instance.id(), generation, String.valueOf(e.getMessage())));
          }
        }
      }
    }
    return found;
  }

  /**
   * What a restore would do.
   *
   * @param remembered the generation that the token remembers as the last that granted or revoked
   *     something; 0 when it knows of none
   * @param comesBack all records
   * @param missing master keys that come back retired, because the token lacks their keys
   * @param setbacks should the store in place be replaced
   */
  public record Listing(
      Path file,
      BackupManifest manifest,
      long remembered,
      InPlace inPlace,
      Snapshot comesBack,
      List<Missing> missing,
      List<Setback> setbacks) {}

  /** Looks, and changes nothing. */
  public Listing listing() {
    var inPlace = restoration.inPlace();
    return new Listing(
        file.path(), file.manifest(), remembered, inPlace, comesBack, missing, setbacks(inPlace));
  }

  private List<Setback> setbacks(InPlace inPlace) {
    return switch (inPlace) {
      case InPlace.Nothing _, InPlace.Unreadable _ -> List.of();
      case InPlace.Present present -> {
        var now = clock.instant();
        yield Setback.between(
            present.snapshot(),
            comesBack.instances().stream().map(each -> withoutMissing(each, now)).toList(),
            comesBack.administrators());
      }
    };
  }

  /** Which API keys count at once. */
  public sealed interface Confirmed {
    /** Every one that counted when the backup was made. */
    record All() implements Confirmed {}

    /** Those with these ids or names. */
    record Named(Set<String> idsOrNames) implements Confirmed {}

    /** Whether this key counts. */
    default boolean holds(ApiKeyRecord key) {
      return switch (this) {
        case All _ -> key.disabled().isEmpty();
        case Named named ->
            named.idsOrNames().contains(key.id().toString())
                || named.idsOrNames().contains(key.name());
      };
    }
  }

  /**
   * A store that is there again.
   *
   * @param generation of it
   * @param disabled API keys that wait to be confirmed
   */
  public record Restored(long generation, List<ApiKeyRecord> disabled) {}

  /**
   * Restores, as one transaction that is recorded or not made.
   *
   * @param accepted the generation that the listing named
   * @param leave to lose the store that is there
   */
  public Restored restore(long accepted, Restoration.Leave leave, Confirmed confirmed) {
    var disabled = comesBack.apiKeys().stream().filter(key -> !confirmed.holds(key)).toList();
    boolean wrote = false;
    try {
      requireKnown(confirmed);
      requireActiveMasterKeys();
      wrote = writeKeys();
      var now = clock.instant();
      long generation =
          restoration.restore(
              backup,
              accepted,
              leave,
              now,
              new Restoration.Work() {
                @Override
                public void settle(Store.Change change) {
                  Restore.this.settle(change, now, confirmed);
                }

                @Override
                public void record(Store.Change change, List<Setback> setbacks) {
                  for (var told : told(setbacks)) {
                    audit.record(change, event(Optional.empty(), accepted, told));
                  }
                  audit.record(change, event(Optional.empty(), accepted, counts(disabled.size())));
                }
              });
      return new Restored(generation, disabled);
    } catch (RuntimeException e) {
      forgetKeys(wrote);
      audit.refused(event(Optional.of(String.valueOf(e.getMessage())), accepted, counts(0)), e);
      throw e;
    }
  }

  private AuditEvent event(Optional<String> refusal, long accepted, String consequence) {
    return events.event(
        "restore",
        file.path(),
        refusal,
        "generation %d of %s in place of what the token remembers as %d"
            .formatted(accepted, file.manifest().made(), remembered),
        Optional.of(consequence));
  }

  private String counts(int disabled) {
    return "%d grants, %d administrators, %d client CAs and %d API keys come back, %d of the keys disabled"
        .formatted(
            comesBack.grants().size(),
            comesBack.administrators().size(),
            comesBack.registries().stream().mapToInt(each -> each.entries().size()).sum(),
            comesBack.apiKeys().size(),
            disabled);
  }

  /** Each for an event of its own: a text of an event ends somewhere. */
  private List<String> told(List<Setback> setbacks) {
    List<String> told = new ArrayList<>();
    for (var setback : setbacks) {
      told.add(
          switch (setback) {
            case Setback.Dropped lost -> "master key %s is lost".formatted(lost.generation().id());
            case Setback.Reverted back ->
                "master key %s comes back %s, was %s"
                    .formatted(back.generation().id(), back.back(), back.generation().state());
            case Setback.Readmitted key ->
                "the administrator's key %s that comes back for %s of instance %s was %s"
                    .formatted(
                        key.back().fingerprint(),
                        key.back().subject().id(),
                        key.back().instance(),
                        key.inPlace()
                            .map(now -> "replaced by " + now.fingerprint())
                            .orElse("removed"));
          });
    }
    for (var each : comesBack.administrators()) {
      told.add(
          "administrator %s of instance %s comes back with key %s"
              .formatted(each.subject().id(), each.instance(), each.fingerprint()));
    }
    return told;
  }

  private void requireKnown(Confirmed confirmed) {
    if (confirmed instanceof Confirmed.Named(var idsOrNames)) {
      for (var each : idsOrNames) {
        if (comesBack.apiKeys().stream()
            .noneMatch(key -> new Confirmed.Named(Set.of(each)).holds(key))) {
          throw new StartException("there is no API key \"" + each + "\" in the backup");
        }
      }
    }
  }

  private void requireActiveMasterKeys() {
    missing.stream()
        .filter(each -> each.generation().state() == State.ACTIVE)
        .findFirst()
        .ifPresent(each -> {
          throw new StartException(
              "the token lacks keys of the active master key %s of instance %s (%s): no key blob of it would open. Restore the token's own backup first, or take a backup of the store that is newer"
                  .formatted(each.generation().id(), each.instance(), each.why()));
        });
  }

  /** The ids come first: a store beside which they are not there would not open. */
  private boolean writeKeys() {
    if (TokenKeys.exist(config.store())) {
      return false;
    }
    try {
      Files.createDirectories(
          config.store(),
          PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
      keys.write(config.store());
      return true;
    } catch (IOException e) {
      throw new StartException(config.store() + " cannot be written: " + IoCause.of(e), e);
    }
  }

  /** Ids beside which there is no store would stand in the way of a gateway that begins here. */
  private void forgetKeys(boolean wrote) {
    try {
      if (wrote && !Store.exists(config.database())) {
        TokenKeys.delete(config.store());
      }
    } catch (IOException | RuntimeException _) {
      // They are right, and a restore that is repeated finds them so.
    }
  }

  /** What is different in a store that comes back from the store that was backed up. */
  private void settle(Store.Change change, Instant time, Confirmed confirmed) {
    var snapshot = change.snapshot();
    // Who took them may have left since; an operator says which still count.
    for (var key : snapshot.apiKeys()) {
      var now =
          confirmed.holds(key)
              ? Optional.<Instant>empty()
              : key.disabled().or(() -> Optional.of(time));
      if (!now.equals(key.disabled())) {
        change.replace(key.disabled(now));
      }
    }
    // A code that was used up or withdrawn since would be good once more.
    snapshot.enrolments().forEach(change::remove);
    // Those gateways do not serve by this store.
    snapshot.replicas().forEach(change::remove);
    for (var registry : snapshot.registries()) {
      // A signed command names the registry's generation. This one is higher than any that there
      // ever was, so none that was signed since the backup can be carried out once more.
      change.replace(
          new RegistryRecord(registry.instance(), snapshot.generation(), registry.entries()));
    }
    for (var instance : snapshot.instances()) {
      for (var generation : instance.generations()) {
        if (generation.state().opens()) {
          // What was used since is not known; retiring judges by the last use.
          change.add(new SealingKeyUse(instance.id(), generation.id(), 0, time));
        }
      }
      var settled = withoutMissing(instance, time);
      if (!settled.equals(instance)) {
        change.replace(settled);
      }
    }
  }

  /** Retired, not destroyed: should the keys turn up again, they can be reinstated. */
  private InstanceRecord withoutMissing(InstanceRecord instance, Instant now) {
    var changed = instance;
    for (var each : missing) {
      if (each.instance().equals(instance.id())) {
        changed = changed.with(each.generation().in(State.RETIRED, now));
      }
    }
    return changed;
  }

  @Override
  public void close() {
    file.close();
    hsm.close();
  }
}
