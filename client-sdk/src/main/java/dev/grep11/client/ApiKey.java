package dev.grep11.client;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

/** Where the API key comes from; it is read for each token request and wiped after. */
@FunctionalInterface
interface ApiKey {
  /** The key in UTF-8, in an array that the caller wipes. */
  byte[] read();

  static ApiKey of(char[] key) {
    char[] copy = key.clone();
    if (copy.length == 0) {
      throw new IllegalArgumentException("the API key is empty");
    }
    return () -> utf8(copy);
  }

  /** A file that is read again for each token, so that a new key needs no restart. */
  static ApiKey in(Path file) {
    return () -> {
      try {
        byte[] content = Files.readAllBytes(file);
        int end = content.length;
        while (end > 0 && content[end - 1] <= ' ' && content[end - 1] >= 0) {
          end--;
        }
        byte[] key = Arrays.copyOf(content, end);
        Arrays.fill(content, (byte) 0);
        return key;
      } catch (IOException e) {
        throw new UncheckedIOException("API key file " + file, e);
      }
    };
  }

  private static byte[] utf8(char[] text) {
    var encoded = ByteBuffer.allocate(3 * text.length);
    StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(text), encoded, true);
    byte[] bytes = Arrays.copyOf(encoded.array(), encoded.position());
    Arrays.fill(encoded.array(), (byte) 0);
    return bytes;
  }
}
