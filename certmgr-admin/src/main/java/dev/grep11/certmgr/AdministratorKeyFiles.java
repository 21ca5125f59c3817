package dev.grep11.certmgr;

import dev.grep11.client.certmgr.AdministratorKeyPair;
import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * The files of one key pair, {@code ~/.hpcs-cert-mgr-cfg/<uuid>.priv} and {@code .pub}. Each pair
 * has a UUID of its own; nothing here ever overwrites a key.
 */
record AdministratorKeyFiles(Path privateKey, Path publicKey) {
  private static final String DIRECTORY = ".hpcs-cert-mgr-cfg";

  /** Writes a pair before it is registered, so that a registered key is never only in memory. */
  static AdministratorKeyFiles create(
      AdministratorKeyPair pair, char @Nullable [] passphrase, Surroundings surroundings) {
    var directory = surroundings.home().resolve(DIRECTORY);
    var name = UUID.randomUUID().toString();
    var files =
        new AdministratorKeyFiles(
            directory.resolve(name + ".priv"), directory.resolve(name + ".pub"));
    try {
      if (!Files.isDirectory(directory)) {
        Files.createDirectory(
            directory,
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
      }
      pair.writePrivateKey(files.privateKey, passphrase);
      pair.writePublicKey(files.publicKey);
      return files;
    } catch (IOException e) {
      files.delete();
      throw new CommandFailure(
          "the key pair cannot be stored in %s: %s".formatted(directory, reason(e)), e);
    }
  }

  private static String reason(IOException e) {
    return e instanceof FileSystemException failure && failure.getReason() != null
        ? failure.getReason()
        : e.getClass().getSimpleName() + ": " + e.getMessage();
  }

  /** For a pair that was certainly not registered. */
  void delete() {
    for (var file : List.of(privateKey, publicKey)) {
      try {
        Files.deleteIfExists(file);
      } catch (IOException e) {
        throw new CommandFailure("the unused key file %s cannot be removed".formatted(file), e);
      }
    }
  }

  void print(Printout printout) {
    printout.table(
        List.of("KEYTYPE", "FILE"),
        List.of(
            List.of("PrivateKey", privateKey.toString()),
            List.of("PublicKey", publicKey.toString())));
    printout.body(
        "\nThe key pair is stored on this machine only, and its public half is registered now."
            + "\nKeep the private key safe, and a copy of it: without it no change can be signed.");
  }

  Map<String, Object> fields(AdministratorKeyPair pair) {
    var fields = new LinkedHashMap<String, Object>();
    fields.put("privateKeyFile", privateKey.toString());
    fields.put("publicKeyFile", publicKey.toString());
    fields.put("fingerprint", Fingerprint.of(pair));
    return fields;
  }
}
