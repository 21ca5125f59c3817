package dev.grep11.bench.jmh;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.HsmSettings;
import dev.grep11.gateway.hsm.PinSource;
import dev.grep11.gateway.key.BlobDigest;
import dev.grep11.gateway.key.KeyForm;
import dev.grep11.gateway.key.KeySealer;
import dev.grep11.gateway.key.Keyring;
import dev.grep11.gateway.key.Keys;
import dev.grep11.gateway.key.SealingKeys;
import dev.grep11.gateway.key.StateSealer;
import dev.grep11.gateway.operation.Operations;
import dev.grep11.gateway.operation.Requester;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismCatalog;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.softhsm.SoftHsmToken;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/** What uses the token, a SoftHSM of this benchmark's own: keys that are loaded, and states. */
@State(Scope.Thread)
public class TokenBenchmark {
  private static final byte[] NO_KEY = {};

  /** Of a hash that runs: about what SHA-256 in parts carries. */
  private static final byte[] CONTENT = new byte[150];

  private final UUID instance = new UUID(0xb, 2);
  private final SoftHsmToken token = SoftHsmToken.temporary();
  private final Hsm hsm =
      Hsm.open(
          HsmSettings.of(
              token.module(), token.label(), PinSource.file(token.pinFile()), token.environment()));
  private final StateSealer states;
  private final Keys keys;
  private final byte[] blob;
  private final byte[] state;

  /** On the thread that measures: a session serves one thread. */
  public TokenBenchmark() {
    hsm.adoptCurrentThread();
    var ids = SealingKeys.create(hsm.session(), instance);
    var keyring = new Keyring(hsm, Map.of(instance, new Keyring.Generations(List.of(ids))));
    keyring.loadAll();
    var sealer = new KeySealer(hsm, keyring, true, true);
    states = new StateSealer(hsm, keyring);
    keys = new Keys(hsm, sealer, 100);
    blob = ecKey(new Requester(instance, "jmh"), sealer);
    state = sealsState();
  }

  private byte[] ecKey(Requester by, KeySealer sealer) {
    var policy = Policy.STRICT;
    var catalog = MechanismCatalog.of(hsm.mechanisms().keySet(), policy, true);
    return new Operations(hsm, catalog, sealer, states, keys, policy, true, 4096)
        .generateKeyPair(
            by,
            Mechanism.of(Ckm.CKM_EC_KEY_PAIR_GEN),
            Template.builder().put(Cka.CKA_EC_PARAMS, NamedCurve.P_256.parameters()).build(),
            Template.builder().put(Cka.CKA_SIGN, true).build())
        .privateKey()
        .blob();
  }

  @Benchmark
  public Optional<BlobDigest> digestsKeyBlob() {
    return BlobDigest.of(blob);
  }

  @Benchmark
  public long borrowsLoadedKey() {
    try (var key = keys.borrow(instance, blob, KeyForm.USE)) {
      return key.handle();
    }
  }

  @Benchmark
  public final byte[] sealsState() {
    return states.seal(instance, CryptoFunction.DIGEST, Ckm.CKM_SHA256, NO_KEY, CONTENT);
  }

  @Benchmark
  public byte[] opensState() {
    return states.open(instance, CryptoFunction.DIGEST, state);
  }

  @TearDown
  public void close() {
    hsm.close();
    token.close();
  }
}
