package dev.grep11.gateway.store;

import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Arrays;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Stands between a store and its database, and makes one step fail by its number: a connection, a
 * statement, or the end of a transaction.
 */
public final class NthStatement {
  /** How a step fails. */
  public enum Fault {
    /** It is refused. */
    REFUSED,
    /** It is done, and is said to have failed. */
    DONE,
    /** It is refused, and the connection is of no use any more. */
    BROKEN
  }

  /** For whom a step is made. */
  public enum Origin {
    /** Whoever waits for it. */
    CALLER,
    /** The threads by which a gateway follows its store. */
    BACKGROUND
  }

  /** The step that was made to fail. */
  public record Hit(int number, String step, Fault fault) {
    @Override
    public String toString() {
      return "step %d, %s, by %s".formatted(number, step, fault);
    }
  }

  private record Armed(int number, Fault fault, Origin origin) {}

  private interface Step<T extends @Nullable Object> {
    T take() throws Throwable;
  }

  private static final Set<String> BACKGROUND =
      Set.of("store-follower", "keyring-poller", "event-exporter");

  private @Nullable Armed armed;
  private @Nullable Hit hit;
  private int seen;

  /** The store at this place, over steps that may fail. */
  public Store open(StoreLocation location, Envelope envelope, GenerationAnchor anchor) {
    return Store.open(new Faulty(Database.at(location)), envelope, anchor);
  }

  /** The step with this number from now on fails, counted from 1 among those of the origin. */
  public synchronized void arm(int number, Fault fault, Origin origin) {
    armed = new Armed(number, fault, origin);
    hit = null;
    seen = 0;
  }

  /** The step that failed; empty when there were not so many. */
  public synchronized Optional<Hit> disarm() {
    armed = null;
    return hit();
  }

  /** The step that has failed by now. */
  public synchronized Optional<Hit> hit() {
    return Optional.ofNullable(hit);
  }

  /** Steps of the origin since it was armed. */
  public synchronized int seen() {
    return seen;
  }

  private synchronized @Nullable Fault next(String step) {
    var now = armed;
    var origin =
        BACKGROUND.contains(Thread.currentThread().getName()) ? Origin.BACKGROUND : Origin.CALLER;
    if (now == null || hit != null || now.origin != origin) {
      return null;
    }
    seen++;
    if (seen != now.number) {
      return null;
    }
    hit = new Hit(seen, step, now.fault);
    return now.fault;
  }

  /** A connection that may be lost. */
  private final class Lossy {
    private final Connection real;
    private boolean broken;

    Lossy(Connection real) {
      this.real = real;
    }

    Connection connection() {
      return proxy(
          Connection.class,
          real,
          (name, arguments, call) ->
              switch (name) {
                case "createStatement" -> statement(Statement.class, "", call);
                case "prepareStatement" ->
                    statement(PreparedStatement.class, String.valueOf(arguments[0]), call);
                case "close" -> {
                  // It is closed in any case.
                  var fault = next("close");
                  var nothing = call.take();
                  if (fault != null) {
                    throw new SQLException("a fault that the test made");
                  }
                  yield nothing;
                }
                default -> {
                  requireWhole();
                  yield call.take();
                }
              });
    }

    private Object statement(Class<? extends Statement> type, String sql, Step<?> made)
        throws Throwable {
      requireWhole();
      var statement = made.take();
      return proxy(
          type,
          statement,
          (name, arguments, call) -> {
            if (!name.startsWith("execute")) {
              return call.take();
            }
            return take(sql.isEmpty() ? Arrays.toString(arguments) : sql, call);
          });
    }

    <T extends @Nullable Object> T take(String step, Step<T> call) throws Throwable {
      requireWhole();
      var fault = next(step);
      if (fault == Fault.DONE) {
        var _ = call.take();
      }
      if (fault == Fault.BROKEN) {
        broken = true;
      }
      if (fault != null) {
        throw new SQLException("a fault that the test made");
      }
      return call.take();
    }

    private void requireWhole() throws SQLException {
      if (broken) {
        throw new SQLException("the connection is lost");
      }
    }
  }

  private interface Opening {
    Connection open() throws SQLException;
  }

  private interface Ending {
    void end() throws SQLException;
  }

  /** The database with connections that may be lost. */
  private final class Faulty implements Database {
    private final Database real;
    private final Map<Connection, Lossy> connections =
        Collections.synchronizedMap(new IdentityHashMap<>());

    Faulty(Database real) {
      this.real = real;
    }

    @Override
    public String remedy() {
      return real.remedy();
    }

    private Connection opened(String what, Opening opening) throws SQLException {
      var fault = next(what);
      if (fault != null) {
        throw new SQLException("a fault that the test made");
      }
      var lossy = new Lossy(opening.open());
      var connection = lossy.connection();
      connections.put(connection, lossy);
      return connection;
    }

    private void ended(String what, Connection connection, Ending ending) throws SQLException {
      var lossy = connections.get(connection);
      if (lossy == null) {
        throw new IllegalStateException("a connection of somebody else");
      }
      try {
        var _ =
            lossy.take(
                what,
                () -> {
                  ending.end();
                  return true;
                });
      } catch (SQLException | RuntimeException | Error e) {
        throw e;
      } catch (Throwable e) {
        throw new IllegalStateException(e);
      }
    }

    @Override
    public boolean exists() throws IOException, SQLException {
      return real.exists();
    }

    @Override
    public void create(Initialisation initialisation) throws IOException, SQLException {
      real.create(initialisation);
    }

    @Override
    public void check() throws IOException, SQLException {
      real.check();
    }

    @Override
    public Connection reader() throws SQLException {
      return opened("open a reader", real::reader);
    }

    @Override
    public Connection writer() throws SQLException {
      return opened("open a writer", real::writer);
    }

    @Override
    public Connection keystoreWriter() throws SQLException {
      return opened("open a writer of keystores", real::keystoreWriter);
    }

    @Override
    public Connection longReader() throws SQLException {
      return opened("open a long reader", real::longReader);
    }

    @Override
    public Connection soleWriter() throws SQLException {
      return opened("open a sole writer", real::soleWriter);
    }

    @Override
    public Connection examiner() throws SQLException {
      return opened("open an examiner", real::examiner);
    }

    @Override
    public boolean locksAsAWhole() {
      return real.locksAsAWhole();
    }

    @Override
    public void begin(Connection keystoreWriter) throws SQLException {
      ended("begin", keystoreWriter, () -> real.begin(keystoreWriter));
    }

    @Override
    public void commit(Connection writer) throws SQLException {
      ended("commit", writer, () -> real.commit(writer));
    }

    @Override
    public void rollBack(Connection keystoreWriter) throws SQLException {
      ended("roll back", keystoreWriter, () -> real.rollBack(keystoreWriter));
    }

    @Override
    public String toString() {
      return real.toString();
    }
  }

  private interface Behaviour {
    @Nullable Object of(String name, Object[] arguments, Step<@Nullable Object> call)
        throws Throwable;
  }

  private static <T> T proxy(Class<T> type, Object real, Behaviour behaviour) {
    return type.cast(
        Proxy.newProxyInstance(
            NthStatement.class.getClassLoader(),
            new Class<?>[] {type},
            (_, method, arguments) ->
                behaviour.of(
                    method.getName(),
                    arguments == null ? new Object[0] : arguments,
                    () -> {
                      try {
                        return method.invoke(real, arguments);
                      } catch (InvocationTargetException e) {
                        throw e.getCause();
                      }
                    })));
  }
}
