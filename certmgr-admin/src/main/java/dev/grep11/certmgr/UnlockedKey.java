package dev.grep11.certmgr;

import dev.grep11.client.certmgr.AdministratorKeyPair;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.util.EnumSet;
import org.jspecify.annotations.Nullable;

/**
 * An administrator's pair, read from its file.
 *
 * @param passphrase that of the file, or the one given for it; null where there was none
 */
@SuppressWarnings("ArrayRecordComponent") // Never compared.
record UnlockedKey(AdministratorKeyPair pair, char @Nullable [] passphrase) {
  private static final EnumSet<PosixFilePermission> OTHERS =
      EnumSet.of(
          PosixFilePermission.GROUP_READ,
          PosixFilePermission.GROUP_WRITE,
          PosixFilePermission.OTHERS_READ,
          PosixFilePermission.OTHERS_WRITE);

  /**
   * Reads a private key that nobody else may read, and asks for its passphrase where it needs one.
   *
   * @param passphraseFile {@code -} for standard input; null to ask on the terminal
   */
  static UnlockedKey read(Path file, @Nullable String passphraseFile, Surroundings surroundings) {
    requirePrivate(file);
    char[] passphrase =
        passphraseFile == null ? null : surroundings.secretLine(passphraseFile, "passphrase");
    if (passphrase == null && AdministratorKeyPair.isEncrypted(file)) {
      var terminal = surroundings.terminal();
      passphrase = terminal == null ? null : terminal.apply("Passphrase of " + file + ": ");
      if (passphrase == null) {
        throw new CommandFailure(
            file
                + ": the key is encrypted and there is no terminal to ask for its passphrase; give"
                + " --passphrase-file FILE, or - for standard input");
      }
    }
    return new UnlockedKey(AdministratorKeyPair.read(file, passphrase), passphrase);
  }

  private static void requirePrivate(Path file) {
    try {
      for (var permission : Files.getPosixFilePermissions(file)) {
        if (OTHERS.contains(permission)) {
          throw new CommandFailure(
              file
                  + ": other users may read or change this private key; run chmod 600 on it and"
                  + " consider whether it must be replaced (adminkey update)");
        }
      }
    } catch (NoSuchFileException e) {
      throw new CommandFailure(file + ": no such file", e);
    } catch (IOException e) {
      throw new CommandFailure(file + ": cannot be read: " + e.getMessage(), e);
    } catch (UnsupportedOperationException e) {
      // No POSIX permissions on this file system: there is nothing to judge.
    }
  }

  @Override
  public String toString() {
    return "UnlockedKey[" + pair + "]";
  }
}
