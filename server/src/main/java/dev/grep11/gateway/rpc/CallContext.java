package dev.grep11.gateway.rpc;

import dev.grep11.gateway.operation.CallMemory;
import dev.grep11.gateway.operation.Requester;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.util.Optional;

/**
 * What is known of an admitted call besides its message.
 *
 * @param payload the bytes that the call works on, of an rpc that has such
 * @param memory that lasts until the answer is written
 */
record CallContext(
    Admission.Admitted admitted,
    String correlationId,
    Optional<SocketAddress> remote,
    Optional<String> userAgent,
    ByteBuffer payload,
    CallMemory memory) {
  Requester requester() {
    return admitted.requester();
  }
}
