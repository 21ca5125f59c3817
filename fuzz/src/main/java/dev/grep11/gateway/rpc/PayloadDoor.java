package dev.grep11.gateway.rpc;

import com.google.protobuf.Message;
import dev.grep11.gateway.operation.CallMemory;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.util.Optional;
import org.jspecify.annotations.NullMarked;

/** Lets the fuzz targets into the path of long payloads, which stays closed to everybody else. */
@NullMarked
public final class PayloadDoor {

  /**
   * What a call begins with.
   *
   * @param message empty when it is refused; without its payload when that is long
   */
  public record Read(Optional<Message> message, ByteBuffer payload, CallMemory memory)
      implements AutoCloseable {
    @Override
    public void close() {
      memory.close();
    }
  }

  /**
   * As a route reads a request.
   *
   * @param payload number of its field
   */
  public static Read read(Message prototype, int payload, InputStream stream) {
    var parsed = Parsed.marshaller(prototype, payload).parse(stream);
    return new Read(Optional.ofNullable(parsed.message()), parsed.payload(), parsed.memory());
  }

  /** Whether a message has no more fields than any call needs, as other requests are judged. */
  public static boolean isTaken(Message prototype, byte[] encoding) {
    try {
      return Parsed.whole(prototype, encoding) != null;
    } catch (IOException e) {
      return false;
    }
  }

  private PayloadDoor() {}
}
