package dev.grep11.gateway.store;

import java.io.IOException;
import java.sql.Connection;
import java.sql.SQLException;

/**
 * The database beneath a store: connections that are inside of one transaction. Open, so that tests
 * can make statements fail.
 */
interface Database {
  static Database at(StoreLocation location) {
    return switch (location) {
      case StoreLocation.Directory directory -> new Sqlite(directory.path());
      case StoreLocation.Postgresql server -> new Postgres(server);
    };
  }

  /** Fills a new database, within the transaction that makes it. */
  interface Initialisation {
    void run(Connection connection) throws SQLException;
  }

  /** Whether a store is there, readable or not. */
  boolean exists() throws IOException, SQLException;

  /**
   * Makes the database as a whole or not at all; of two creators one is refused.
   *
   * @throws StoreException when there is a store already
   */
  void create(Initialisation initialisation) throws IOException, SQLException;

  /**
   * Looks at it before it is opened.
   *
   * @throws StoreException when there is no store, or when others may read it
   */
  void check() throws IOException, SQLException;

  /**
   * A connection whose transactions each see one state of the database and hold up no writer. It
   * may be lost; another one is then opened.
   */
  Connection reader() throws SQLException;

  /**
   * A connection inside of the only writing transaction there is, waiting for that of another
   * process to end. Closing it without {@link #commit} undoes everything.
   */
  Connection writer() throws SQLException;

  /**
   * A connection for changes of keystores, outside of a transaction and for many of them. These
   * wait for each other, and where the database has locks finer than itself, not for changes of
   * what grants: who stores keys must not hold up the deletion of a client CA.
   */
  Connection keystoreWriter() throws SQLException;

  /**
   * As {@link #reader}, for one transaction that reads everything and may stop in between, as when
   * the disk is slow that a backup is written to.
   */
  Connection longReader() throws SQLException;

  /**
   * As {@link #writer}, and keeps out those who write keystores too; what it changes may be all
   * there is.
   */
  Connection soleWriter() throws SQLException;

  /** Whether a transaction that writes keeps out every other one that does. */
  boolean locksAsAWhole();

  /** Begins the only transaction of a {@link #keystoreWriter}, waiting for that of another one. */
  void begin(Connection keystoreWriter) throws SQLException;

  /**
   * Ends the transaction of a {@link #writer} or {@link #keystoreWriter}; on return it survives the
   * loss of power.
   */
  void commit(Connection writer) throws SQLException;

  /** Undoes the transaction of a {@link #keystoreWriter}, which may begin another one. */
  void rollBack(Connection keystoreWriter) throws SQLException;

  /** A connection that reads and changes nothing, no file beside the database either. */
  Connection examiner() throws SQLException;

  /** What to look at, and to do, where it cannot be used. */
  String remedy();

  /** The place, for messages; without a secret. */
  @Override
  String toString();
}
