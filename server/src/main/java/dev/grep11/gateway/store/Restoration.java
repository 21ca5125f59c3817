package dev.grep11.gateway.store;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.DataInputStream;
import java.io.IOException;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.UnaryOperator;

/**
 * Puts a backup in the place of a store that is lost, as one transaction: whatever happens, the
 * database then holds what it held, or all of the backup.
 *
 * <p>This is the one way past the check for an older store ({@link Store#open}), and an open one:
 * the restored store has a generation above all that the anchor knows and any store ever counted,
 * so the store that was lost is the older one from then on, should it turn up. Gateways that still
 * run by it find that this one is not theirs ({@link RowSeal#RESTORE_LENGTH}) and refuse
 * everything. Not safe for use by several threads.
 */
public final class Restoration {
  private static final byte[] SAMPLE = "grep11-gateway restore v1".getBytes(UTF_8);

  private final Database database;
  private final Envelope envelope;
  private final GenerationAnchor anchor;
  private final UnaryOperator<Connection> connections;

  public Restoration(StoreLocation location, Envelope envelope, GenerationAnchor anchor) {
    this(location, envelope, anchor, UnaryOperator.identity());
  }

  /**
   * @param connections put around each, so that a test can make one fail
   */
  Restoration(
      StoreLocation location,
      Envelope envelope,
      GenerationAnchor anchor,
      UnaryOperator<Connection> connections) {
    this.database = Database.at(location);
    this.envelope = envelope;
    this.anchor = anchor;
    this.connections = connections;
  }

  /** What a backup would take the place of. */
  public sealed interface InPlace {
    /** There is no store. */
    record Nothing() implements InPlace {}

    /**
     * A store that opens, be it the newest or not.
     *
     * @param granted the generation that last granted or revoked something
     */
    record Present(Snapshot snapshot, long granted) implements InPlace {
      /**
       * Whether nobody is served by it: no instance, API key or grant is in it now. That there
       * never was one is not known.
       */
      public boolean servesNobody() {
        return snapshot.instances().isEmpty()
            && snapshot.apiKeys().isEmpty()
            && snapshot.grants().isEmpty();
      }
    }

    /**
     * A database that is no store of this gateway, or not as a gateway wrote it. It may be another
     * gateway's, and nobody can tell whether that serves by it: it is never replaced.
     *
     * @param why it does not open
     */
    record Unreadable(String why) implements InPlace {}
  }

  /**
   * Leave to lose the store in place, if it opens.
   *
   * @param replace whether it may be lost at all
   * @param dropped ids of master keys that may be lost with it
   * @param reverted ids of master keys that may come back in another state
   * @param readmitted fingerprints of administrators' keys that may count again
   */
  public record Leave(
      boolean replace, Set<String> dropped, Set<String> reverted, Set<String> readmitted) {
    /** Nothing may be lost. */
    public static final Leave NONE = new Leave(false, Set.of(), Set.of(), Set.of());

    public Leave {
      dropped = Set.copyOf(dropped);
      reverted = Set.copyOf(reverted);
      readmitted = Set.copyOf(readmitted);
    }

    private boolean covers(Setback setback) {
      return switch (setback) {
        case Setback.Dropped lost -> dropped.contains(lost.generation().id());
        case Setback.Reverted back -> reverted.contains(back.generation().id());
        case Setback.Readmitted key -> readmitted.contains(key.back().fingerprint());
      };
    }
  }

  /** What is done within a restore. What it throws leaves everything as it was. */
  public interface Work {
    /** Changes what comes back before it counts. */
    void settle(Store.Change change);

    /**
     * Comes last, when nothing is in the way of the restore any more.
     *
     * @param setbacks each of which leave was given for
     */
    default void record(Store.Change change, List<Setback> setbacks) {}
  }

  /** The generation that the token remembers of this store; 0 when it knows of none. */
  public long remembered() {
    return Store.kept(anchor);
  }

  /**
   * Looks, and changes nothing.
   *
   * @throws StoreException when it cannot be told, as when the database server is away
   */
  public InPlace inPlace() {
    try {
      if (!database.exists()) {
        return new InPlace.Nothing();
      }
      database.check();
      try (Connection connection = database.longReader()) {
        return inPlace(connection);
      }
    } catch (IOException | SQLException e) {
      throw failed(e);
    }
  }

  private InPlace inPlace(Connection connection) throws SQLException {
    byte[] sealed;
    try {
      sealed = Store.readDataKey(connection);
    } catch (StoreTamperedException e) {
      return new InPlace.Unreadable(String.valueOf(e.getMessage()));
    }
    byte[] keys;
    try {
      keys = opened(sealed);
    } catch (StoreException e) {
      throw e;
    } catch (RuntimeException e) {
      return new InPlace.Unreadable(
          "its data key does not open with this token: " + e.getMessage());
    }
    try {
      var found = Store.readVerified(connection, new RowSeal(keys));
      return new InPlace.Present(found.snapshot(), found.anchored());
    } catch (StoreException e) {
      return new InPlace.Unreadable(String.valueOf(e.getMessage()));
    } finally {
      Arrays.fill(keys, (byte) 0);
    }
  }

