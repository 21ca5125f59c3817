package dev.grep11.gateway.rpc;

import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import com.google.protobuf.Parser;
import com.google.protobuf.UnsafeByteOperations;
import dev.grep11.gateway.operation.CallMemory;
import dev.grep11.gateway.pkcs11.OverloadedException;
import io.grpc.KnownLength;
import io.grpc.MethodDescriptor;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * A request, or that its bytes were none. An exception out of a marshaller would reach the client
 * as an unexplained UNKNOWN and the log with a stack trace, so the failure travels as a value.
 *
 * @param message null when the bytes could not be parsed; without its payload when that is long
 * @param payload the bytes that the call works on, of an rpc that has such
 * @param memory where a long payload lies; whoever drops the request closes it
 * @param overload why the bytes were not looked at; null when they were
 */
record Parsed<T>(
    @Nullable T message,
    ByteBuffer payload,
    CallMemory memory,
    @Nullable OverloadedException overload)
    implements AutoCloseable {
  private static final ByteBuffer NO_PAYLOAD = ByteBuffer.allocate(0).asReadOnlyBuffer();

  Parsed(@Nullable T message, ByteBuffer payload, CallMemory memory) {
    this(message, payload, memory, null);
  }

  /** Of any encoding of the message. */
  static <T extends Message> MethodDescriptor.Marshaller<Parsed<T>> marshaller(T prototype) {
    return reading(
        (stream, memory) -> new Parsed<>(whole(prototype, bytes(stream)), NO_PAYLOAD, memory));
  }

  /**
   * Of any encoding of a message with a payload, which stays outside the heap when it is long.
   *
   * @param payload number of its field, of type bytes
   */
  static <T extends Message> MethodDescriptor.Marshaller<Parsed<T>> marshaller(
      T prototype, int payload) {
    var field = prototype.getDescriptorForType().findFieldByNumber(payload);
    return reading((stream, memory) -> {
      if (!(stream instanceof KnownLength) || stream.available() >= CallMemory.WORTHWHILE) {
        return LongPayload.read(prototype, field, stream, memory);
      }
      var message = whole(prototype, bytes(stream));
      return message == null ? nothing(memory) : of(message, field, memory);
    });
  }

  /**
   * Of the one encoding that a message has here. A parser takes the last of several values for a
   * field: what somebody before the gateway read may have been the first.
   */
  static <T extends Message> MethodDescriptor.Marshaller<Parsed<T>> exactMarshaller(T prototype) {
    return reading((stream, memory) -> {
      var bytes = bytes(stream);
      var message = whole(prototype, bytes);
      boolean exact = message != null && Arrays.equals(message.toByteArray(), bytes);
      return new Parsed<>(exact ? message : null, NO_PAYLOAD, memory);
    });
  }

  static <T> Parsed<T> nothing(CallMemory memory) {
    return new Parsed<>(null, NO_PAYLOAD, memory);
  }

  /** With the payload that is a field of the message. */
  static <T extends Message> Parsed<T> of(T message, FieldDescriptor payload, CallMemory memory) {
    return new Parsed<>(
        message, ((ByteString) message.getField(payload)).asReadOnlyByteBuffer(), memory);
  }

  private interface Reading<T> {
    Parsed<T> of(InputStream stream, CallMemory memory) throws IOException;
  }

  /** A parser reads a stream in pieces of 4 KiB; one array of the right size is copied once. */
  private static byte[] bytes(InputStream stream) throws IOException {
    return stream instanceof KnownLength
        ? stream.readNBytes(stream.available())
        : stream.readAllBytes();
  }

  /** Null when there are more fields than any call needs. */
  static <T extends Message> @Nullable T whole(T prototype, byte[] handedOver) throws IOException {
    @SuppressWarnings("unchecked") // A message's own parser gives messages of its type.
    var parser = (Parser<T>) prototype.getParserForType();
    if (!EncodedFields.fit(handedOver, prototype.getDescriptorForType())) {
      return null;
    }
    // Nobody writes to these bytes any more, so that fields may be views of them.
    var in = UnsafeByteOperations.unsafeWrap(handedOver).newCodedInput();
    in.enableAliasing(true);
    var message = parser.parseFrom(in);
    in.checkLastTagWas(0);
    return message;
  }

  private static <T extends Message> MethodDescriptor.Marshaller<Parsed<T>> reading(
      Reading<T> reading) {
    return new MethodDescriptor.Marshaller<>() {
      @Override
      public InputStream stream(Parsed<T> value) {
        throw new UnsupportedOperationException("requests are only read here");
      }

      @Override
      public Parsed<T> parse(InputStream stream) {
        var memory = new CallMemory();
        try (stream) {
          return reading.of(stream, memory);
        } catch (IOException e) {
          memory.close();
          return nothing(memory);
        } catch (OverloadedException e) {
          memory.close();
          return new Parsed<>(null, NO_PAYLOAD, memory, e);
        } catch (RuntimeException | Error e) {
          memory.close();
          throw e;
        }
      }
    };
  }

  @Override
  public void close() {
    memory.close();
  }
}
