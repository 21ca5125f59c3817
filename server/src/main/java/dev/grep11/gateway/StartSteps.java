package dev.grep11.gateway;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.iam.IssuerKeys;
import dev.grep11.gateway.iam.IssuerSettings;
import dev.grep11.gateway.key.Keyring;
import dev.grep11.gateway.key.SealingKeyIds;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.SealingKeyGeneration;
import dev.grep11.gateway.store.Store;
import java.io.IOException;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.stream.Collectors;

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

  static Store openStore(GatewayConfig config, HsmCalls calls) {
    return Store.open(config.store(), new HsmEnvelope(calls, TokenKeys.read(config.store())));
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

  /** Finds the sealing keys of all instances in the token, and checks where they come from. */
  static Keyring loadSealingKeys(Hsm hsm, HsmCalls calls, List<InstanceRecord> instances) {
    var keyring = new Keyring(hsm, generations(instances));
    calls.call(_ -> {
      keyring.loadAll();
      return true;
    });
    return keyring;
  }

  /** What each instance opens with; what seals comes first. */
  private static Map<UUID, Keyring.Generations> generations(List<InstanceRecord> instances) {
    return instances.stream()
        .collect(
            Collectors.toUnmodifiableMap(
                InstanceRecord::id,
                instance ->
                    new Keyring.Generations(
                        instance.generations().stream()
                            .filter(generation -> opens(generation.state()))
                            .sorted(Comparator.comparing(SealingKeyGeneration::state))
                            .map(StartSteps::ids)
                            .toList())));
  }

  private static boolean opens(SealingKeyGeneration.State state) {
    return switch (state) {
      case ACTIVE, NEXT -> true;
      case RETIRED, DESTROYED -> false;
    };
  }

  private static SealingKeyIds ids(SealingKeyGeneration generation) {
    return new SealingKeyIds(
        generation.masterKeyId(),
        generation.kekN(),
        generation.kekX(),
        generation.macKey(),
        generation.valueKey(),
        generation.stateRoot());
  }
}
