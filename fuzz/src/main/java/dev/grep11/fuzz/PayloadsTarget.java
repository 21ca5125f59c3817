package dev.grep11.fuzz;

import com.google.protobuf.ByteString;
import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import dev.grep11.gateway.hsm.LentBuffer;
import dev.grep11.gateway.operation.CallMemory;
import dev.grep11.gateway.rpc.PayloadDoor;
import dev.grep11.proto.DigestSingleRequest;
import dev.grep11.proto.EncryptSingleRequest;
import dev.grep11.proto.VerifySingleRequest;
import io.grpc.internal.CompositeReadableBuffer;
import io.grpc.internal.ReadableBuffers;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Requests with a payload, in the pieces in which a transport may have them. The input describes
 * the encoding, so that 16 KiB of it make payloads that are long enough, and where it is cut.
 * protobuf's own parser of the same bytes says what is right.
 */
public final class PayloadsTarget {
  private static final int HEAD = 6;

  /** Of an encoding: a few long payloads. */
  private static final int MOST = 256 << 10;

  private static final int MOST_PIECES = 4096;

  /** A request and the field of its payload. */
  private record Kind(Message prototype, int payload) {}

  private static final Kind[] KINDS = {
    new Kind(EncryptSingleRequest.getDefaultInstance(), EncryptSingleRequest.PLAIN_FIELD_NUMBER),
    new Kind(VerifySingleRequest.getDefaultInstance(), VerifySingleRequest.DATA_FIELD_NUMBER),
    new Kind(DigestSingleRequest.getDefaultInstance(), DigestSingleRequest.DATA_FIELD_NUMBER)
  };

  /** Kind, transport, four lengths of pieces in turn; then the encoding. */
  public static void fuzzerTestOneInput(byte[] input) {
    if (input.length < HEAD) {
      return;
    }
    var in = ByteBuffer.wrap(input);
    var kind = KINDS[Byte.toUnsignedInt(in.get()) % KINDS.length];
    int transport = Byte.toUnsignedInt(in.get());
    var lengths = new byte[HEAD - 2];
    in.get(lengths);
    var encoding = encoded(kind.payload(), in);
    var read =
        Property.answerOrRefusal(
                () -> {
                  try (var request =
                      PayloadDoor.read(
                          kind.prototype(), kind.payload(), stream(transport, encoding, lengths))) {
                    return judged(kind, request);
                  }
                })
            .orElseThrow(() -> new AssertionError("a request is refused by an exception"));
    if (LentBuffer.lent() != 0) {
      throw new AssertionError("memory is kept: " + LentBuffer.lent() + " bytes");
    }
    read.compare(kind.prototype(), encoding);
  }

  // ---- The answer

  /**
   * @param whole the message with its payload in it; null when it was refused
   */
  private record Answer(@Nullable Message whole) {
    void compare(Message prototype, byte[] encoding) {
      if (whole == null) {
        if (PayloadDoor.isTaken(prototype, encoding)) {
          throw new AssertionError("refused for the way in which it came");
        }
        return;
      }
      try {
        if (!whole.equals(prototype.getParserForType().parseFrom(encoding))) {
          throw new AssertionError("not what protobuf reads");
        }
      } catch (InvalidProtocolBufferException e) {
        throw new AssertionError("taken, and protobuf refuses it", e);
      }
    }
  }

  private static Answer judged(Kind kind, PayloadDoor.Read request) {
    var field = kind.prototype().getDescriptorForType().findFieldByNumber(kind.payload());
    var payload = request.payload();
    boolean isLent = payload.isDirect();
    if (request.message().isPresent()) {
      if (isLent && payload.remaining() < CallMemory.WORTHWHILE) {
        throw new AssertionError("a loan for " + payload.remaining() + " bytes");
      }
      if (LentBuffer.lent() != (isLent ? payload.remaining() : 0)) {
        throw new AssertionError("more than the payload is held: " + LentBuffer.lent());
      }
    }
    var answer =
        new Answer(
            request
                .message()
                .map(message ->
                    message.toBuilder()
                        .setField(field, ByteString.copyFrom(payload.duplicate()))
                        .build())
                .orElse(null));
    request.close();
    // The memory outlives its loan, and this thread is the only one that borrows.
    while (isLent && payload.hasRemaining()) {
      if (payload.get() != 0) {
        throw new AssertionError("a payload is left in memory");
      }
    }
    return answer;
  }

