package dev.grep11.gateway.rpc;

import dev.grep11.gateway.tls.Connection;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.Optional;
import java.util.UUID;

/** Whether an instance is reached by a connection, whoever calls. Never blocks. */
@FunctionalInterface
interface NetworkAccess {
  /** From everywhere. */
  NetworkAccess OPEN = (instance, connection) -> Optional.empty();

  /** Why the connection does not reach this instance; empty when it does. */
  Optional<String> refusal(UUID instance, Connection connection);

  /** Which of its two lists a policy is asked for. */
  @FunctionalInterface
  interface Rule {
    Optional<String> refusal(NetworkPolicy policy, boolean privately, InetAddress remote);
  }

  /** As the policies say, of what listens there. */
  static NetworkAccess by(NetworkPolicies policies, ListenAddresses listening, Rule rule) {
    return (instance, connection) ->
        connection.remote() instanceof InetSocketAddress remote
            ? rule.refusal(
                policies.of(instance), listening.isPrivate(connection.local()), remote.getAddress())
            : Optional.of("the network policy cannot be applied to this connection");
  }
}
