package dev.grep11.gateway.store;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.UUID;

/** Fields of records as bytes: big-endian, and everything of variable length with its length. */
public final class Fields {
  private Fields() {}

  /** Writes one record. */
  @FunctionalInterface
  public interface Writing {
    void to(DataOutputStream out) throws IOException;
  }

  /** What was written. */
  public static byte[] bytes(Writing writing) {
    var bytes = new ByteArrayOutputStream();
    try (var out = new DataOutputStream(bytes)) {
      writing.to(out);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return bytes.toByteArray();
  }

  static void uuid(DataOutputStream out, UUID id) throws IOException {
    out.writeLong(id.getMostSignificantBits());
    out.writeLong(id.getLeastSignificantBits());
  }

  static UUID uuid(DataInputStream in) throws IOException {
    return new UUID(in.readLong(), in.readLong());
  }

  static void text(DataOutputStream out, String value) throws IOException {
    blob(out, value.getBytes(UTF_8));
  }

  static String text(DataInputStream in) throws IOException {
    return new String(blob(in), UTF_8);
  }

  /** Bytes after their number. */
  public static void blob(DataOutputStream out, byte[] value) throws IOException {
    out.writeInt(value.length);
    out.write(value);
  }

  /**
   * What {@link #blob(DataOutputStream, byte[])} wrote.
   *
   * @param in all of a record, so that a length is judged before memory is taken for it
   * @throws IOException if there is less than the length says
   */
  public static byte[] blob(DataInputStream in) throws IOException {
    int length = in.readInt();
    if (length < 0 || length > in.available()) {
      throw new IOException("length " + length + " exceeds the row");
    }
    return in.readNBytes(length);
  }
}
