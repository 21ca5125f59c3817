package dev.grep11.gateway.doctor;

import dev.grep11.findings.Findings;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.key.SealingKeys;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.SealingKeyGeneration;
import dev.grep11.gateway.token.HsmCalls;
import dev.grep11.gateway.token.HsmTokenSigner;
import dev.grep11.gateway.token.KeyringFollower;
import dev.grep11.gateway.token.StartException;
import dev.grep11.gateway.token.TokenKeys;
import java.util.List;

/** The keys of a gateway in its token. */
final class TokenContents {
  private static final String SEALING = "sealing keys";
  private static final String BRING_BACK =
      "bring the token's backup back; blobs of these keys open by nothing else";

  private TokenContents() {}

  /** The gateway's own pair, which signs tokens and shows that the token works. */
  static void signingKey(GatewayConfig config, HsmCalls calls, Findings findings) {
    var check = "token-signing key";
    try {
      var signer = new HsmTokenSigner(calls, TokenKeys.read(config.store()));
      findings.good(check, "signs; kid " + signer.keyId());
    } catch (StartException | Pkcs11Exception e) {
      findings.bad(
          check,
          String.valueOf(e.getMessage()),
          "use the token and the file %s of one gateway, or of one backup"
              .formatted(config.store().resolve("token-keys")));
    }
  }

  /** Every generation of these instances, those included that open nothing at present. */
  static void sealingKeys(List<InstanceRecord> instances, HsmCalls calls, Findings findings) {
    for (var instance : instances) {
      for (var generation : instance.generations()) {
        generation(instance, generation, calls, findings);
      }
      if (instance.active().isEmpty()) {
        findings.bad(
            SEALING,
            "no master key of instance %s is active, so that no key can be made"
                .formatted(instance.id()),
            "grep11 masterkey list, then activate or reinstate one");
      }
    }
  }

  private static void generation(
      InstanceRecord instance, SealingKeyGeneration generation, HsmCalls calls, Findings findings) {
    var what =
        "master key %s of instance %s (%s)"
            .formatted(
                generation.id().substring(0, 8),
                instance.id(),
                generation.state().name().toLowerCase(java.util.Locale.ROOT));
    if (generation.state() == SealingKeyGeneration.State.DESTROYED) {
      return;
    }
    try {
      var faults =
          calls.call(session ->
              SealingKeys.faults(session, instance.id(), KeyringFollower.ids(generation)));
      if (!faults.isEmpty() && generation.state().opens()) {
        findings.bad(SEALING, what + ": " + String.join("; ", faults), BRING_BACK);
      } else if (!faults.isEmpty()) {
        findings.warning(
            SEALING,
            "%s cannot be reinstated: %s".formatted(what, String.join("; ", faults)),
            BRING_BACK);
      } else {
        if (generation.state().opens()) {
          var _ =
              calls.call(session -> {
                KeyringFollower.requireOpens(session, instance, generation);
                return true;
              });
        }
        findings.good(SEALING, what + ": five keys, made in the token and never outside of it");
      }
    } catch (RuntimeException e) {
      findings.bad(SEALING, what + ": " + e.getMessage(), BRING_BACK);
    }
  }
}
