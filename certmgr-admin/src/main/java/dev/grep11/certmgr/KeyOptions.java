package dev.grep11.certmgr;

import dev.grep11.client.certmgr.AdministratorKeyPair;
import java.nio.file.Path;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The administrator's private key, where a command needs one. */
final class KeyOptions {
  @Option(
      names = "--admin-priv-key",
      required = true,
      paramLabel = "ADMIN_PRIV_KEY",
      description = "file of the administrator's private key; it signs and stays here")
  private @Nullable Path file;

  @Option(
      names = "--passphrase-file",
      paramLabel = "FILE",
      description =
          "file whose first line is the passphrase of the private key, - for standard input; asked"
              + " for on a terminal otherwise")
  private @Nullable String passphraseFile;

  Path file() {
    return Objects.requireNonNull(file, "required");
  }

  AdministratorKeyPair read(Surroundings surroundings) {
    return unlock(surroundings).pair();
  }

  UnlockedKey unlock(Surroundings surroundings) {
    return UnlockedKey.read(file(), passphraseFile, surroundings);
  }
}
