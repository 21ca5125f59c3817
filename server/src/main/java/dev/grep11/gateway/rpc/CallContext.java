package dev.grep11.gateway.rpc;

import dev.grep11.gateway.operation.Requester;
import java.net.SocketAddress;
import java.util.Optional;

/** What is known of an admitted call besides its message. */
record CallContext(
    Admission.Admitted admitted,
    String correlationId,
    Optional<SocketAddress> remote,
    Optional<String> userAgent) {
  Requester requester() {
    return admitted.requester();
  }
}
