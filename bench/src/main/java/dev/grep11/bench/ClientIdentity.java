package dev.grep11.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * A client CA that openssl makes for one run, and one client of it: what a connection shows once
 * the second lock is closed. P-256, good for a day.
 *
 * @param directory that holds the files, and goes with them
 */
record ClientIdentity(Path directory, Path ca, Path certificate, Path key)
    implements AutoCloseable {
  private static final int LONGEST_SECONDS = 10;

  static ClientIdentity create() {
    try {
      var directory = Files.createTempDirectory("grep11-bench-");
      openssl(
          directory,
          "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
              + " -subj /O=Bench/CN=Bench-CA -keyout ca.key -out ca.pem");
      openssl(
          directory,
          "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
              + " -subj /O=Bench/CN=bench-1 -keyout client.key -out client.csr");
      openssl(
          directory,
          "x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1"
              + " -out client.pem");
      return new ClientIdentity(
          directory,
          directory.resolve("ca.pem"),
          directory.resolve("client.pem"),
          directory.resolve("client.key"));
    } catch (IOException e) {
      throw new BenchException("a client certificate cannot be made: " + e.getMessage(), e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new BenchException("interrupted", e);
    }
  }

  private static void openssl(Path directory, String arguments)
      throws IOException, InterruptedException {
    var command = new ArrayList<>(List.of("openssl"));
    command.addAll(List.of(arguments.split(" ", -1)));
    var said = directory.resolve("openssl.log");
    var process =
        new ProcessBuilder(command)
            .directory(directory.toFile())
            .redirectErrorStream(true)
            .redirectOutput(said.toFile())
            .start();
    if (!process.waitFor(LONGEST_SECONDS, TimeUnit.SECONDS)) {
      process.destroyForcibly();
      throw new IOException("openssl did not end within " + LONGEST_SECONDS + " s");
    }
    if (process.exitValue() != 0) {
      throw new IOException(String.join(" ", command) + " said: " + Files.readString(said).strip());
    }
  }

  @Override
  public void close() {
    try (var files = Files.walk(directory)) {
      for (var file : files.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(file);
      }
    } catch (IOException e) {
      System.err.println("bench: " + directory + " is left behind: " + e.getMessage());
    }
  }
}
