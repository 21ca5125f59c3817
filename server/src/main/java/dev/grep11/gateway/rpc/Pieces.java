package dev.grep11.gateway.rpc;

import com.google.protobuf.CodedOutputStream;
import io.grpc.HasByteBuffer;
import io.grpc.KnownLength;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;

/**
 * The bytes of a message in the pieces in which the transport has them, read from front to end. A
 * piece that was read goes back to the transport at once. Where the transport shows no buffers, the
 * whole is copied into one array first.
 */
final class Pieces {
  private static final ByteBuffer NONE = ByteBuffer.allocate(0);

  /** The longest a varint can be. */
  private static final int VARINT_BITS = 70;

  private final InputStream stream;
  private final boolean shown;
  private ByteBuffer here = NONE;
  private int length;
  private int left;

  Pieces(InputStream stream) throws IOException {
    this.stream = stream;
    shown =
        stream instanceof KnownLength
            && stream instanceof HasByteBuffer buffers
            && buffers.byteBufferSupported();
    if (shown) {
      left = stream.available();
    } else {
      here = ByteBuffer.wrap(stream.readAllBytes());
      left = here.remaining();
    }
  }

  boolean hasRemaining() {
    return left > 0;
  }

  /**
   * Fails unless so many bytes are left.
   *
   * @throws IOException that says so
   */
  void require(int bytes) throws IOException {
    if (bytes < 0 || bytes > left) {
      throw new IOException("the message ends too early");
    }
  }

  /** The next piece that has bytes; there must be some left. */
  private ByteBuffer piece() throws IOException {
    while (!here.hasRemaining()) {
      stream.skipNBytes(length);
      var next = shown ? ((HasByteBuffer) stream).getByteBuffer() : null;
      if (next == null) {
        throw new IOException("the transport has less than it said");
      }
      here = next;
      length = next.remaining();
    }
    return here;
  }

  long varint() throws IOException {
    long value = 0;
    for (int shift = 0; shift < VARINT_BITS; shift += 7) {
      require(1);
      byte next = piece().get();
      left--;
      value |= (long) (next & 0x7f) << shift;
      if (next >= 0) {
        return value;
      }
    }
    throw new IOException("a varint of more than ten bytes");
  }

  /** As many bytes as asked for, to where they fit. */
  void copy(int bytes, ByteBuffer to) throws IOException {
    require(bytes);
    for (int missing = bytes; missing > 0; ) {
      var from = piece();
      int n = Math.min(missing, from.remaining());
      to.put(from.slice(from.position(), n));
      from.position(from.position() + n);
      missing -= n;
      left -= n;
    }
  }

  void copy(int bytes, CodedOutputStream to) throws IOException {
    require(bytes);
    for (int missing = bytes; missing > 0; ) {
      var from = piece();
      int n = Math.min(missing, from.remaining());
      to.write(from.slice(from.position(), n));
      from.position(from.position() + n);
      missing -= n;
      left -= n;
    }
  }
}
