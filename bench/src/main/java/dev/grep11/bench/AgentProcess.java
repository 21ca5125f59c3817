package dev.grep11.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The PKCS #11 agent of the run, as the launcher starts it, with a client certificate. */
final class AgentProcess implements AutoCloseable {
  private final LauncherProcess process;
  private final Path directory;

  private AgentProcess(LauncherProcess process, Path directory) {
    this.process = process;
    this.directory = directory;
  }

  /**
   * @param launcher the program grep11
   * @param identity for the second lock, which is closed
   * @throws BenchException when it does not start, with what it said
   */
  static AgentProcess start(Path launcher, Target target, ClientIdentity identity) {
    try {
      var directory = Files.createTempDirectory("grep11-agent-");
      var config = directory.resolve("grep11client.yaml");
      var log = directory.resolve("log");
      Files.writeString(config, configuration(target, identity));
      var command =
          new ProcessBuilder(
              launcher.toString(),
              "agent",
              "--config",
              config.toString(),
              "--socket",
              directory.resolve("socket").toString());
      return new AgentProcess(LauncherProcess.start("the agent", command, log), directory);
    } catch (IOException e) {
      throw new BenchException("the agent does not start: " + e.getMessage(), e);
    }
  }

  /** Session objects only: what is measured is the way, and the way is the same. */
  private static String configuration(Target target, ClientIdentity identity) {
    var address = target.address();
    int colon = address.lastIndexOf(':');
    return """
    iamcredentialtemplate: &iam
      enabled: true
      endpoint: "%s"
    tokens:
      0:
        grep11connection:
          address: "%s"
          port: "%s"
          tls: { enabled: true, mutual: true, cacert: "%s", certfile: "%s", keyfile: "%s" }
        users:
          0: { name: "officer", iamauth: *iam }
          1: { name: "bench", tokenspaceID: "7c0c7d1e-07c4-4a6b-8d3c-0e5f5f3f6a11", iamauth: *iam }
          2:
            name: "guest"
            tokenspaceID: "b1f3f2d6-5b0d-4f0a-9d54-2a6f3c8e7720"
            iamauth: { <<: *iam, apikey: "none" }
    """
        .formatted(
            target.iamEndpoint(),
            address.substring(0, colon),
            address.substring(colon + 1),
            target.ca(),
            identity.certificate(),
            identity.key());
  }

  Path socket() {
    return directory.resolve("socket");
  }

  /** {@code pkcs11-grep11.so}. */
  Path module() {
    return Path.of(process.said("module"));
  }

  long pid() {
    return process.pid();
  }

  @Override
  public void close() {
    process.close();
    try {
      for (var name : new String[] {"grep11client.yaml", "log", "socket"}) {
        Files.deleteIfExists(directory.resolve(name));
      }
      Files.deleteIfExists(directory);
    } catch (IOException e) {
      System.err.println("bench: " + directory + " is left behind: " + e.getMessage());
    }
  }
}
