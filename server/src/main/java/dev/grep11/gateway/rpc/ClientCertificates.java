package dev.grep11.gateway.rpc;

import dev.grep11.gateway.tls.Connection;
import dev.grep11.gateway.tls.Refusal;
import java.util.Optional;
import java.util.UUID;

/** The second lock: whether a connection's client certificate opens an instance. Never blocks. */
@FunctionalInterface
public interface ClientCertificates {

  /** For a port that is not behind the lock, because the lock is opened from there. */
  ClientCertificates NOT_NEEDED = (instance, connection) -> Optional.empty();

  /** Why the connection does not open this instance; empty when it does. */
  Optional<Refusal> refusal(UUID instance, Connection connection);
}