  /** A token that is away for a moment must not make a store look like one that may be lost. */
  private byte[] opened(byte[] sealedKeys) {
    try {
      return envelope.open(sealedKeys, Store.DATA_KEY_CONTEXT);
    } catch (RuntimeException e) {
      requireToken();
      return envelope.open(sealedKeys, Store.DATA_KEY_CONTEXT);
    }
  }

  private void requireToken() {
    byte[] sample = {1};
    try {
      if (Arrays.equals(sample, envelope.open(envelope.seal(sample, SAMPLE), SAMPLE))) {
        return;
      }
    } catch (RuntimeException e) {
      throw new StoreException(
          "the token is not there to judge the store that is in place, nothing was changed: "
              + e.getMessage(),
          e);
    }
    throw new StoreException("the token does not open what it sealed, nothing was changed");
  }

  /**
   * Restores, and on return the anchor knows of it.
   *
   * @param backup that was verified
   * @param accepted the generation of the backup, named by who has seen what comes back with it
   * @param leave to lose the store that is there
   * @param now to judge by whether gateways serve by the store that is there; the generation of the
   *     restored store is above its milliseconds since 1970
   * @return the generation of the restored store
   * @throws UncertainChangeException when it is not known whether the store was restored
   * @throws StoreException when nothing was changed; or, as its message then says, when the store
   *     is restored and could not be anchored
   */
  public long restore(
      BackupFile.Verified backup, long accepted, Leave leave, Instant now, Work work) {
    if (accepted != backup.manifest().generation()) {
      throw new StoreException(
          "the backup is of generation %d, and %d was accepted: look at what would come back, and name the generation that is told there"
              .formatted(backup.manifest().generation(), accepted));
    }
    long[] generation = new long[1];
    try {
      if (database.exists()) {
        database.check();
        try (Connection connection = connections.apply(database.soleWriter())) {
          Schema.migrate(connection, database);
          var present = requireReplaceable(connection, leave, now);
          clear(connection);
          generation[0] = fill(connection, backup, present, leave, now, work);
          database.commit(connection);
        }
      } else {
        database.create(connection ->
            generation[0] = fillNew(connections.apply(connection), backup, leave, now, work));
      }
    } catch (IOException | SQLException e) {
      // Once everything is filled in, only the commit is left.
      throw generation[0] == 0 ? failed(e) : uncertain(e);
    }
    try {
      anchor.advance(generation[0]);
    } catch (RuntimeException e) {
      throw new StoreException(
          "the store is restored, but the token does not remember its generation %d (%s): the next opening tells it; until then the store that was lost would still be taken for the newest"
              .formatted(generation[0], e.getMessage()),
          e);
    }
    return generation[0];
  }

  private StoreException failed(Exception cause) {
    return new StoreException(
        "the store in %s cannot be restored, nothing was changed: %s"
            .formatted(database, cause.getMessage()),
        cause);
  }

  private UncertainChangeException uncertain(Exception cause) {
    return new UncertainChangeException(
        "it is not known whether the store in %s was restored; look whether it opens before you repeat it: %s"
            .formatted(database, cause.getMessage()),
        cause);
  }

  /** Within the transaction, so that no gateway begins to serve by it meanwhile. */
  private Snapshot requireReplaceable(Connection connection, Leave leave, Instant now)
      throws SQLException {
    return switch (inPlace(connection)) {
      case InPlace.Nothing _ -> Snapshot.EMPTY;
      case InPlace.Unreadable(String why) ->
          throw new StoreException(
              "the store in %s does not open, and such a one is never replaced: it may be another gateway's, which may be serving by it (%s). Restore into another, empty database; or, once it is certain whose it is and that nobody needs it, move it away by hand"
                  .formatted(database, why));
      case InPlace.Present present -> {
        var live = present.snapshot().live(now);
        if (!live.isEmpty()) {
          throw new StoreException(
              "a gateway is serving by the store in %s: %s. Stop every gateway first; one that was killed counts until the time that is told"
                  .formatted(
                      database,
                      String.join(
                          ", ",
                          live.stream()
                              .map(each -> "%s until %s".formatted(each.name(), each.until()))
                              .toList())));
        }
        if (!leave.replace() && !present.servesNobody()) {
          throw new StoreException(
              "there is a store of generation %d that opens in %s: it is left as it is. Give --replace if it may be lost with all that came into it since the backup, or restore into another place"
                  .formatted(present.snapshot().generation(), database));
        }
        yield present.snapshot();
      }
    };
  }

