package dev.grep11.gateway.rpc;

import java.util.Map;
import java.util.UUID;

/**
 * The network policy of each instance.
 *
 * @param standard of those that have none of their own
 */
public record NetworkPolicies(NetworkPolicy standard, Map<UUID, NetworkPolicy> byInstance) {
  /** Everything from everywhere. */
  public static final NetworkPolicies OPEN = new NetworkPolicies(NetworkPolicy.OPEN, Map.of());

  public NetworkPolicies {
    byInstance = Map.copyOf(byInstance);
  }

  public NetworkPolicy of(UUID instance) {
    return byInstance.getOrDefault(instance, standard);
  }
}
