package dev.grep11.gateway.rpc;

import dev.grep11.gateway.tls.Connection;
import dev.grep11.gateway.tls.Refusal;
import java.util.Optional;
import java.util.UUID;

/** The second lock: whether a connection's client certificate opens an instance. Never blocks. */
@FunctionalInterface
public interface ClientCertificates {

  /** Why the connection does not open this instance; empty when it does. */
  Optional<Refusal> refusal(UUID instance, Connection connection);
}