  // ---- The transport

  /** grpc's own streams, with and without buffers to show, and one that does not say its length. */
  private static InputStream stream(int transport, byte[] encoding, byte[] lengths) {
    return switch (transport % 3) {
      case 0 -> pieces(encoding, lengths, true);
      case 1 -> pieces(encoding, lengths, false);
      default -> new ByteArrayInputStream(encoding);
    };
  }

  /**
   * Pieces of the given lengths in turn, each byte for that many bytes or, from 128 on, kibibytes
   * beyond 127. A length of 0 is an empty piece. What many pieces leave over comes in one.
   */
  private static InputStream pieces(byte[] encoding, byte[] lengths, boolean shown) {
    var composite = new CompositeReadableBuffer();
    var direct = ByteBuffer.allocateDirect(encoding.length).put(encoding);
    int at = 0;
    for (int i = 0; at < encoding.length; i++) {
      int wanted = Byte.toUnsignedInt(lengths[i % lengths.length]);
      int length = wanted < 128 ? wanted : (wanted - 127) << 10;
      int n = Math.min(encoding.length - at, i < MOST_PIECES ? length : encoding.length);
      composite.addBuffer(
          shown
              ? ReadableBuffers.wrap(direct.slice(at, n))
              : ReadableBuffers.wrap(encoding, at, n));
      at += n;
    }
    return ReadableBuffers.openStream(composite, true);
  }

  // ---- The encoding

  private static byte[] encoded(int payload, ByteBuffer in) {
    var bytes = new ByteArrayOutputStream();
    var out = CodedOutputStream.newInstance(bytes);
    try {
      while (in.remaining() >= 4 && out.getTotalBytesWritten() < MOST) {
        field(payload, in, out);
      }
      out.flush();
    } catch (IOException e) {
      throw new UncheckedIOException("writing to memory", e);
    }
    // What is left over of the input cuts the end off.
    int cut = in.hasRemaining() ? Byte.toUnsignedInt(in.get()) : 0;
    return Arrays.copyOf(bytes.toByteArray(), Math.max(0, bytes.size() - cut));
  }

  private static void field(int payload, ByteBuffer in, CodedOutputStream out) throws IOException {
    int what = Byte.toUnsignedInt(in.get());
    int length = Short.toUnsignedInt(in.getShort()) % (32 << 10);
    int value = Byte.toUnsignedInt(in.get());
    switch (what % 9) {
      case 0 -> out.writeByteArray(payload, content(length, value));
      case 1 -> out.writeByteArray(1 + value, content(length, value));
      case 2 -> {
        // It says another length than it has: the rest is read as fields.
        out.writeTag(payload, 2);
        out.writeUInt32NoTag(length);
        out.writeRawBytes(content(Math.min(length, value), value));
      }
      case 3 -> {
        out.writeTag(payload, 2);
        out.writeUInt32NoTag(-1 - length);
      }
      case 4 -> {
        long longest = 0x8000_0000_0000_0000L;
        overlong(out, payload << 3 | 2, value % 11);
        overlong(out, value < 128 ? length : longest | length, 1 + value % 10);
        out.writeRawBytes(content(length, value));
      }
      case 5 -> out.writeInt64(1 + value, -length);
      case 6 -> {
        out.writeFixed32(1 + value, length);
        out.writeFixed64(payload, length);
      }
      case 7 -> out.writeTag(1 + value, 3 + length % 5);
      default -> {
        var raw = new byte[Math.min(in.remaining(), value)];
        in.get(raw);
        out.writeRawBytes(raw);
      }
    }
  }

  /** A varint of so many bytes more than it needs. */
  private static void overlong(CodedOutputStream out, long number, int more) throws IOException {
    long rest = number;
    for (; rest >>> 7 != 0; rest >>>= 7) {
      out.writeRawByte((byte) (rest | 0x80));
    }
    for (int i = 0; i < more; i++) {
      out.writeRawByte((byte) (rest | 0x80));
      rest = 0;
    }
    out.writeRawByte((byte) rest);
  }

  /** Bytes none of which is as its neighbours, so that a shift shows. */
  private static byte[] content(int length, int value) {
    var bytes = new byte[length];
    for (int i = 0; i < length; i++) {
      bytes[i] = (byte) (value + i * 31 + (i >> 8));
    }
    return bytes;
  }

  private PayloadsTarget() {}
}
