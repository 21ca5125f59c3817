package dev.grep11.gateway.store;

import static org.awaitility.Awaitility.await;

import dev.grep11.gateway.command.GatewayProcess;
import dev.grep11.gateway.trust.TestCertificates;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.GeneralSecurityException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Assumptions;

/**
 * The distribution's PostgreSQL on a free loopback port, with data of its own. Without one, what
 * needs it is skipped; {@code ./grep11 test} installs it.
 */
public final class PostgresServer implements AutoCloseable {
  private static final String USER = "grep11";
  public static final String PASSWORD = "only for tests";
  private static final Duration PATIENCE = Duration.ofSeconds(90);
  private static @Nullable PostgresServer shared;

  private final Path programs;
  private final Path directory;
  private final int port;
  private @Nullable Process process;

  private PostgresServer(Path programs, Path directory, int port) {
    this.programs = programs;
    this.directory = directory;
    this.port = port;
  }

  /** One for all tests of this process, which stops with it. */
  public static synchronized PostgresServer shared() {
    if (shared == null) {
      var server = start();
      Runtime.getRuntime().addShutdownHook(new Thread(server::close));
      shared = server;
    }
    return shared;
  }

  /** A server that is the caller's to stop. */
  public static PostgresServer start() {
    return start(Optional.empty());
  }

  /** One that shows this certificate and takes connections over TLS only; the caller's to stop. */
  static PostgresServer startWithTls(TestCertificates.Identity identity) {
    return start(Optional.of(identity));
  }

