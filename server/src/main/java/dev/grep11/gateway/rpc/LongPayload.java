package dev.grep11.gateway.rpc;

import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import com.google.protobuf.WireFormat;
import dev.grep11.gateway.operation.CallMemory;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * Reads a message whose payload goes from the transport's buffers into memory of the call in one
 * copy and never through the heap; the generated parser gets the rest. The payload stays beside the
 * message, since protobuf copies whatever becomes a field. A PKCS #11 function wants its data in
 * one piece, and a long message arrives in many: so one copy there must be.
 *
 * <p>What is accepted is what the generated parser accepts of the whole, unless what is not payload
 * is longer than gRPC's default for a whole message.
 */
final class LongPayload {
  private static final int REST = 512;

  /** Key blobs and templates have some kibibytes, data to authenticate may have more. */
  private static final int MOST_REST = 4 << 20;

  private final FieldDescriptor field;
  private final Pieces pieces;
  private final CallMemory memory;
  private final ByteArrayOutputStream rest = new ByteArrayOutputStream(REST);
  private final CodedOutputStream out = CodedOutputStream.newInstance(rest, REST);
  private @Nullable ByteBuffer payload;

  private LongPayload(FieldDescriptor field, InputStream stream, CallMemory memory)
      throws IOException {
    this.field = field;
    this.pieces = new Pieces(stream);
    this.memory = memory;
  }

  /**
   * The message without its payload, and the payload, which is valid until the memory is closed.
   *
   * @param field of the payload
   * @throws IOException when the bytes are no message
   */
  static <T extends Message> Parsed<T> read(
      T prototype, FieldDescriptor field, InputStream stream, CallMemory memory)
      throws IOException {
    var reader = new LongPayload(field, stream, memory);
    var message = reader.split() ? Parsed.whole(prototype, reader.rest.toByteArray()) : null;
    var taken = reader.payload;
    if (taken != null) {
      return new Parsed<>(message, taken.asReadOnlyBuffer(), memory);
    }
    return message == null ? Parsed.nothing(memory) : Parsed.of(message, field, memory);
  }

  /** Whether there are no more fields than any call needs. */
  private boolean split() throws IOException {
    for (int fields = 0; pieces.hasRemaining(); fields++) {
      int tag = (int) pieces.varint();
      int wireType = WireFormat.getTagWireType(tag);
      if (fields > EncodedFields.MOST || wireType == WireFormat.WIRETYPE_START_GROUP) {
        return false;
      }
      if (wireType == WireFormat.WIRETYPE_LENGTH_DELIMITED) {
        delimited(tag, (int) pieces.varint());
      } else {
        out.writeUInt32NoTag(tag);
        switch (wireType) {
          case WireFormat.WIRETYPE_VARINT -> out.writeUInt64NoTag(pieces.varint());
          case WireFormat.WIRETYPE_FIXED64 -> pieces.copy(Long.BYTES, out);
          case WireFormat.WIRETYPE_FIXED32 -> pieces.copy(Integer.BYTES, out);
          default -> throw new IOException("wire type " + wireType);
        }
      }
    }
    out.flush();
    return true;
  }

  /** Of several values of a field the last one counts, whatever their lengths. */
  private void delimited(int tag, int length) throws IOException {
    boolean isPayload = WireFormat.getTagFieldNumber(tag) == field.getNumber();
    if (isPayload && payload != null) {
      memory.clear();
      payload = null;
    }
    if (isPayload && length >= CallMemory.WORTHWHILE) {
      pieces.require(length);
      var place = memory.take(length);
      pieces.copy(length, place);
      payload = place.flip();
    } else {
      if (out.getTotalBytesWritten() + (long) length > MOST_REST) {
        throw new IOException("too long beside its payload");
      }
      out.writeUInt32NoTag(tag);
      out.writeUInt32NoTag(length);
      pieces.copy(length, out);
    }
  }
}
