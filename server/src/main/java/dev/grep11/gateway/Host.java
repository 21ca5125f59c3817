package dev.grep11.gateway;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.Lane;
import dev.grep11.gateway.hsm.LaneSettings;
import dev.grep11.gateway.key.SealingKeys;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.SealingKeyGeneration;
import dev.grep11.gateway.store.Store;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.time.InstantSource;
import java.util.List;
import java.util.UUID;

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
  static Hsm openToken(GatewayConfig config) {
    var settings = config.hsm();
    for (var lane : Lane.values()) {
      var standard = settings.lane(lane);
      settings =
          settings.withLane(lane, new LaneSettings(1, standard.perCaller(), standard.queued()));
    }
    return Hsm.open(settings);
  }

  private static Host open(GatewayConfig config, boolean begin) {
    var directory = config.store();
    var hsm = openToken(config);
    try {
      var calls = new HsmCalls(hsm);
      if (begin && !TokenKeys.exist(directory) && !Store.exists(directory)) {
        return new Host(config, hsm, begin(calls, directory));
      }
      return new Host(config, hsm, StartSteps.openStore(config, calls));
    } catch (RuntimeException e) {
      hsm.close();
      throw e;
    }
  }

  private static Store begin(HsmCalls calls, Path directory) {
    try {
      Files.createDirectories(
          directory,
          PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
      var keys = calls.call(TokenKeys::create);
      keys.write(directory);
      return Store.create(directory, new HsmEnvelope(calls, keys), new TokenAnchor(calls, keys));
    } catch (IOException e) {
      throw new StartException(directory + " cannot be written: " + e.getMessage(), e);
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
        MasterKeyAudit.of(config.audit()),
        InstantSource.system(),
        MasterKeys.LONGEST_WAIT);
  }

  /**
   * Makes sealing keys in the token, and the records of an instance with an empty registry of
   * client CAs.
   *
   * @throws StartException when there is such an instance already
   */
  public InstanceRecord createInstance(UUID id, String name, String account, String location) {
    if (store.findInstance(id).isPresent()) {
      throw new StartException("there is an instance " + id + " already");
    }
    SealingKeys.requireMechanisms(hsm.mechanisms().keySet());
    var made = new HsmCalls(hsm).call(session -> SealingKeys.create(session, id));
    var instance =
        new InstanceRecord(
            id,
            name,
            account,
            location,
            List.of(
                new SealingKeyGeneration(
                    made.masterKeyId(),
                    SealingKeyGeneration.State.ACTIVE,
                    made.kekN(),
                    made.kekX(),
                    made.macKey(),
                    made.valueKey(),
                    made.root(),
                    Instant.now())));
    if (!store.createInstance(instance)) {
      throw new StartException("there is an instance " + id + " already");
    }
    return instance;
  }

  @Override
  public void close() {
    store.close();
    hsm.close();
  }
}
