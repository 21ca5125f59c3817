package dev.grep11.gateway.store;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Set;

/** Files and directories that nobody but the user of the gateway may enter or read. */
final class OwnerOnly {
  static final Set<PosixFilePermission> DIRECTORY = PosixFilePermissions.fromString("rwx------");
  static final Set<PosixFilePermission> FILE = PosixFilePermissions.fromString("rw-------");

  private OwnerOnly() {}

  /**
   * @throws StoreException when {@code path} has more than the permissions {@code most}
   */
  static void require(Path path, Set<PosixFilePermission> most) throws IOException {
    Set<PosixFilePermission> permissions = Files.getPosixFilePermissions(path);
    if (!most.containsAll(permissions)) {
      throw new StoreException(
          path
              + " has mode "
              + PosixFilePermissions.toString(permissions)
              + ", it must be "
              + PosixFilePermissions.toString(most)
              + " and belong to the user of the gateway; remedy: chmod "
              + (most.contains(PosixFilePermission.OWNER_EXECUTE) ? "700 " : "600 ")
              + path);
    }
  }
}
