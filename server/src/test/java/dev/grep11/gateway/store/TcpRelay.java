package dev.grep11.gateway.store;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/** A way to a database server of this host that can be interrupted, as networks are. */
public final class TcpRelay implements AutoCloseable {
  /** How the way is. */
  public enum State {
    WHOLE,
    /** Connections are taken and kept, and no byte passes; what was held back passes later. */
    SILENT,
    /** Every connection ends, and so does every new one. */
    CUT
  }

  private static final int CHUNK = 64 << 10;

  private final InetSocketAddress target;
  private final ServerSocket listener;
  private final Set<Socket> open = ConcurrentHashMap.newKeySet();
  private final ReentrantLock lock = new ReentrantLock();
  private final Condition changed = lock.newCondition();
  private State state = State.WHOLE;

  public TcpRelay(StoreLocation.Postgresql database) throws IOException {
    var loopback = InetAddress.getLoopbackAddress();
    target = new InetSocketAddress(loopback, server(database).getPort());
    listener = new ServerSocket(0, 50, loopback);
    Thread.ofVirtual().start(this::accept);
  }

  /** The same database, by this way. */
  public StoreLocation.Postgresql to(StoreLocation.Postgresql database) {
    return new StoreLocation.Postgresql(
        "jdbc:postgresql://127.0.0.1:" + listener.getLocalPort() + server(database).getPath(),
        database.user(),
        database.passwordFile());
  }

  private static URI server(StoreLocation.Postgresql database) {
    return URI.create(database.url().substring("jdbc:".length()));
  }

  public void become(State next) {
    lock.lock();
    try {
      state = next;
      changed.signalAll();
    } finally {
      lock.unlock();
    }
    if (next == State.CUT) {
      open.forEach(TcpRelay::end);
    }
  }

  private void accept() {
    while (!listener.isClosed()) {
      try {
        var client = listener.accept();
        var server = new Socket();
        open.add(client);
        open.add(server);
        server.connect(target);
        Thread.ofVirtual().start(() -> pump(client, server));
        Thread.ofVirtual().start(() -> pump(server, client));
      } catch (IOException e) {
        // Nobody listens there, or this relay is closed; whoever waits finds out by itself.
      }
    }
  }

  private void pump(Socket from, Socket to) {
    try (from;
        to) {
      var bytes = new byte[CHUNK];
      for (int read = from.getInputStream().read(bytes);
          read >= 0 && passes();
          read = from.getInputStream().read(bytes)) {
        to.getOutputStream().write(bytes, 0, read);
      }
    } catch (IOException e) {
      // Ends the connection on both sides.
    } finally {
      open.remove(from);
      open.remove(to);
    }
  }

  private boolean passes() {
    lock.lock();
    try {
      while (state == State.SILENT) {
        changed.awaitUninterruptibly();
      }
      return state == State.WHOLE;
    } finally {
      lock.unlock();
    }
  }

  private static void end(Socket socket) {
    try {
      socket.close();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public void close() throws IOException {
    listener.close();
    become(State.CUT);
  }
}
