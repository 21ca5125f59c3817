package dev.grep11.gateway.rpc;

import dev.grep11.gateway.tls.AddressRange;
import java.net.InetAddress;
import java.util.List;
import java.util.Optional;

/**
 * From where an instance is reached. Both must allow: the kind of network, and the address.
 *
 * @param crypto addresses that may use keys; empty for all
 * @param certificateManager addresses that may manage client CAs; empty for all
 */
public record NetworkPolicy(
    Reach reach,
    Optional<List<AddressRange>> crypto,
    Optional<List<AddressRange>> certificateManager) {
  /** Everything from everywhere. */
  public static final NetworkPolicy OPEN =
      new NetworkPolicy(Reach.PUBLIC_AND_PRIVATE, Optional.empty(), Optional.empty());

  /** Which listeners serve an instance. */
  public enum Reach {
    PUBLIC_AND_PRIVATE,
    PRIVATE_ONLY
  }

  public NetworkPolicy {
    crypto = crypto.map(List::copyOf);
    certificateManager = certificateManager.map(List::copyOf);
    if (crypto.filter(List::isEmpty).isPresent()
        || certificateManager.filter(List::isEmpty).isPresent()) {
      throw new IllegalArgumentException("an empty list of addresses serves nobody");
    }
  }

  /** Why a call to the crypto port is refused; empty when it is not. */
  Optional<String> refusalOfUse(boolean privately, InetAddress remote) {
    return refusal(privately, crypto, remote);
  }

  /** Why a call to the certificate manager is refused; empty when it is not. */
  Optional<String> refusalOfAdministration(boolean privately, InetAddress remote) {
    return refusal(privately, certificateManager, remote);
  }

  private Optional<String> refusal(
      boolean privately, Optional<List<AddressRange>> allowed, InetAddress remote) {
    if (reach == Reach.PRIVATE_ONLY && !privately) {
      return Optional.of("the instance is reached over the private network only");
    }
    if (allowed.isPresent() && allowed.get().stream().noneMatch(range -> range.contains(remote))) {
      return Optional.of("the network policy of the instance does not allow this address");
    }
    return Optional.empty();
  }
}