  /**
   * Blobs that clients hold cannot be had back by anybody once their master key is gone, and an
   * administrator's key may have been replaced because somebody else has it.
   */
  private void requireLeave(List<Setback> setbacks, Leave leave) {
    var missing =
        setbacks.stream()
            .filter(setback -> !leave.covers(setback))
            .map(setback ->
                switch (setback) {
                  case Setback.Dropped lost ->
                      "%s (%s) would be lost, and with it every key blob sealed under it; if that may be: --drop-masterkey %1$s"
                          .formatted(lost.generation().id(), lost.generation().state());
                  case Setback.Reverted back ->
                      "%s is %s and would come back %s; if that may be: --revert-masterkey %1$s"
                          .formatted(
                              back.generation().id(), back.generation().state(), back.back());
                  case Setback.Readmitted key ->
                      "the key of the certificate administrator %s of instance %s was %s since, and would count again; if that may be: --readmit-administrator %s"
                          .formatted(
                              Text.shown("subject", key.back().subject().id()),
                              key.back().instance(),
                              key.inPlace().isPresent() ? "replaced" : "removed",
                              key.back().fingerprint());
                })
            .toList();
    if (!missing.isEmpty()) {
      throw new StoreException(
          "the store in %s knows more than the backup, and is left as it is. %s"
              .formatted(database, String.join(". ", missing)));
    }
  }

  private static void clear(Connection connection) throws SQLException {
    for (var table : BackedUp.TABLES) {
      Sql.update(connection, "DELETE FROM " + table.name(), List.of());
    }
    Sql.update(connection, "DELETE FROM head", List.of());
    Sql.update(connection, "DELETE FROM data_key", List.of());
  }

  private long fillNew(
      Connection connection, BackupFile.Verified backup, Leave leave, Instant now, Work work)
      throws SQLException {
    Schema.migrate(connection, database);
    return fill(connection, backup, Snapshot.EMPTY, leave, now, work);
  }

  private long fill(
      Connection connection,
      BackupFile.Verified backup,
      Snapshot present,
      Leave leave,
      Instant now,
      Work work)
      throws SQLException {
    // In the only writing transaction there is: nobody with this database is ahead of it.
    long known =
        Math.max(Math.max(remembered(), present.generation()), backup.manifest().generation());
    // A token that was restored too does not remember how far the lost store counted, and what was
    // signed for a number of that one must not be good once more. No store makes a thousand changes
    // a second for long, so the clock is ahead of every one.
    long above = Math.max(known, now.toEpochMilli());
    var copying = new Copying(envelope, connection);
    backup.read(copying);
    var verified = copying.verified();
    byte[] keys = RowSeal.restored(copying.opened().keys());
    var seal = new RowSeal(keys);
    byte[] sealedKeys = envelope.seal(keys, Store.DATA_KEY_CONTEXT);
    Arrays.fill(keys, (byte) 0);
    var change =
        new Store.Change(
            connection, seal, new Store.Verified(above, verified.anchored(), verified.rows()));
    work.settle(change);
    var setbacks =
        Setback.between(present, change.snapshot().instances(), change.snapshot().administrators());
    requireLeave(setbacks, leave);
    work.record(change, setbacks);
    var head = change.head();
    long generation = head.generation();
    Sql.update(connection, "INSERT INTO data_key (id, sealed) VALUES (1, ?)", List.of(sealedKeys));
    // What comes back grants something, whatever else was changed.
    Sql.update(
        connection,
        "INSERT INTO head (id, generation, sealed) VALUES (1, ?, ?)",
        List.of(
            generation,
            seal.sealHead(generation, new Head(generation, head.digest(), generation).content())));
    return generation;
  }

  /** Writes the rows of a backup as they are, and remembers the records among them. */
  private static final class Copying extends BackupFile.SnapshotReading {
    private final Connection connection;

    Copying(Envelope envelope, Connection connection) {
      super(envelope);
      this.connection = connection;
    }

    @Override
    public long table(BackedUp table, DataInputStream in) throws IOException, SQLException {
      long rows = 0;
      try (PreparedStatement insertion = table.insertion(connection)) {
        for (Optional<List<Object>> row = table.read(in);
            row.isPresent();
            row = table.read(in), rows++) {
          take(table, row.get());
          for (int i = 0; i < row.get().size(); i++) {
            insertion.setObject(i + 1, row.get().get(i));
          }
          insertion.addBatch();
          if (rows % BackedUp.BATCH == BackedUp.BATCH - 1) {
            var _ = insertion.executeBatch();
          }
        }
        var _ = insertion.executeBatch();
      }
      return rows;
    }
  }
}
