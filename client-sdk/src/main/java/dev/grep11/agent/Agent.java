package dev.grep11.agent;

import dev.grep11.agent.cryptoki.Cryptoki;
import dev.grep11.agent.log.Log;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.AsynchronousCloseException;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.nio.file.attribute.UserPrincipal;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import jdk.net.ExtendedSocketOptions;

/**
 * Serves PKCS #11 applications of this host over a Unix-domain socket.
 *
 * <p>Whoever may use the socket acts with the agent's client certificate, so it is not for
 * everybody: mode 0600 in a directory of mode 0700, and the kernel is asked who the peer is,
 * whatever the mode lets through.
 */
public final class Agent implements AutoCloseable {
  private static final int MOST_CONNECTIONS = 1024;

  /** So that one user leaves room for the others. */
  private static final int MOST_OF_A_USER = 256;

  /** S_IFMT and S_IFSOCK of {@code sys/stat.h}. */
  private static final int FILE_TYPE = 0170000;

  private static final int SOCKET_TYPE = 0140000;

  /** Most of them wait for the gateway. */
  private static final int THREADS = 64;

  private final ServerSocketChannel server;
  private final Path socket;
  private final boolean ownsSocket;
  private final Set<UserPrincipal> users;
  private final Cryptoki cryptoki;
  private final Log log;
  private final ExecutorService pool;
  private final Semaphore budget = Budget.ofAgent();
  private final Set<Connection> connections = ConcurrentHashMap.newKeySet();
  private final Map<String, Integer> connectionsOfUser = new ConcurrentHashMap<>();
  private final AtomicLong count = new AtomicLong();
  private final AtomicBoolean closed = new AtomicBoolean();
  private final Thread acceptor;

  private Agent(
      ServerSocketChannel server,
      Path socket,
      boolean ownsSocket,
      Set<UserPrincipal> users,
      Cryptoki cryptoki,
      Log log) {
    this.server = server;
    this.socket = socket;
    this.ownsSocket = ownsSocket;
    this.users = users;
    this.cryptoki = cryptoki;
    this.log = log;
    var threads =
        new ThreadPoolExecutor(
            THREADS,
            THREADS,
            10,
            TimeUnit.SECONDS,
            new LinkedBlockingQueue<>(),
            task -> daemon(task, "agent-call-" + count.incrementAndGet()));
    threads.allowCoreThreadTimeOut(true);
    this.pool = threads;
    this.acceptor = daemon(this::accept, "agent-accept");
  }

  /**
   * Listens on a socket of its own.
   *
   * @param users who may connect; with others than the agent's user among them the socket's mode
   *     lets everybody through to the check
   * @throws IOException when somebody listens there, or the path cannot be used
   */
  public static Agent listen(Path socket, Set<UserPrincipal> users, Cryptoki cryptoki, Log log)
      throws IOException {
    boolean onlySelf = users.equals(Set.of(self()));
    prepare(socket, onlySelf);
    var server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
    try {
      server.bind(UnixDomainSocketAddress.of(socket), 128);
      Files.setPosixFilePermissions(
          socket, PosixFilePermissions.fromString(onlySelf ? "rw-------" : "rw-rw-rw-"));
    } catch (IOException | RuntimeException e) {
      server.close();
      throw e;
    }
    return start(server, socket, true, users, cryptoki, log);
  }

  /** Serves a socket that the process was started with, as systemd does. */
  public static Agent inherited(
      ServerSocketChannel server, Set<UserPrincipal> users, Cryptoki cryptoki, Log log)
      throws IOException {
    if (!(server.getLocalAddress() instanceof UnixDomainSocketAddress address)) {
      throw new IOException("the inherited socket is no Unix-domain socket");
    }
    return start(server, address.getPath(), false, users, cryptoki, log);
  }

  private static Agent start(
      ServerSocketChannel server,
      Path socket,
      boolean ownsSocket,
      Set<UserPrincipal> users,
      Cryptoki cryptoki,
      Log log) {
    var agent = new Agent(server, socket, ownsSocket, users, cryptoki, log);
    agent.acceptor.start();
    return agent;
  }

  /** The user that this process runs as. */
  public static UserPrincipal self() throws IOException {
    return Files.getOwner(Path.of("/proc/self"));
  }

  public Path socket() {
    return socket;
  }

