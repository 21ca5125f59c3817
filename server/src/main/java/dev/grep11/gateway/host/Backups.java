package dev.grep11.gateway.host;

import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.config.IoCause;
import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.store.BackupFile;
import dev.grep11.gateway.store.BackupManifest;
import dev.grep11.gateway.store.Envelope;
import dev.grep11.gateway.store.GenerationAnchor;
import dev.grep11.gateway.store.Restoration;
import dev.grep11.gateway.store.Snapshot;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.StoreException;
import dev.grep11.gateway.store.StoreLocation;
import dev.grep11.gateway.store.UncertainChangeException;
import dev.grep11.gateway.store.UpkeepRecord;
import dev.grep11.gateway.token.HsmCalls;
import dev.grep11.gateway.token.HsmEnvelope;
import dev.grep11.gateway.token.RestoredKeys;
import dev.grep11.gateway.token.SampleBlobs;
import dev.grep11.gateway.token.StartException;
import dev.grep11.gateway.token.TokenKeys;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.time.Instant;
import java.time.InstantSource;
import java.util.HexFormat;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/** Backups of the store and their trial, beside gateways that serve. */
public final class Backups {
  private static final int MOST_RECORDED = 200;

  private final GatewayConfig config;
  private final Hsm hsm;
  private final Store store;
  private final Envelope envelope;
  private final TokenKeys keys;
  private final HostAudit audit;
  private final StoreEvents events;
  private final InstantSource clock;
  private final Optional<Path> configFile;

  Backups(
      GatewayConfig config,
      Hsm hsm,
      Store store,
      Envelope envelope,
      TokenKeys keys,
      HostAudit audit,
      InstantSource clock) {
    this(config, hsm, store, envelope, keys, audit, clock, Optional.empty());
  }

  /**
   * @param configFile of the same configuration, for trials on copies of the token
   */
  private Backups(
      GatewayConfig config,
      Hsm hsm,
      Store store,
      Envelope envelope,
      TokenKeys keys,
      HostAudit audit,
      InstantSource clock,
      Optional<Path> configFile) {
    this.config = config;
    this.hsm = hsm;
    this.store = store;
    this.envelope = envelope;
    this.keys = keys;
    this.audit = audit;
    this.events = new StoreEvents(hex(keys.storeKey()), clock);
    this.clock = clock;
    this.configFile = configFile;
  }

  /**
   * The same, whose trials are on a copy of the token too where it allows one.
   *
   * @param file that the configuration was read from
   */
  public Backups withTokenCopies(Path file) {
    return new Backups(config, hsm, store, envelope, keys, audit, clock, Optional.of(file));
  }

  /**
   * A backup that is in its place.
   *
   * @param bytes its length
   * @param samples how many key blobs were made for it, to be opened by {@link #rehearse}
   */
  public record Made(Path file, BackupManifest manifest, long bytes, int samples) {}

  /**
   * Writes a backup of the store as it is at one moment.
   *
   * @param overwrite whether a file that is there may be lost
   * @throws StartException when it cannot be recorded. It is taken back then, and a file that it
   *     was to replace is as it was; unless the record failed at the very last, as the message says
   */
  public Made backUp(Path to, boolean overwrite) {
    var now = clock.instant();
    var samples = new SampleBlobs(hsm, privateObjects(config, hsm), config.softwareFallback());
    try (var made = store.backUp(to, overwrite, envelope, token(), now, samples::of)) {
      var manifest = made.manifest();
      var what = "a backup of generation %d".formatted(manifest.generation());
      try {
        audit.change(
            store,
            change -> {
              if (!overwrite) {
                // Before it is recorded, so that the record is true: it can be taken back.
                made.publish(false);
              }
              change.put(
                  new UpkeepRecord(
                      UpkeepRecord.Kind.BACKUP,
                      now,
                      recorded(made.target()),
                      manifest.generation()));
              return events.event("backup", to, Optional.empty(), what, Optional.empty());
            },
            () -> {
              if (overwrite) {
                // Once it is recorded: the backup that it replaces cannot be had back.
                made.publish(true);
              }
            },
            why -> events.event("backup", to, Optional.of(why), what, Optional.empty()));
      } catch (RuntimeException e) {
        if (made.published() && (overwrite || e instanceof UncertainChangeException)) {
          throw new StartException(
              "%s is a whole backup and stays there, but the store may not know of it: %s"
                  .formatted(made.target(), e.getMessage()),
              e);
        }
        made.withdraw();
        throw e;
      }
      return new Made(made.target(), manifest, Files.size(made.target()), made.samples());
    } catch (IOException e) {
      throw new StartException(to + " cannot be read: " + IoCause.of(e), e);
    }
  }

  private static boolean privateObjects(GatewayConfig config, Hsm hsm) {
    return config.privateObjects() || !hsm.publicSessionObjects();
  }

