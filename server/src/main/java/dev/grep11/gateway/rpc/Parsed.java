package dev.grep11.gateway.rpc;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.Parser;
import io.grpc.KnownLength;
import io.grpc.MethodDescriptor;
import java.io.IOException;
import java.io.InputStream;
import java.util.Arrays;
import java.util.function.BiPredicate;
import org.jspecify.annotations.Nullable;

/**
 * A request, or that its bytes were none. An exception out of a marshaller would reach the client
 * as an unexplained UNKNOWN and the log with a stack trace, so the failure travels as a value.
 *
 * @param message null when the bytes could not be parsed
 */
record Parsed<T>(@Nullable T message) {

  /** Of any encoding of the message. */
  static <T extends Message> MethodDescriptor.Marshaller<Parsed<T>> marshaller(T prototype) {
    return marshaller(prototype, (_, _) -> true);
  }

  /**
   * Of the one encoding that a message has here. A parser takes the last of several values for a
   * field: what somebody before the gateway read may have been the first.
   */
  static <T extends Message> MethodDescriptor.Marshaller<Parsed<T>> exactMarshaller(T prototype) {
    return marshaller(prototype, (message, bytes) -> Arrays.equals(message.toByteArray(), bytes));
  }

  private static <T extends Message> MethodDescriptor.Marshaller<Parsed<T>> marshaller(
      T prototype, BiPredicate<T, byte[]> accepted) {
    @SuppressWarnings("unchecked") // A message's own parser gives messages of its type.
    var parser = (Parser<T>) prototype.getParserForType();
    return new MethodDescriptor.Marshaller<>() {
      @Override
      public InputStream stream(Parsed<T> value) {
        throw new UnsupportedOperationException("requests are only read here");
      }

      @Override
      public Parsed<T> parse(InputStream stream) {
        try (stream) {
          // A parser reads a stream in pieces of 4 KiB; one array of the right size is copied once.
          var bytes =
              stream instanceof KnownLength
                  ? stream.readNBytes(stream.available())
                  : stream.readAllBytes();
          if (!EncodedFields.fit(bytes, prototype.getDescriptorForType())) {
            return new Parsed<>(null);
          }
          var message = parser.parseFrom(bytes);
          return new Parsed<>(accepted.test(message, bytes) ? message : null);
        } catch (InvalidProtocolBufferException e) {
          return new Parsed<>(null);
        } catch (IOException e) {
          return new Parsed<>(null);
        }
      }
    };
  }
}
