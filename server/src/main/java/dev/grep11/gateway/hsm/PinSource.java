package dev.grep11.gateway.hsm;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
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

  /** Where it is, for messages. */
  default String place() {
    return "that was given";
  }

  /**
   * A file that only the gateway's user can read. A trailing line end does not belong to the PIN.
   */
  static PinSource file(Path file) {
    return new FromFile(file);
  }

  /** The PIN in a file. */
  record FromFile(Path file) implements PinSource {
    @Override
    public byte[] read() {
      checkPrivate(file);
      byte[] content;
      try {
        content = Files.readAllBytes(file);
      } catch (IOException e) {
        throw new HsmOpenException("PIN file " + FileOwner.unreadable(file), e);
      }
      int length = content.length;
      while (length > 0 && (content[length - 1] == '\n' || content[length - 1] == '\r')) {
        length--;
      }
      var pin = Arrays.copyOf(content, length);
      Arrays.fill(content, (byte) 0);
      if (length == 0) {
        throw new HsmOpenException(
            "PIN file " + file + " is empty; write the token's user PIN into it");
      }
      return pin;
    }

    @Override
    public String place() {
      return "in " + file;
    }
  }

  /** A variable of the environment. It stays in the process; a file is better. */
  static PinSource environment(String variable) {
    return new PinSource() {
      @Override
      public byte[] read() {
        var pin = System.getenv(variable);
        if (pin == null || pin.isEmpty()) {
          throw new HsmOpenException("PIN variable " + variable + " is not set");
        }
        return pin.getBytes(StandardCharsets.UTF_8);
      }

      @Override
      public String place() {
        return "in the variable " + variable;
      }
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
    if (!Files.isRegularFile(file)) {
      throw new HsmOpenException(
          "PIN file %s: expected a regular file, and there is %s"
              .formatted(file, Files.exists(file) ? "something else" : "none"));
    }
    FileOwner.opennessOf(file)
        .ifPresent(what -> {
          throw new HsmOpenException("PIN file " + what);
        });
  }
}