  private BackupManifest.Token token() {
    var info = hsm.tokenInfo();
    return new BackupManifest.Token(
        info.label(),
        info.serial(),
        info.manufacturer(),
        info.model(),
        hex(keys.storeKey()),
        hex(keys.signingKey()));
  }

  static String hex(byte[] id) {
    return HexFormat.of().formatHex(id);
  }

  /** Where a file is, if a record takes that. */
  private static String recorded(Path file) {
    var path = file.toAbsolutePath().normalize().toString();
    var name = String.valueOf(file.getFileName());
    return path.length() <= MOST_RECORDED && path.codePoints().noneMatch(Character::isISOControl)
        ? path
        : name.substring(0, Math.min(name.length(), MOST_RECORDED));
  }

  /**
   * A trial that went well.
   *
   * @param samples how many of those that came with the backup were opened; empty when it was made
   *     by a program that made none
   * @param onCopy whether it went well on a copy of the token too
   * @param uncounted why it is not the last rehearsal from now on; empty when it is
   */
  public record Rehearsed(
      Path file,
      BackupManifest manifest,
      Instant time,
      RestoredKeys.Findings findings,
      Optional<Integer> samples,
      Optional<RestoredKeys.Worked> blob,
      boolean onCopy,
      Optional<String> uncounted) {}

  /**
   * Tries the backup that was recorded last, as {@link #rehearse}.
   *
   * @throws StartException also when there is none, or it is not where it was put
   */
  public Rehearsed rehearseLatest(Optional<byte[]> blob, Optional<Path> scratch) {
    var last =
        store
            .snapshot()
            .last(UpkeepRecord.Kind.BACKUP)
            .orElseThrow(() ->
                new StartException(
                    "no backup of this store is recorded; make one by: grep11 backup, or name a file by --from"));
    var file = Path.of(last.file());
    if (!file.isAbsolute()) {
      throw new StartException(
          "of the last backup, of %s, the name \"%s\" is recorded and no directory; name the file by --from"
              .formatted(last.time(), last.file()));
    }
    return rehearse(file, Optional.of(last), blob, scratch);
  }

  /**
   * A file may have been replaced, by an older one too, and on another host there may be another.
   */
  private static void requireIs(BackupFile backup, UpkeepRecord last) {
    var manifest = backup.manifest();
    if (manifest.generation() != last.generation() || !manifest.time().equals(last.time())) {
      throw new StartException(
          "%s is not the last backup that is recorded, of %s (generation %d), but one of %s (generation %d); bring that one back, or name a file by --from"
              .formatted(
                  backup.path(),
                  last.time(),
                  last.generation(),
                  manifest.time(),
                  manifest.generation()));
    }
  }

  /**
   * Restores a backup into a store that is removed again, and uses what it holds with the token. No
   * object of the token is made or changed, its anchor neither.
   *
   * @param blob a client's key blob that is to work besides
   * @param scratch where there is room for the store that is removed again; without it beside the
   *     gateway's own on SQLite, else the directory for temporary files
   * @throws StartException naming what does not work
   */
  public Rehearsed rehearse(Path from, Optional<byte[]> blob, Optional<Path> scratch) {
    return rehearse(from, Optional.empty(), blob, scratch);
  }

  private Rehearsed rehearse(
      Path from, Optional<UpkeepRecord> last, Optional<byte[]> blob, Optional<Path> scratch) {
    var what = "a backup was restored on trial";
    try (var backup = BackupFile.open(from)) {
      last.ifPresent(record -> requireIs(backup, record));
      Restore.requireToken(hsm, backup, keys);
      var verified = backup.verify(envelope);
      var place = scratch.orElseGet(this::roomiest);
      var tried = tried(hsm, config, envelope, clock, verified, blob, place);
      boolean onCopy = triedOnCopy(from, place);
      var time = clock.instant();
      var manifest = backup.manifest();
      var uncounted = new AtomicReference<Optional<String>>(Optional.empty());
      audit.change(
          store,
          change -> {
            uncounted.set(uncounted(tried, manifest, change.snapshot()));
            if (uncounted.get().isEmpty()) {
              change.put(
                  new UpkeepRecord(
                      UpkeepRecord.Kind.REHEARSAL, time, recorded(from), manifest.generation()));
            }
            return events.event(
                "rehearse",
                from,
                Optional.empty(),
                what,
                uncounted.get().map(why -> "it is not the last rehearsal: " + why));
          },
          why -> events.event("rehearse", from, Optional.of(why), what, Optional.empty()));
      return new Rehearsed(
          from,
          manifest,
          time,
          tried.findings(),
          tried.samples(),
          tried.blob(),
          onCopy,
          uncounted.get());
    } catch (RuntimeException e) {
      var why = Optional.of(String.valueOf(e.getMessage()));
      audit.refused(
          events.event("rehearse", from, why, what, Optional.of("it is not known to be good")), e);
      throw e;
    }
  }

