package dev.grep11.gateway.host;

import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.iam.IssuerKeys;
import dev.grep11.gateway.iam.IssuerSettings;
import dev.grep11.gateway.key.SealingKeyException;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.tls.IdentityException;
import dev.grep11.gateway.tls.ServerIdentity;
import dev.grep11.gateway.token.HsmCalls;
import dev.grep11.gateway.token.HsmEnvelope;
import dev.grep11.gateway.token.KeyringFollower;
import dev.grep11.gateway.token.StartException;
import dev.grep11.gateway.token.TokenAnchor;
import dev.grep11.gateway.token.TokenKeys;
import java.io.IOException;
import java.util.List;
import java.util.Optional;
import java.util.UUID;

/**
 * The steps of a start that fail when something outside is not as it should be. The gateway takes
 * them, {@code doctor} tries them: so that both judge alike.
 */
public final class StartSteps {
  private StartSteps() {}

  /**
   * Looks at a key set in a file, which nobody else is going to mend.
   *
   * @return how many of its keys can verify tokens
   * @throws StartException when it holds none, or is no key set
   */
  public static int requireKeys(IssuerSettings issuer, IssuerSettings.Jwks.File keys) {
    try {
      return IssuerKeys.look(issuer).keys();
    } catch (IOException e) {
      throw new StartException(
          "issuer %s: %s: %s; put the issuer's key set (RFC 7517) there"
              .formatted(issuer.issuer(), keys.path(), e.getMessage()),
          e);
    }
  }

  /** As {@link #requireKeys}, of all issuers whose keys are in files. */
  public static void requireKeyFiles(List<IssuerSettings> issuers) {
    for (var issuer : issuers) {
      if (issuer.keys() instanceof IssuerSettings.Jwks.File file) {
        var _ = requireKeys(issuer, file);
      }
    }
  }

  /**
   * Looks for every configured name on the server's certificate.
   *
   * @throws StartException naming those that it lacks
   */
  public static void requireHosts(GatewayConfig config) throws IdentityException {
    var chain = ServerIdentity.certificates(config.certificateChain());
    var missing = ServerIdentity.missing(chain.getFirst(), config.hosts());
    if (!missing.isEmpty()) {
      throw new StartException(
          "the first certificate in %s is not for %s of tls.hosts, but for %s; have it issued with these names too"
              .formatted(
                  config.certificateChain(),
                  String.join(", ", missing),
                  String.join(", ", ServerIdentity.names(chain.getFirst()))));
    }
  }

  /** The store, verified against the generation that the token remembers. */
  public static Store openStore(GatewayConfig config, HsmCalls calls) {
    return Store.open(
        config.database(),
        envelope(config, calls),
        new TokenAnchor(calls, TokenKeys.read(config.store())));
  }

  /** The store key in the token. */
  public static HsmEnvelope envelope(GatewayConfig config, HsmCalls calls) {
    return new HsmEnvelope(calls, TokenKeys.read(config.store()));
  }

  /**
   * Looks for the instance that is to be served.
   *
   * @param only the instance that must be among them; empty when any will do
   * @throws StartException when it is not
   */
  public static void requireInstance(List<InstanceRecord> instances, Optional<UUID> only) {
    if (instances.isEmpty()) {
      throw new StartException("there is no instance; make one by: grep11 instance create");
    }
    only.filter(id -> instances.stream().noneMatch(instance -> instance.id().equals(id)))
        .ifPresent(id -> {
          throw new StartException(
              "there is no instance %s in the store; name one of it as instance, see: grep11 instance list, or make it by: grep11 instance create"
                  .formatted(id));
        });
  }

  /**
   * Finds the sealing keys of all instances in the token, and checks where they come from.
   *
   * @throws SealingKeyException naming the first that is not as it should be
   */
  public static void requireSealingKeys(HsmCalls calls, List<InstanceRecord> instances) {
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
