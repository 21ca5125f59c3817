package dev.grep11.gateway;

import dev.grep11.gateway.iam.IssuerKeys;
import dev.grep11.gateway.iam.IssuerSettings;
import dev.grep11.gateway.key.SealingKeyException;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.Store;
import java.io.IOException;
import java.util.List;
import java.util.Optional;
import java.util.UUID;

/**
 * The steps of a start that fail when something outside is not as it should be. {@link Gateway}
 * takes them, {@link Preflight} tries them: so that both judge alike.
 */
final class StartSteps {
  private StartSteps() {}

  /**
   * Looks at a key set in a file, which nobody else is going to mend.
   *
   * @return how many of its keys can verify tokens
   * @throws StartException when it holds none, or is no key set
   */
  static int requireKeys(IssuerSettings issuer, IssuerSettings.Jwks.File keys) {
    try {
      return IssuerKeys.look(issuer);
    } catch (IOException e) {
      throw new StartException(
          "issuer %s: %s: %s".formatted(issuer.issuer(), keys.path(), e.getMessage()), e);
    }
  }

  /** As {@link #requireKeys}, of all issuers whose keys are in files. */
  static void requireKeyFiles(List<IssuerSettings> issuers) {
    for (var issuer : issuers) {
      if (issuer.keys() instanceof IssuerSettings.Jwks.File file) {
        var _ = requireKeys(issuer, file);
      }
    }
  }

  /** The store, verified against the generation that the token remembers. */
  static Store openStore(GatewayConfig config, HsmCalls calls) {
    return Store.open(
        config.database(),
        envelope(config, calls),
        new TokenAnchor(calls, TokenKeys.read(config.store())));
  }

  /** The store key in the token. */
  static HsmEnvelope envelope(GatewayConfig config, HsmCalls calls) {
    return new HsmEnvelope(calls, TokenKeys.read(config.store()));
  }

  /**
   * @param only the instance that must be among them; empty when any will do
   * @throws StartException when it is not
   */
  static void requireInstance(List<InstanceRecord> instances, Optional<UUID> only) {
    if (instances.isEmpty()) {
      throw new StartException("there is no instance; make one by: grep11 instance create");
    }
    only.filter(id -> instances.stream().noneMatch(instance -> instance.id().equals(id)))
        .ifPresent(id -> {
          throw new StartException("there is no instance " + id + " in the store");
        });
  }

  /**
   * Finds the sealing keys of all instances in the token, and checks where they come from.
   *
   * @throws SealingKeyException naming the first that is not as it should be
   */
  static void requireSealingKeys(HsmCalls calls, List<InstanceRecord> instances) {
    calls.call(session -> {
      for (var instance : instances) {
        for (var generation : instance.generations()) {
          if (generation.state().opens()) {
            KeyringFollower.requireOpens(session, instance, generation);
          }
        }
      }
      return true;
    });
  }
}
