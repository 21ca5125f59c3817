package dev.grep11.fuzz;

import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.HsmSettings;
import dev.grep11.gateway.hsm.PinSource;
import dev.grep11.gateway.key.KeySealer;
import dev.grep11.gateway.key.Keyring;
import dev.grep11.gateway.key.Keys;
import dev.grep11.gateway.key.SealingKeys;
import dev.grep11.gateway.key.StateSealer;
import dev.grep11.gateway.operation.NewKeyPair;
import dev.grep11.gateway.operation.Operations;
import dev.grep11.gateway.operation.Requester;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismCatalog;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.softhsm.SoftHsmToken;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/**
 * The gateway's inside without wire, on the token that {@link Fuzz} made for this process, with a
 * key of each kind. The thread that asks first owns the session: libFuzzer has one.
 */
final class Inside {
  static final String TOKEN_DIRECTORY = "grep11.fuzz.token";
  static final String TOKEN_LABEL = "grep11.fuzz.label";

  static final Inside GATEWAY = new Inside();

  final Requester by = new Requester(new UUID(0xa, 1), "fuzz");
  final KeySealer sealer;
  final StateSealer states;
  final Operations operations;
  final byte[] aes;
  final byte[] generic;
  final NewKeyPair ec;
  final NewKeyPair agreement;
  final NewKeyPair edwards;
  final NewKeyPair rsa;

  private Inside() {
    var token =
        SoftHsmToken.at(
            Path.of(System.getProperty(TOKEN_DIRECTORY, "")), System.getProperty(TOKEN_LABEL, ""));
    var hsm =
        Hsm.open(
            HsmSettings.of(
                token.module(),
                token.label(),
                PinSource.file(token.pinFile()),
                token.environment()));
    hsm.adoptCurrentThread();
    var ids = SealingKeys.create(hsm.session(), by.instance());
    var keyring = new Keyring(hsm, Map.of(by.instance(), new Keyring.Generations(List.of(ids))));
    keyring.loadAll();
    sealer = new KeySealer(hsm, keyring, true, true);
    states = new StateSealer(hsm, keyring);
    var policy = Policy.COMPATIBLE;
    operations =
        new Operations(
            hsm,
            MechanismCatalog.of(hsm.mechanisms().keySet(), policy, true),
            sealer,
            states,
            new Keys(hsm, sealer, 100),
            policy,
            true,
            4096);
    aes = secret(CKM_AES_KEY_GEN, CKA_EXTRACTABLE, CKA_WRAP, CKA_UNWRAP, CKA_SIGN);
    generic = secret(CKM_GENERIC_SECRET_KEY_GEN, CKA_EXTRACTABLE, CKA_SIGN, CKA_VERIFY);
    ec = pair(NamedCurve.P_256, CKA_SIGN);
    agreement = pair(NamedCurve.P_256, CKA_DERIVE);
    edwards = pair(NamedCurve.ED25519, CKA_SIGN);
    rsa =
        operations.generateKeyPair(
            by,
            Mechanism.of(CKM_RSA_PKCS_KEY_PAIR_GEN),
            flags(CKA_ENCRYPT, CKA_VERIFY, CKA_WRAP).toBuilder()
                .put(CKA_MODULUS_BITS, 1024)
                .build(),
            flags(CKA_DECRYPT, CKA_SIGN, CKA_UNWRAP));
  }

  static Template flags(long... flags) {
    var template = Template.builder();
    for (long flag : flags) {
      template.put(flag, true);
    }
    return template.build();
  }

  private byte[] secret(long mechanism, long... flags) {
    return operations
        .generateKey(
            by, Mechanism.of(mechanism), flags(flags).toBuilder().put(CKA_VALUE_LEN, 32).build())
        .blob();
  }

  private NewKeyPair pair(NamedCurve curve, long right) {
    return operations.generateKeyPair(
        by,
        Mechanism.of(CKM_EC_KEY_PAIR_GEN),
        Template.builder().put(CKA_EC_PARAMS, curve.parameters()).build(),
        flags(right));
  }
}
