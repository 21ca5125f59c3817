package dev.grep11.gateway.hsm;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * Who owns a file, in numbers: inside a container the host's users have no names, and {@code chown}
 * takes numbers everywhere. For PIN files, and for the other files of a configuration.
 */
public record FileOwner(int uid, int gid, Set<PosixFilePermission> permissions) {
  /** Who this process is, whatever user.name says: proc(5). The link /proc/self is root's. */
  private static final Path SELF = Path.of("/proc/self/status");

  /** Of the four on a line of it: real, effective, saved, of the file system. */
  private static final int EFFECTIVE = 2;

  private static final Set<PosixFilePermission> OTHERS =
      PosixFilePermissions.fromString("---rwxrwx");
  private static final int ROOT = 0;

  private static FileOwner of(Path file) throws IOException {
    return new FileOwner(
        (int) Files.getAttribute(file, "unix:uid"),
        (int) Files.getAttribute(file, "unix:gid"),
        Files.getPosixFilePermissions(file));
  }

  private static FileOwner self() throws IOException {
    var status = Files.readAllLines(SELF);
    return new FileOwner(effective(status, "Uid:"), effective(status, "Gid:"), Set.of());
  }

  private static int effective(List<String> status, String name) throws IOException {
    return status.stream()
        .filter(line -> line.startsWith(name))
        .map(line -> Integer.parseUnsignedInt(line.split("\\s+", -1)[EFFECTIVE]))
        .findFirst()
        .orElseThrow(() -> new IOException(SELF + " has no " + name));
  }

  private String ids() {
    return Integer.toUnsignedString(uid) + ":" + Integer.toUnsignedString(gid);
  }

  private String found() {
    return "owner %s, mode %s".formatted(ids(), PosixFilePermissions.toString(permissions));
  }

  /** What is wrong with who may read a secret; says what was found and what was expected. */
  public static Optional<String> opennessOf(Path file) {
    try {
      var owner = of(file);
      var self = self();
      Set<PosixFilePermission> open = new HashSet<>(owner.permissions);
      open.retainAll(OTHERS);
      boolean ours = owner.uid == self.uid || owner.uid == ROOT;
      return open.isEmpty() && ours
          ? Optional.empty()
          : Optional.of(wrong(file, owner, self, !ours, !open.isEmpty()));
    } catch (IOException e) {
      return Optional.of(unexamined(file, e));
    }
  }

  /** Says of a file that this process may not read who may, and what would let it. */
  public static String unreadable(Path file) {
    try {
      return "cannot be read: " + wrong(file, of(file), self(), true, true);
    } catch (IOException e) {
      return unexamined(file, e);
    }
  }

  /** The directory on the way to a file that this process may not enter, which hides the file. */
  public static Optional<String> closedDirectory(Path file) {
    for (var at = file.toAbsolutePath().getParent(); at != null; at = at.getParent()) {
      if (Files.isDirectory(at)) {
        return Files.isExecutable(at) ? Optional.empty() : Optional.of(notEntered(at));
      }
    }
    return Optional.empty();
  }

  /** What keeps this process from making and replacing files in a directory that exists. */
  public static Optional<String> closedForWriting(Path directory) {
    if (!Files.isDirectory(directory)
        || (Files.isWritable(directory) && Files.isExecutable(directory))) {
      return Optional.empty();
    }
    try {
      var self = self().ids();
      return Optional.of(
          "%s: %s; expected owner %s, mode rwx------; remedy: chown %s %s && chmod 700 %s"
              .formatted(directory, of(directory).found(), self, self, directory, directory));
    } catch (IOException e) {
      return Optional.of(unexamined(directory, e));
    }
  }

  /** What keeps this process from writing to a file, or from making it where there is none. */
  public static Optional<String> unwritable(Path file) {
    var closed = closedDirectory(file);
    var directory = file.toAbsolutePath().getParent();
    if (closed.isPresent() || directory == null) {
      return closed;
    }
    if (!Files.exists(file)) {
      return closedForWriting(directory);
    }
    if (Files.isWritable(file)) {
      return Optional.empty();
    }
    try {
      return Optional.of(wrong(file, of(file), self(), true, true));
    } catch (IOException e) {
      return Optional.of(unexamined(file, e));
    }
  }

  private static String notEntered(Path directory) {
    try {
      var self = self();
      return "%s: %s; this process, %s, may not enter it; remedy: chown %s %s"
          .formatted(directory, of(directory).found(), self.ids(), self.ids(), directory);
    } catch (IOException e) {
      return unexamined(directory, e);
    }
  }

  private static String wrong(
      Path file, FileOwner owner, FileOwner self, boolean chown, boolean chmod) {
    var remedies = new StringBuilder();
    if (chown) {
      remedies.append("chown ").append(self.ids()).append(' ').append(file);
    }
    if (chmod) {
      remedies.append(chown ? " && " : "").append("chmod 600 ").append(file);
    }
    return "%s: %s; expected owner %s, mode rw-------; remedy: %s"
        .formatted(file, owner.found(), self.ids(), remedies);
  }

  private static String unexamined(Path file, IOException e) {
    return file + " cannot be examined: " + e.getClass().getSimpleName();
  }
}
