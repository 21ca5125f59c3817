package dev.grep11.containers;

import dev.grep11.client.KeyPair;
import dev.grep11.client.PrivateKeyBlob;
import dev.grep11.client.PublicKeyBlob;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import java.util.UUID;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A data directory of an older version: store with an older schema and a SoftHSM token, an API key,
 * and a key pair as a client kept it. schema-3.md beside the archive says how it was made.
 */
@Tag("containers")
class UpgradeTest {
  @Test
  void whatAnOlderVersionWroteIsServed(@TempDir Path directory) throws Exception {
    var old = Files.createDirectory(directory.resolve("old"));
    unpack(old);
    var installation =
        new Installation(
            Files.createDirectory(directory.resolve("new")),
            UUID.fromString(Files.readString(old.resolve("instance")).strip()));
    Command.run(
            "cp",
            "-a",
            old.resolve("data") + "/.",
            installation.directory.resolve("data").toString())
        .succeeded();
    installation.own(Installation.USER, "/mnt/data");
    int base = Installation.freePorts();
    installation.configure("gateway", base, "{directory: /var/lib/grep11/store}");
    try (var gateway = installation.gateway("gateway");
        var client = installation.client(Files.readString(old.resolve("apikey")).strip(), base)) {
      gateway.start();

      Installation.signs(
          client,
          new KeyPair(
              new PublicKeyBlob(Files.readAllBytes(old.resolve("public.blob"))),
              new PrivateKeyBlob(Files.readAllBytes(old.resolve("private.blob")))));
      Installation.signs(client);
    }
  }

  private static void unpack(Path directory) throws IOException {
    var archive = directory.resolve("schema-3.tar.gz");
    try (var bytes =
        Objects.requireNonNull(UpgradeTest.class.getResourceAsStream("schema-3.tar.gz"))) {
      Files.copy(bytes, archive);
    }
    Command.run("tar", "-C", directory.toString(), "-xzf", archive.toString()).succeeded();
  }
}
