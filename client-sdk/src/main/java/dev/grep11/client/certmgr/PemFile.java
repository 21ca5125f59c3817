package dev.grep11.client.certmgr;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.regex.Pattern;

/**
 * The blocks of a PEM file (RFC 7468). Text around them is passed over, as openssl writes it; what
 * looks like a block and is none refuses the file.
 *
 * <p>Every failure is an {@link IllegalArgumentException} that names the file and shows nothing of
 * its content.
 */
final class PemFile {
  /** No certificate chain or key is near this size. */
  private static final int MAX_BYTES = 256 * 1024;

  private static final Pattern BLOCK =
      Pattern.compile("-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\\s]*)-----END \\1-----");
  private static final Pattern MARK = Pattern.compile("-----(BEGIN|END) ");

  /** One block; its content may be secret. */
  record Block(String label, byte[] der) {
    @Override
    public String toString() {
      return "Block[" + label + "]";
    }
  }

  static List<Block> blocks(Path file) {
    var text = text(file);
    var blocks = new ArrayList<Block>();
    var matcher = BLOCK.matcher(text);
    while (matcher.find()) {
      try {
        // Strict but for line ends: the MIME decoder would skip whatever it does not know.
        var base64 = matcher.group(2).replaceAll("\\s+", "");
        blocks.add(new Block(matcher.group(1), Base64.getDecoder().decode(base64)));
      } catch (IllegalArgumentException notBase64) {
        throw new IllegalArgumentException(
            "%s: the block %s is damaged".formatted(file, matcher.group(1)), notBase64);
      }
    }
    if (MARK.matcher(text).results().count() != 2L * blocks.size()) {
      throw new IllegalArgumentException(file + ": a PEM block is damaged or cut off");
    }
    return blocks;
  }

  private static String text(Path file) {
    try {
      if (Files.isDirectory(file)) {
        throw new IllegalArgumentException(file + ": is a directory");
      }
      if (Files.size(file) > MAX_BYTES) {
        throw new IllegalArgumentException(file + ": too large to be PEM of a certificate or key");
      }
      return new String(Files.readAllBytes(file), StandardCharsets.ISO_8859_1);
    } catch (NoSuchFileException e) {
      throw new IllegalArgumentException(file + ": no such file", e);
    } catch (AccessDeniedException e) {
      throw new IllegalArgumentException(file + ": this user may not read it", e);
    } catch (IOException e) {
      throw new IllegalArgumentException(file + ": cannot be read: " + e.getMessage(), e);
    }
  }

  /** Lines of 64 characters, as openssl writes them (RFC 7468, 2). */
  static String encode(String label, byte[] der) {
    var base64 = Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(der);
    return "-----BEGIN %s-----\n%s\n-----END %s-----\n".formatted(label, base64, label);
  }

  private PemFile() {}
}
