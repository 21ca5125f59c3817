package dev.grep11.gateway.rpc;

import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.WireFormat;
import io.grpc.Drainable;
import io.grpc.KnownLength;
import io.grpc.MethodDescriptor;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * A response that is one field of bytes, written from where the token put them. The transport takes
 * arrays only, so they pass through a small one.
 */
final class LongResult extends InputStream implements KnownLength, Drainable {
  /** One for each thread that answers; all zeros between two answers. */
  private static final ThreadLocal<byte[]> PASSAGE = ThreadLocal.withInitial(() -> new byte[8192]);

  private final byte[] head;
  private final ByteBuffer bytes;
  private @Nullable InputStream read;

  private LongResult(int field, ByteBuffer bytes) {
    this.bytes = bytes;
    this.head = bytes.hasRemaining() ? head(field, bytes.remaining()) : new byte[0];
  }

  /**
   * Writes bytes as a message that has them in its one field.
   *
   * @param field its number
   */
  static MethodDescriptor.Marshaller<ByteBuffer> marshaller(int field) {
    return new MethodDescriptor.Marshaller<>() {
      @Override
      public InputStream stream(ByteBuffer value) {
        return new LongResult(field, value.duplicate());
      }

      @Override
      public ByteBuffer parse(InputStream stream) {
        throw new UnsupportedOperationException("responses are only written here");
      }
    };
  }

  /** Tag and length. An empty field is left out (proto3). */
  private static byte[] head(int field, int length) {
    var head = new byte[CodedOutputStream.computeTagSize(field) + 5];
    var out = CodedOutputStream.newInstance(head);
    try {
      out.writeTag(field, WireFormat.WIRETYPE_LENGTH_DELIMITED);
      out.writeUInt32NoTag(length);
    } catch (IOException e) {
      throw new UncheckedIOException("writing to memory", e);
    }
    return Arrays.copyOf(head, out.getTotalBytesWritten());
  }

  @Override
  public int drainTo(OutputStream target) throws IOException {
    int length = available();
    target.write(head);
    if (bytes.hasArray()) {
      target.write(bytes.array(), bytes.arrayOffset() + bytes.position(), bytes.remaining());
      bytes.position(bytes.limit());
    } else {
      var passage = PASSAGE.get();
      int used = Math.min(passage.length, bytes.remaining());
      try {
        while (bytes.hasRemaining()) {
          int n = Math.min(passage.length, bytes.remaining());
          bytes.get(passage, 0, n);
          target.write(passage, 0, n);
        }
      } finally {
        // It may be clear text, and unlike the memory of the call nobody wipes it.
        Arrays.fill(passage, 0, used, (byte) 0);
      }
    }
    return length;
  }

  @Override
  public int available() {
    return head.length + bytes.remaining();
  }

  // The transport drains; what follows is for whoever does not.

  @Override
  public int read() throws IOException {
    return undrained().read();
  }

  @Override
  public int read(byte[] into, int from, int most) throws IOException {
    return undrained().read(into, from, most);
  }

  private InputStream undrained() throws IOException {
    var whole = read;
    if (whole == null) {
      var all = new ByteArrayOutputStream(available());
      var _ = drainTo(all);
      whole = new ByteArrayInputStream(all.toByteArray());
      read = whole;
    }
    return whole;
  }
}
