package dev.grep11.bench;

import dev.grep11.gateway.hsm.HsmSettings;
import dev.grep11.gateway.hsm.PinSource;
import dev.grep11.softhsm.SoftHsmToken;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * {@code p11-kit server} on the token of the run: a Unix socket without TLS, identity or audit,
 * which is what people take today to share a token.
 */
final class P11KitServer implements AutoCloseable {
  private static final Duration LONGEST_START = Duration.ofSeconds(10);

  // The client module reads it when it is loaded, before a program could set it.
  private static final String ADDRESS = "P11_KIT_SERVER_ADDRESS";
  private static final String UNIX = "unix:path=";

  private final Process process;
  private final Path log;
  private final Path socket;
  private final Path client;

  private P11KitServer(Process process, Path log, Path socket, Path client) {
    this.process = process;
    this.log = log;
    this.socket = socket;
    this.client = client;
  }

  /**
   * @param command the program
   * @param client its client module, or empty for that of the distribution
   */
  static P11KitServer start(String command, Optional<Path> client, SoftHsmToken token) {
    var module = client.orElseGet(P11KitServer::clientOfTheDistribution);
    var address = String.valueOf(System.getenv(ADDRESS));
    if (!address.startsWith(UNIX)) {
      throw new BenchException(
          ADDRESS + " names no socket, as ./grep11 bench lets it; set it to unix:path=FILE");
    }
    var socket = Path.of(address.substring(UNIX.length()));
    try {
      var log = Files.createTempFile("grep11-p11-kit-", ".log");
      var builder =
          new ProcessBuilder(
                  command,
                  "server",
                  "-f",
                  "-n",
                  socket.toString(),
                  "--provider",
                  token.module().toString(),
                  "pkcs11:token=" + token.label())
              .redirectErrorStream(true)
              .redirectOutput(log.toFile());
      builder.environment().putAll(token.environment());
      var server = new P11KitServer(builder.start(), log, socket, module);
      server.awaitSocket();
      return server;
    } catch (IOException e) {
      throw new BenchException(
          "p11-kit server does not start (" + e.getMessage() + "); Debian's package is p11-kit", e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new BenchException("interrupted", e);
    }
  }

  private static Path clientOfTheDistribution() {
    return Stream.of(
            "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")
        .map(folder -> Path.of(folder, "pkcs11", "p11-kit-client.so"))
        .filter(Files::exists)
        .findFirst()
        .orElseThrow(() ->
            new BenchException(
                "there is no p11-kit-client.so; Debian's package is p11-kit-modules, or name it by"
                    + " --p11-kit-client"));
  }

  private void awaitSocket() throws IOException, InterruptedException {
    long end = System.nanoTime() + LONGEST_START.toNanos();
    while (!Files.exists(socket)) {
      if (!process.isAlive() || System.nanoTime() - end > 0) {
        var said = Files.readString(log).strip();
        close();
        throw new BenchException("p11-kit server does not start: " + said);
      }
      Thread.sleep(20);
    }
  }

  long pid() {
    return process.pid();
  }

  /** The client module. */
  Path client() {
    return client;
  }

  Path socket() {
    return socket;
  }

  /** How a client opens the token through it. */
  HsmSettings settings(SoftHsmToken token) {
    return HsmSettings.of(
        client, token.label(), PinSource.file(token.pinFile()), Map.of(ADDRESS, UNIX + socket));
  }

  @Override
  public void close() {
    process.descendants().forEach(ProcessHandle::destroy);
    process.destroy();
    try {
      if (!process.waitFor(5, TimeUnit.SECONDS)) {
        process.destroyForcibly();
      }
      Files.deleteIfExists(socket);
      Files.deleteIfExists(log);
    } catch (IOException e) {
      System.err.println("bench: " + log + " is left behind: " + e.getMessage());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
