package dev.grep11.gateway.host;

import static java.util.stream.Collectors.toUnmodifiableSet;

import dev.grep11.gateway.audit.AuditVerification;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.config.IoCause;
import dev.grep11.gateway.hsm.Cryptoki;
import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.Lane;
import dev.grep11.gateway.hsm.LaneSettings;
import dev.grep11.gateway.hsm.NativeCryptoki;
import dev.grep11.gateway.iam.GrantRegister;
import dev.grep11.gateway.iam.IssuerSettings;
import dev.grep11.gateway.iam.Roles;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.KeystoreRecord;
import dev.grep11.gateway.store.SealingKeyGeneration;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.StoreException;
import dev.grep11.gateway.token.HsmCalls;
import dev.grep11.gateway.token.HsmCheckpointMac;
import dev.grep11.gateway.token.HsmEnvelope;
import dev.grep11.gateway.token.StartException;
import dev.grep11.gateway.token.TokenAnchor;
import dev.grep11.gateway.token.TokenKeys;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.time.InstantSource;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.LongConsumer;

/**
 * What commands on the host work on: the token and the store of a gateway, which may be running
 * meanwhile. No port is opened.
 */
public final class Host implements AutoCloseable {
  private final GatewayConfig config;
  private final Hsm hsm;
  private final Store store;

  private Host(GatewayConfig config, Hsm hsm, Store store) {
    this.config = config;
    this.hsm = hsm;
    this.store = store;
  }

  /** Opens the token and the store as they are. */
  public static Host open(GatewayConfig config) {
    return open(config, false);
  }

  /** As {@link #open}, and begins token keys and store where neither is there yet. */
  public static Host openOrBegin(GatewayConfig config) {
    return open(config, true);
  }

  /** The token as commands use it, which do one thing at a time. */
  public static Hsm openToken(GatewayConfig config) {
    return openToken(NativeCryptoki.load(config.hsm().module()), config);
  }

  /** As {@link #openToken(GatewayConfig)}, over functions of the module that are loaded already. */
  public static Hsm openToken(Cryptoki cryptoki, GatewayConfig config) {
    var settings = config.hsm();
    for (var lane : Lane.values()) {
      var standard = settings.lane(lane);
      settings =
          settings.withLane(lane, new LaneSettings(1, standard.perCaller(), standard.queued()));
    }
    return Hsm.open(cryptoki, settings);
  }

  private static Host open(GatewayConfig config, boolean begin) {
    var directory = config.store();
    var hsm = openToken(config);
    try {
      var calls = new HsmCalls(hsm);
      if (begin && !TokenKeys.exist(directory) && !Store.exists(config.database())) {
        return new Host(config, hsm, begin(calls, config));
      }
      return new Host(config, hsm, StartSteps.openStore(config, calls));
    } catch (RuntimeException e) {
      hsm.close();
      throw e;
    }
  }

  private static Store begin(HsmCalls calls, GatewayConfig config) {
    var directory = config.store();
    try {
      Files.createDirectories(
          directory,
          PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
      var keys = calls.call(TokenKeys::create);
      keys.write(directory);
      try {
        return Store.create(
            config.database(), new HsmEnvelope(calls, keys), new TokenAnchor(calls, keys));
      } catch (StoreException e) {
        // Ids beside which there is no store would stand in the way of the next attempt.
        TokenKeys.delete(directory);
        throw e;
      }
    } catch (IOException e) {
      throw new StartException(
          "store.directory %s cannot be written: %s; name a directory where the gateway's user may make files"
              .formatted(directory, IoCause.of(e)),
          e);
    }
  }

  public Store store() {
    return store;
  }

  /** The generations of sealing keys of its instances. */
  public MasterKeys masterKeys() {
    return new MasterKeys(
        hsm,
        store,
        config.quarantine(),
        HostAudit.of(config.audit(), checkpointMac()),
        InstantSource.system(),
        MasterKeys.LONGEST_WAIT);
  }

  /** Backups of its store. */
  public Backups backups() {
    return new Backups(
        config,
        hsm,
        store,
        StartSteps.envelope(config, new HsmCalls(hsm)),
        TokenKeys.read(config.store()),
        HostAudit.of(config.audit(), checkpointMac()),
        InstantSource.system());
  }

  private HsmCheckpointMac checkpointMac() {
    return new HsmCheckpointMac(StartSteps.envelope(config, new HsmCalls(hsm)));
  }

  /** The certificate administrators of its instances. */
  public Administrators administrators() {
    return new Administrators(
        store,
        HostAudit.of(config.audit(), checkpointMac()),
        Roles.standard(),
        config.issuers().stream()
            .filter(issuer -> issuer.rolesClaim().isPresent())
            .map(IssuerSettings::issuer)
            .collect(toUnmodifiableSet()),
        InstantSource.system());
  }

  /**
   * Looks at an audit file with the token and the store.
   *
   * @param progress is told the number of lines read, from time to time
   */
  public AuditVerification.Report verifyAudit(Path file, LongConsumer progress) throws IOException {
    // Read first: what the store knows now is in the file now.
    var known = AuditHeads.known(store.snapshot());
    return AuditVerification.verify(file, Optional.of(checkpointMac()), known, progress);
  }

  /** Who may use what in its instances; each change is recorded. */
  public Access access() {
    return new Access(
        store,
        HostAudit.of(config.audit(), checkpointMac()),
        new GrantRegister(store, Roles.standard()),
        InstantSource.system());
  }

  /**
   * Makes sealing keys in the token, and the records of an instance with an empty registry of
   * client CAs. Recorded like every change by an operator.
   *
   * @throws StartException when there is such an instance already, or it cannot be recorded
   */
  public InstanceRecord createInstance(UUID id, String name, String account, String location) {
    var access = access();
    if (store.findInstance(id).isPresent()) {
      throw access.refused(new InstanceRecord(id, name, account, location, List.of()));
    }
    return makeInstance(id, name, account, location, access::add);
  }

  /** As {@link #createInstance}, of a demo that is being made: nobody is served from it yet. */
  public InstanceRecord createUnrecordedInstance(
      UUID id, String name, String account, String location) {
    return makeInstance(
        id,
        name,
        account,
        location,
        instance -> {
          if (!store.createInstance(instance)) {
            throw Access.taken(instance);
          }
        });
  }

  private InstanceRecord makeInstance(
      UUID id, String name, String account, String location, Consumer<InstanceRecord> add) {
    Function<SealingKeyGeneration, InstanceRecord> instance =
        first -> new InstanceRecord(id, name, account, location, List.of(first));
    return instance.apply(
        NewGeneration.make(
            hsm,
            store,
            id,
            SealingKeyGeneration.State.ACTIVE,
            Instant.now(),
            first -> add.accept(instance.apply(first))));
  }

  /**
   * Makes an empty keystore without a password.
   *
   * @return false when there is one with this id already
   */
  public boolean createKeystore(UUID instance, UUID id, String name) {
    var made = KeystoreRecord.empty(instance, id, name, Instant.now(), Optional.empty());
    return store
        .keystores()
        .change(instance, change -> change.find(id).isEmpty() && change.add(made));
  }

  @Override
  public void close() {
    store.close();
    hsm.close();
  }
}