  private static void prepare(Path socket, boolean onlySelf) throws IOException {
    var directory = socket.toAbsolutePath().getParent();
    if (directory != null && !Files.exists(directory)) {
      Files.createDirectories(
          directory,
          PosixFilePermissions.asFileAttribute(
              PosixFilePermissions.fromString(onlySelf ? "rwx------" : "rwx--x--x")));
    }
    if (Files.exists(socket, LinkOption.NOFOLLOW_LINKS)) {
      requireOwnSocket(socket);
      if (answers(socket)) {
        throw new IOException(socket + ": another agent listens there; stop it or name another");
      }
      // Left behind by an agent that was killed.
      Files.delete(socket);
    }
  }

  /** A wrong path must not cost a file. */
  private static void requireOwnSocket(Path socket) throws IOException {
    int mode = (int) Files.getAttribute(socket, "unix:mode", LinkOption.NOFOLLOW_LINKS);
    if ((mode & FILE_TYPE) != SOCKET_TYPE) {
      throw new IOException(
          socket + ": there is a file that is no socket; remove it or name another path");
    }
    var owner = Files.getOwner(socket, LinkOption.NOFOLLOW_LINKS);
    if (!owner.equals(self())) {
      throw new IOException(
          "%s: there is a socket of user %s; name another path".formatted(socket, owner.getName()));
    }
  }

  private static boolean answers(Path socket) {
    try (var channel = SocketChannel.open(UnixDomainSocketAddress.of(socket))) {
      return channel.isConnected();
    } catch (IOException e) {
      return false;
    }
  }

  private void accept() {
    while (server.isOpen()) {
      try {
        serve(server.accept());
      } catch (AsynchronousCloseException closing) {
        return;
      } catch (ClosedChannelException closing) {
        return;
      } catch (IOException e) {
        log.error("accepting a connection: " + e.getMessage());
        // No descriptors, most likely: trying at once would only fill the log.
        pause();
      } catch (RuntimeException | Error e) {
        // One connection's fault, as when no thread can be made for it: the others are served.
        log.error("a connection is refused: " + e);
        pause();
      }
    }
  }

  private void serve(SocketChannel channel) throws IOException {
    boolean served = false;
    try {
      served = begin(channel);
    } finally {
      if (!served) {
        channel.close();
      }
    }
  }

  /** False when it is refused. */
  private boolean begin(SocketChannel channel) throws IOException {
    UserPrincipal peer = channel.getOption(ExtendedSocketOptions.SO_PEERCRED).user();
    if (!users.contains(peer)) {
      log.warning("refused: user " + peer.getName() + " is not one of those who may connect");
      return false;
    }
    if (connections.size() >= MOST_CONNECTIONS) {
      log.warning(
          "refused: there are %d connections, which is the most".formatted(MOST_CONNECTIONS));
      return false;
    }
    var user = peer.getName();
    if (connectionsOfUser.merge(user, 1, Integer::sum) > MOST_OF_A_USER) {
      left(user);
      log.warning(
          "refused: user %s has %d connections, which is the most".formatted(user, MOST_OF_A_USER));
      return false;
    }
    var connection =
        new Connection(
            channel,
            cryptoki.application(user),
            Budget.ofConnection(budget),
            cryptoki.loop(),
            pool,
            log,
            gone -> {
              connections.remove(gone);
              left(user);
            });
    connections.add(connection);
    boolean started = false;
    try {
      connection.start();
      started = true;
    } finally {
      if (!started) {
        connection.close();
      }
    }
    return true;
  }

  private void left(String user) {
    connectionsOfUser.computeIfPresent(user, (name, count) -> count == 1 ? null : count - 1);
  }

  private static void pause() {
    try {
      Thread.sleep(100);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private static Thread daemon(Runnable task, String name) {
    var thread = new Thread(task, name);
    thread.setDaemon(true);
    return thread;
  }

  /** Waits until the agent is closed. */
  public void join() throws InterruptedException {
    acceptor.join();
  }

  @Override
  public void close() {
    // Twice would delete the socket of the agent that comes after this one.
    if (closed.getAndSet(true)) {
      return;
    }
    try {
      server.close();
      if (ownsSocket) {
        Files.deleteIfExists(socket);
      }
    } catch (IOException e) {
      log.error("closing: " + e.getMessage());
    }
    connections.forEach(Connection::close);
    pool.shutdownNow();
    cryptoki.close();
  }
}