  private static PostgresServer start(Optional<TestCertificates.Identity> identity) {
    var programs = programs();
    Assumptions.assumeTrue(
        programs.isPresent(),
        "PostgreSQL's server is not installed; on Debian or Ubuntu: apt-get install postgresql");
    try {
      var directory = Files.createTempDirectory("grep11-postgres");
      var server =
          new PostgresServer(programs.orElseThrow(), directory, GatewayProcess.freePorts());
      server.initialise();
      if (identity.isPresent()) {
        server.demandTls(identity.get());
      }
      server.run();
      return server;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** The newest of those in Debian's place, or that in the path. */
  private static Optional<Path> programs() {
    var debian = Path.of("/usr/lib/postgresql");
    var path =
        Arrays.stream(Objects.requireNonNullElse(System.getenv("PATH"), "").split(":"))
            .map(Path::of);
    try (var versions = Files.isDirectory(debian) ? Files.list(debian) : Stream.<Path>empty()) {
      var newest =
          versions
              .sorted(Comparator.comparing((Path version) -> version.toString()).reversed())
              .map(version -> version.resolve("bin"))
              .toList();
      return Stream.concat(newest.stream(), path)
          .filter(bin -> Files.isExecutable(bin.resolve("initdb")))
          .findFirst();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private void initialise() throws IOException {
    Files.writeString(passwordFile(), PASSWORD + "\n");
    Files.setPosixFilePermissions(passwordFile(), PosixFilePermissions.fromString("rw-------"));
    var forInitdb = Files.copy(passwordFile(), directory.resolve("initial-password"));
    if (root()) {
      // The server refuses to run as root; the package brings a user for it.
      var owner =
          directory
              .getFileSystem()
              .getUserPrincipalLookupService()
              .lookupPrincipalByName("postgres");
      Files.setOwner(directory, owner);
      Files.setOwner(forInitdb, owner);
    }
    var made =
        command(
                "initdb",
                "-D",
                data(),
                "-U",
                USER,
                "--pwfile=" + forInitdb,
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync")
            .start();
    if (exit(made) != 0) {
      throw new IOException("initdb failed: " + log());
    }
  }

  private void demandTls(TestCertificates.Identity identity) throws IOException {
    try {
      identity.write(directory, "server");
    } catch (GeneralSecurityException e) {
      throw new IOException(e);
    }
    var key = directory.resolve("server.key");
    Files.setPosixFilePermissions(key, PosixFilePermissions.fromString("rw-------"));
    if (root()) {
      Files.setOwner(key, Files.getOwner(directory));
    }
    var data = Path.of(data());
    Files.writeString(data.resolve("pg_hba.conf"), "hostssl all all 127.0.0.1/32 scram-sha-256\n");
    Files.writeString(
        data.resolve("postgresql.conf"),
        "ssl = on\nssl_cert_file = '%s'\nssl_key_file = '%s'\n"
            .formatted(directory.resolve("server.pem"), key),
        StandardOpenOption.APPEND);
  }

  private void run() throws IOException {
    process =
        command(
                "postgres",
                "-D",
                data(),
                "-p",
                Integer.toString(port),
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
                "-c",
                "fsync=off",
                // Tests measure from the moment of a commit.
                "-c",
                "track_commit_timestamp=on")
            .start();
    await()
        .atMost(PATIENCE)
        .ignoreExceptionsInstanceOf(SQLException.class)
        .until(() -> {
          connect("postgres").close();
          return true;
        });
  }

  private ProcessBuilder command(String program, String... arguments) {
    List<String> command = new ArrayList<>();
    if (root()) {
      // Becomes the server, so that the process is the server's.
      command.addAll(
          List.of("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"));
    }
    command.add(programs.resolve(program).toString());
    command.addAll(List.of(arguments));
    var log = ProcessBuilder.Redirect.appendTo(directory.resolve("log").toFile());
    return new ProcessBuilder(command)
        .directory(directory.toFile())
        .redirectErrorStream(true)
        .redirectOutput(log);
  }

  private static boolean root() {
    try {
      return Files.getOwner(Path.of("/proc/self"), LinkOption.NOFOLLOW_LINKS)
          .getName()
          .equals("root");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private String data() {
    return directory.resolve("data").toString();
  }

  private Path passwordFile() {
    return directory.resolve("password");
  }

  private String log() throws IOException {
    return Files.readString(directory.resolve("log"));
  }

  /** Of the default database, as libpq takes it. */
  public String connectionString() {
    return "host=127.0.0.1 port=%d dbname=postgres user=%s password='%s'"
        .formatted(port, USER, PASSWORD);
  }

  /** An empty database of its own. */
  public StoreLocation.Postgresql createDatabase() throws SQLException {
    var name = "t" + UUID.randomUUID().toString().replace("-", "");
    execute("postgres", "CREATE DATABASE " + name);
    return new StoreLocation.Postgresql(url(name), USER, passwordFile());
  }

  public static String nameOf(StoreLocation.Postgresql database) {
    return database.url().substring(database.url().lastIndexOf('/') + 1);
  }

  private String url(String database) {
    return "jdbc:postgresql://127.0.0.1:" + port + "/" + database;
  }

  /** As who may do everything. */
  Connection connect(String database) throws SQLException {
    return DriverManager.getConnection(url(database), USER, PASSWORD);
  }

  public void execute(String database, String sql) throws SQLException {
    try (var connection = connect(database);
        var statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  /** Has every transaction of this database be one that only reads. */
  public void forbidTables(StoreLocation.Postgresql database) throws SQLException {
    execute(
        "postgres",
        "ALTER DATABASE " + nameOf(database) + " SET default_transaction_read_only = on");
  }

  public void permitTables(StoreLocation.Postgresql database) throws SQLException {
    execute(
        "postgres", "ALTER DATABASE " + nameOf(database) + " RESET default_transaction_read_only");
  }

  /** Cuts every connection of gateways. */
  void cutConnections() throws SQLException {
    execute(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'grep11-gateway'");
  }

  /** Starts it again after {@link #stop}. */
  public void startAgain() throws IOException {
    run();
  }

  /** Ends it in order, without waiting for its clients. */
  public void stop() throws IOException {
    var running = process;
    if (running != null) {
      signal(running, "INT");
      exit(running);
      process = null;
    }
  }

  /** Has it stand still, as a host that hangs; {@code CONT} has it go on. */
  void signalAll(String signal) throws IOException {
    var running = Objects.requireNonNull(process);
    for (var handle :
        Stream.concat(running.descendants(), Stream.of(running.toHandle())).toList()) {
      exit(new ProcessBuilder("kill", "-" + signal, Long.toString(handle.pid())).start());
    }
  }

  private static void signal(Process running, String signal) throws IOException {
    exit(new ProcessBuilder("kill", "-" + signal, Long.toString(running.pid())).start());
  }

  private static int exit(Process running) throws IOException {
    try {
      if (!running.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS)) {
        running.destroyForcibly();
        throw new IOException("a process of PostgreSQL did not end");
      }
      return running.exitValue();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException(e);
    }
  }

  @Override
  public void close() {
    try {
      stop();
      try (var files = Files.walk(directory)) {
        for (var file : files.sorted(Comparator.reverseOrder()).toList()) {
          Files.deleteIfExists(file);
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