  private record Tried(
      RestoredKeys.Findings findings,
      Optional<Integer> samples,
      Optional<RestoredKeys.Worked> blob) {}

  /** Why a trial that went well proves too little to be the last one. */
  private static Optional<String> uncounted(
      Tried tried, BackupManifest manifest, Snapshot snapshot) {
    if (tried.samples().isEmpty()) {
      return Optional.of("the backup holds no samples to open; take another one");
    }
    // By the generation, which each backup raises, and not by the clocks of several hosts.
    return snapshot
        .last(UpkeepRecord.Kind.BACKUP)
        .filter(last -> last.generation() > manifest.generation())
        .map(last ->
            "there is a later backup, %s of %s (generation %d)"
                .formatted(last.file(), last.time(), last.generation()));
  }

  /** A directory for temporary files is often in memory, and small: 64 MiB in our image. */
  private Path roomiest() {
    return switch (config.database()) {
      case StoreLocation.Directory(var directory) -> directory;
      case StoreLocation.Postgresql _ -> Path.of(System.getProperty("java.io.tmpdir"));
    };
  }

  /** False where the token allows no copy. */
  private boolean triedOnCopy(Path from, Path place) {
    var copy = configFile.flatMap(_ -> TokenCopy.of(config, hsm.tokenInfo()));
    if (copy.isEmpty()) {
      return false;
    }
    return inScratch(
        place,
        scratch -> {
          var _ = copy.get().rehearse(configFile.orElseThrow(), from, scratch);
          return true;
        });
  }

  /**
   * What a trial does with one token, and nothing is recorded of.
   *
   * @return how many samples were opened
   */
  static int rehearseOn(Hsm hsm, GatewayConfig config, Path from, Path place) {
    var keys = TokenKeys.read(config.store());
    var envelope = new HsmEnvelope(new HsmCalls(hsm), keys);
    try (var backup = BackupFile.open(from)) {
      Restore.requireToken(hsm, backup, keys);
      var verified = backup.verify(envelope);
      var clock = InstantSource.system();
      return tried(hsm, config, envelope, clock, verified, Optional.empty(), place)
          .samples()
          .orElse(0);
    }
  }

  private static Tried tried(
      Hsm hsm,
      GatewayConfig config,
      Envelope envelope,
      InstantSource clock,
      BackupFile.Verified backup,
      Optional<byte[]> blob,
      Path place) {
    return inScratch(
        place,
        scratch -> {
          try (var restored =
              restored(backup, envelope, clock, scratch.directory().resolve("store"), place)) {
            var proof =
                new RestoredKeys(
                    hsm, restored, privateObjects(config, hsm), config.softwareFallback());
            return new Tried(
                proof.prove(), backup.samples().map(proof::prove), blob.map(proof::prove));
          }
        });
  }

  private interface Trial<T> {
    T run(Scratch scratch) throws IOException;
  }

  /** What is in it is sealed as the store is, and the token's files by its PIN. */
  private static <T> T inScratch(Path place, Trial<T> trial) {
    try (var scratch = Scratch.in(place)) {
      return trial.run(scratch);
    } catch (IOException e) {
      throw noScratch(place, IoCause.of(e), e);
    }
  }

  private static Store restored(
      BackupFile.Verified backup,
      Envelope envelope,
      InstantSource clock,
      Path directory,
      Path place) {
    var location = new StoreLocation.Directory(directory);
    var anchor = new ScratchAnchor();
    try {
      var _ =
          new Restoration(location, envelope, anchor)
              .restore(
                  backup,
                  backup.manifest().generation(),
                  Restoration.Leave.NONE,
                  clock.instant(),
                  _ -> {});
      return Store.open(location, envelope, anchor);
    } catch (StoreException e) {
      // The backup itself was verified: what SQLite or the file system says is of the place.
      if (e.getCause() instanceof SQLException || e.getCause() instanceof IOException) {
        throw noScratch(place, e.getCause().getMessage(), e);
      }
      throw e;
    }
  }

  private static StartException noScratch(Path place, @Nullable String why, Exception cause) {
    return new StartException(
        "no backup can be restored on trial in %s: %s; it takes as much room there as the store: make some, or name another directory by --scratch"
            .formatted(place, why),
        cause);
  }

  /** Of a store that lives as long as a trial. */
  private static final class ScratchAnchor implements GenerationAnchor {
    private final AtomicLong highest = new AtomicLong();

    @Override
    public long highest() {
      return highest.get();
    }

    @Override
    public void advance(long generation) {
      highest.accumulateAndGet(generation, Math::max);
    }

    @Override
    public String name() {
      return "anchor of a scratch store";
    }
  }
}
