package dev.grep11.gateway.operation;

import dev.grep11.gateway.hsm.Cryptoki;
import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.HsmSettings;
import dev.grep11.gateway.hsm.PinSource;
import dev.grep11.gateway.key.KeySealer;
import dev.grep11.gateway.key.Keyring;
import dev.grep11.gateway.key.Keys;
import dev.grep11.gateway.key.SealingKeyIds;
import dev.grep11.gateway.key.SealingKeys;
import dev.grep11.gateway.key.StateSealer;
import dev.grep11.gateway.pkcs11.MechanismCatalog;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.softhsm.SoftHsmToken;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/**
 * The gateway's inside without wire, on a SoftHSM token: two instances with sealing keys of their
 * own and a third that shares the first's. The thread that opens it owns a session.
 */
final class Core implements AutoCloseable {
  static final UUID A = UUID.fromString("0000000a-0000-4000-8000-000000000001");
  static final UUID B = UUID.fromString("0000000b-0000-4000-8000-000000000002");

  /** Another instance under the very sealing keys of {@link #A}. */
  static final UUID TWIN_OF_A = UUID.fromString("0000000a-0000-4000-8000-00000000000a");

  final Hsm hsm;
  final Keyring keyring;
  final KeySealer sealer;
  final Keys keys;

  private Core(Hsm hsm) {
    this.hsm = hsm;
    hsm.adoptCurrentThread();
    SealingKeyIds a = SealingKeys.create(hsm.session(), A);
    SealingKeyIds b = SealingKeys.create(hsm.session(), B);
    keyring =
        new Keyring(
            hsm,
            Map.of(
                A, new Keyring.Generations(List.of(a)),
                B, new Keyring.Generations(List.of(b)),
                TWIN_OF_A, new Keyring.Generations(List.of(a))));
    keyring.loadAll();
    sealer = new KeySealer(hsm, keyring, true, true);
    keys = new Keys(hsm, sealer, 1000);
  }

  static Core on(SoftHsmToken token) {
    return new Core(Hsm.open(settings(token)));
  }

  /** The same over functions that a test has wrapped. */
  static Core on(SoftHsmToken token, Cryptoki cryptoki) {
    return new Core(Hsm.open(cryptoki, settings(token)));
  }

  private static HsmSettings settings(SoftHsmToken token) {
    return HsmSettings.of(
        token.module(), token.label(), PinSource.file(token.pinFile()), token.environment());
  }

  MechanismCatalog catalog(Policy policy, boolean softwareFallback) {
    return MechanismCatalog.of(hsm.mechanisms().keySet(), policy, softwareFallback);
  }

  Operations operations(Policy policy, boolean softwareFallback) {
    var used = softwareFallback ? sealer : new KeySealer(hsm, keyring, true, false);
    return new Operations(
        hsm,
        catalog(policy, softwareFallback),
        used,
        new StateSealer(hsm, keyring),
        softwareFallback ? keys : new Keys(hsm, used, 1000),
        policy,
        softwareFallback,
        4096);
  }

  static Requester by(UUID instance) {
    return new Requester(instance, "test");
  }

  @Override
  public void close() {
    hsm.close();
  }
}
