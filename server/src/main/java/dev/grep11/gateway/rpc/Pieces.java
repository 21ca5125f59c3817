package dev.grep11.gateway.rpc;

import com.google.protobuf.CodedOutputStream;
import io.grpc.HasByteBuffer;
import io.grpc.KnownLength;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * The bytes of a message in the pieces in which the transport has them, read from front to end. A
 * piece that was read goes back to the transport at once. Where the transport shows no buffers, the
 * bytes pass through an array.
 */
final class Pieces {
  private static final ByteBuffer NONE = ByteBuffer.allocate(0);

  /** The longest a varint can be. */
  private static final int VARINT_BITS = 70;

  private static final int PASSAGE = 8 << 10;

  private final InputStream stream;

  /** Null where the transport shows its buffers. */
  private final byte @Nullable [] passage;

  private ByteBuffer here = NONE;
  private int length;
  private int left;

  Pieces(InputStream stream) throws IOException {
    this.stream = stream;
    if (stream instanceof KnownLength) {
      boolean shown = stream instanceof HasByteBuffer buffers && buffers.byteBufferSupported();
      passage = shown ? null : new byte[PASSAGE];
      left = stream.available();
    } else {
      passage = new byte[0];
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
      here = passage == null ? shown() : passed(passage);
    }
    return here;
  }

  private ByteBuffer shown() throws IOException {
    stream.skipNBytes(length);
    var next = ((HasByteBuffer) stream).getByteBuffer();
    if (next == null) {
      throw new IOException("the transport has less than it said");
    }
    length = next.remaining();
    // An empty frame of the client shows as an empty buffer, which skipping nothing leaves in front
    // for ever: what is read steps over any number of them.
    return length > 0 ? next : passed(new byte[PASSAGE]);
  }

  private ByteBuffer passed(byte[] through) throws IOException {
    int n = stream.read(through);
    if (n <= 0) {
      throw new IOException("the transport has less than it said");
    }
    return ByteBuffer.wrap(through, 0, n);
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
      to.put(to.position(), from, from.position(), n);
      to.position(to.position() + n);
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
