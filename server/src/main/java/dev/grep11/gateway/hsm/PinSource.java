package dev.grep11.gateway.hsm;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFileAttributes;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.Set;
import java.util.function.Supplier;

/** Where the user PIN of the token comes from. */
@FunctionalInterface
public interface PinSource {

  /**
   * The PIN in UTF-8, a fresh array that the caller wipes.
   *
   * @throws HsmOpenException if there is none, or if others could read it
   */
  byte[] read();

  /**
   * A file that only the gateway's user can read. A trailing line end does not belong to the PIN.
   */
  static PinSource file(Path file) {
    return () -> {
      checkPrivate(file);
      byte[] content;
      try {
        content = Files.readAllBytes(file);
      } catch (IOException e) {
        throw new HsmOpenException("PIN file " + file + " cannot be read", e);
      }
      int length = content.length;
      while (length > 0 && (content[length - 1] == '\n' || content[length - 1] == '\r')) {
        length--;
      }
      var pin = Arrays.copyOf(content, length);
      Arrays.fill(content, (byte) 0);
      if (length == 0) {
        throw new HsmOpenException("PIN file " + file + " is empty");
      }
      return pin;
    };
  }

  /** A variable of the environment. It stays in the process; a file is better. */
  static PinSource environment(String variable) {
    return () -> {
      var pin = System.getenv(variable);
      if (pin == null || pin.isEmpty()) {
        throw new HsmOpenException("PIN variable " + variable + " is not set");
      }
      return pin.getBytes(StandardCharsets.UTF_8);
    };
  }

  /** A prompt or a vault; the array it gives is wiped. */
  static PinSource chars(Supplier<char[]> supplier) {
    return () -> {
      var pin = supplier.get();
      ByteBuffer encoded = StandardCharsets.UTF_8.encode(CharBuffer.wrap(pin));
      var bytes = new byte[encoded.remaining()];
      encoded.get(bytes).rewind();
      while (encoded.hasRemaining()) {
        encoded.put((byte) 0);
      }
      Arrays.fill(pin, '\0');
      return bytes;
    };
  }

  private static void checkPrivate(Path file) {
    try {
      var attributes = Files.readAttributes(file, PosixFileAttributes.class);
      // The owner of our own process entry is the effective user, whatever user.name says.
      var self = Files.getOwner(Path.of("/proc/self"), LinkOption.NOFOLLOW_LINKS).getName();
      var owner = attributes.owner().getName();
      Set<PosixFilePermission> open = EnumSet.copyOf(PosixFilePermissions.fromString("---rwxrwx"));
      open.retainAll(attributes.permissions());
      if (!attributes.isRegularFile()
          || !open.isEmpty()
          || !(owner.equals(self) || owner.equals("root"))) {
        throw new HsmOpenException(
            "PIN file %s: owner %s, mode %s; expected a regular file, owner %s, mode rw------- or r--------; remedy: %s"
                .formatted(
                    file,
                    owner,
                    PosixFilePermissions.toString(attributes.permissions()),
                    self,
                    open.isEmpty() ? "chown " + self + " " + file : "chmod 600 " + file));
      }
    } catch (IOException e) {
      throw new HsmOpenException("PIN file " + file + " cannot be read", e);
    }
  }
}
