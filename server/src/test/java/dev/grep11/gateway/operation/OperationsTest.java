package dev.grep11.gateway.operation;

import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Hash;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismCatalog;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesGcm;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaOaep;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.OverloadedException;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.softhsm.SoftHsmExtension;
import java.nio.ByteBuffer;
import java.util.Arrays;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class OperationsTest {
  @RegisterExtension static final SoftHsmExtension HSM = new SoftHsmExtension();
  private static Core core;
  private static Operations operations;
  private static final Requester BY = Core.by(Core.A);
  private static final byte[] MESSAGE =
      "the quick brown fox jumps over the lazy dog"
          .getBytes(java.nio.charset.StandardCharsets.UTF_8);

  @BeforeAll
  static void open() {
    core = Core.on(HSM.token());
    operations = core.operations(Policy.COMPATIBLE, true);
  }

  @AfterAll
  static void close() {
    core.close();
  }

  private static Client client() {
    return new Client(operations, Core.A);
  }

  private static ByteBuffer message() {
    return ByteBuffer.wrap(MESSAGE);
  }

  private static NewKey aes(Template.Builder template) {
    return operations.generateKey(
        BY, Mechanism.of(CKM_AES_KEY_GEN), template.put(CKA_VALUE_LEN, 32).build());
  }

  private static NewKeyPair ec(NamedCurve curve, Template privateTemplate) {
    return operations.generateKeyPair(
        BY,
        Mechanism.of(CKM_EC_KEY_PAIR_GEN),
        Template.builder().put(CKA_EC_PARAMS, curve.parameters()).build(),
        privateTemplate);
  }

  private static NewKeyPair rsa(Template publicTemplate, Template privateTemplate) {
    return operations.generateKeyPair(
        BY,
        Mechanism.of(CKM_RSA_PKCS_KEY_PAIR_GEN),
        publicTemplate.toBuilder().put(CKA_MODULUS_BITS, 2048).build(),
        privateTemplate);
  }

  private static Template with(long... flags) {
    var template = Template.builder();
    for (long flag : flags) {
      template.put(flag, true);
    }
    return template.build();
  }

  @Test
  void encryptsAndDecryptsUnderCbcPadAndGcm() {
    var key = aes(Template.builder()).blob();
    var cbc = Mechanism.of(CKM_AES_CBC_PAD, new byte[16]);
    var ciphered = client().encrypt(cbc, key, MESSAGE);
    assertThat(client().decrypt(cbc, key, ciphered)).isEqualTo(MESSAGE);
    var gcm = new Mechanism(CKM_AES_GCM, new AesGcm(new byte[0], new byte[] {1}, 128));
    var sealed = client().encrypt(gcm, key, MESSAGE);
    assertThat(client().decrypt(gcm, key, sealed)).isEqualTo(MESSAGE);
  }

  @ParameterizedTest
  @EnumSource(NamedCurve.class)
  void makesAndUsesAPairOnEveryCurve(NamedCurve curve) {
    boolean montgomery = curve.form() == NamedCurve.Form.MONTGOMERY;
    var pair = ec(curve, with(CKA_EXTRACTABLE, montgomery ? CKA_DERIVE : CKA_SIGN));
    if (montgomery) {
      var peer = ec(curve, with(CKA_DERIVE));
      long mechanism = curve == NamedCurve.X25519 ? CKM_IBM_EC_X25519 : CKM_IBM_EC_X448;
      var template =
          Template.builder().put(CKA_KEY_TYPE, Ckk.CKK_AES).put(CKA_VALUE_LEN, 32).build();
      var one =
          operations.deriveKey(
              BY,
              Mechanism.of(mechanism, spki(peer)),
              pair.privateKey().blob(),
              new byte[0],
              template);
      var other =
          operations.deriveKey(
              BY,
              Mechanism.of(mechanism, spki(pair)),
              peer.privateKey().blob(),
              new byte[0],
              template);
      assertThat(one.checkSum()).isEqualTo(other.checkSum()).hasSize(3);
      return;
    }
    var mechanism =
        Mechanism.of(curve.form() == NamedCurve.Form.EDWARDS ? CKM_EDDSA : CKM_ECDSA_SHA256);
    var signature = operations.signSingle(BY, mechanism, pair.privateKey().blob(), message());
    operations.verifySingle(BY, mechanism, pair.publicKey().blob(), message(), signature);
  }

  private static byte[] spki(NewKeyPair pair) {
    return pair.publicKey().attributes().bytes(CKA_PUBLIC_KEY_INFO).orElseThrow();
  }

  @Test
  void wrapsAndUnwrapsAnAesKeyUnderEveryMechanism() {
    var pair = rsa(with(CKA_WRAP, CKA_ENCRYPT), with(CKA_UNWRAP, CKA_DECRYPT));
    var kek = aes(with(CKA_WRAP, CKA_UNWRAP).toBuilder()).blob();
    var key = aes(with(CKA_EXTRACTABLE).toBuilder());
    var template =
        Template.builder()
            .put(CKA_CLASS, Cko.CKO_SECRET_KEY)
            .put(CKA_KEY_TYPE, Ckk.CKK_AES)
            .put(CKA_VALUE_LEN, 32)
            .put(CKA_ENCRYPT, true)
            .build();
    var rsaMechanisms =
        new Mechanism[] {
          Mechanism.of(CKM_RSA_PKCS),
          new Mechanism(CKM_RSA_PKCS_OAEP, new RsaOaep(Hash.SHA_1.mechanism(), 1, new byte[0])),
          new Mechanism(
              CKM_RSA_PKCS_OAEP,
              new RsaOaep(Hash.SHA256.mechanism(), Hash.SHA256.mgf(), new byte[] {7}))
        };
    for (var mechanism : rsaMechanisms) {
      var wrapped =
          operations.wrapKey(BY, mechanism, key.blob(), pair.publicKey().blob(), new byte[0]);
      var unwrapped =
          operations.unwrapKey(
              BY, mechanism, wrapped, pair.privateKey().blob(), new byte[0], template);
      assertThat(Arrays.copyOf(unwrapped.checkSum(), 3)).isEqualTo(key.checkSum());
      assertThat(unwrapped.checkSum()).hasSize(7);
    }
    var symmetric =
        new Mechanism[] {
          Mechanism.of(CKM_AES_KEY_WRAP),
          Mechanism.of(CKM_AES_KEY_WRAP_PAD),
          Mechanism.of(CKM_AES_CBC, new byte[16]),
          Mechanism.of(CKM_AES_CBC_PAD, new byte[16])
        };
    for (var mechanism : symmetric) {
      var wrapped = operations.wrapKey(BY, mechanism, key.blob(), kek, new byte[0]);
      var unwrapped = operations.unwrapKey(BY, mechanism, wrapped, kek, new byte[0], template);
      assertThat(Arrays.copyOf(unwrapped.checkSum(), 3)).isEqualTo(key.checkSum());
    }
  }

  @Test
  void wrapsAndUnwrapsPrivateKeysOfEveryType() {
    var kek = aes(with(CKA_WRAP, CKA_UNWRAP).toBuilder()).blob();
    var pairs =
        new NewKeyPair[] {
          rsa(Template.empty(), with(CKA_EXTRACTABLE)),
          ec(NamedCurve.P_256, with(CKA_EXTRACTABLE)),
          ec(NamedCurve.P_521, with(CKA_EXTRACTABLE)),
          ec(NamedCurve.ED25519, with(CKA_EXTRACTABLE)),
          ec(NamedCurve.ED448, with(CKA_EXTRACTABLE)),
        };
    var signing = new long[] {CKM_SHA256_RSA_PKCS, CKM_ECDSA, CKM_ECDSA, CKM_EDDSA, CKM_EDDSA};
    for (int i = 0; i < pairs.length; i++) {
      var pair = pairs[i];
      for (var mechanism :
          new Mechanism[] {
            Mechanism.of(CKM_AES_CBC_PAD, new byte[16]), Mechanism.of(CKM_AES_KEY_WRAP_PAD)
          }) {
        if (i >= 3 && mechanism.type() == CKM_AES_KEY_WRAP_PAD) {
          continue;
        }
        var wrapped = operations.wrapKey(BY, mechanism, pair.privateKey().blob(), kek, new byte[0]);
        var back =
            operations.unwrapKey(
                BY,
                mechanism,
                wrapped,
                kek,
                new byte[0],
                Template.builder()
                    .put(CKA_KEY_TYPE, i == 0 ? Ckk.CKK_RSA : Ckk.CKK_EC)
                    .put(CKA_SIGN, true)
                    .build());
        assertThat(back.attributes().bytes(CKA_PUBLIC_KEY_INFO).orElseThrow())
            .isEqualTo(spki(pair));
        var signature = operations.signSingle(BY, Mechanism.of(signing[i]), back.blob(), message());
        operations.verifySingle(
            BY, Mechanism.of(signing[i]), pair.publicKey().blob(), message(), signature);
        // The checksum is the public key under MAC and the size in bits.
        operations.verifySingle(
            BY,
            Mechanism.of(signing[i]),
            Arrays.copyOf(back.checkSum(), back.checkSum().length - 4),
            message(),
            signature);
      }
    }
  }

  @Test
  void decryptsPkcs1AndOaep() {
    var pair = rsa(with(CKA_ENCRYPT), with(CKA_DECRYPT));
    for (var mechanism :
        new Mechanism[] {
          Mechanism.of(CKM_RSA_PKCS),
          new Mechanism(
              CKM_RSA_PKCS_OAEP,
              new RsaOaep(Hash.SHA_1.mechanism(), Hash.SHA_1.mgf(), new byte[0])),
          new Mechanism(
              CKM_RSA_PKCS_OAEP,
              new RsaOaep(Hash.SHA384.mechanism(), Hash.SHA256.mgf(), new byte[] {1, 2}))
        }) {
      var ciphered = client().encrypt(mechanism, pair.publicKey().blob(), MESSAGE);
      assertThat(client().decrypt(mechanism, pair.privateKey().blob(), ciphered))
          .isEqualTo(MESSAGE);
    }
  }

  @Test
  void makesMacsWithEverySecretKeyType() {
    var keys =
        new NewKey[] {
          aes(Template.builder()),
          operations.generateKey(
              BY,
              Mechanism.of(CKM_DES3_KEY_GEN),
              Template.builder().put(CKA_VALUE_LEN, 32).build()),
          operations.generateKey(
              BY,
              Mechanism.of(CKM_GENERIC_SECRET_KEY_GEN),
              Template.builder().put(CKA_VALUE_LEN, 16).build())
        };
    for (var key : keys) {
      for (long mechanism : new long[] {CKM_SHA256_HMAC, CKM_SHA_1_HMAC, CKM_IBM_SHA3_256_HMAC}) {
        var mac = operations.signSingle(BY, Mechanism.of(mechanism), key.blob(), message());
        operations.verifySingle(BY, Mechanism.of(mechanism), key.blob(), message(), mac);
      }
    }
  }

  @Test
  void agreesOnKeysByEcdhAndDh() {
    var template =
        Template.builder()
            .put(CKA_CLASS, Cko.CKO_SECRET_KEY)
            .put(CKA_KEY_TYPE, Ckk.CKK_AES)
            .put(CKA_VALUE_LEN, 16)
            .build();
    var one = ec(NamedCurve.P_256, with(CKA_DERIVE));
    var two = ec(NamedCurve.P_256, with(CKA_DERIVE));
    var left =
        operations.deriveKey(
            BY,
            Mechanism.of(CKM_ECDH1_DERIVE, spki(two)),
            one.privateKey().blob(),
            new byte[0],
            template);
    var right =
        operations.deriveKey(
            BY,
            Mechanism.of(CKM_ECDH1_DERIVE, spki(one)),
            two.privateKey().blob(),
            new byte[0],
            template);
    assertThat(left.checkSum()).isEqualTo(right.checkSum());
  }

  @Test
  void changesAttributesAndMovesAKeyUnderTheOtherKek() {
    var key = aes(with(CKA_EXTRACTABLE).toBuilder());
    var narrowed =
        operations.setAttributes(
            BY,
            key.blob(),
            Template.builder().put(CKA_EXTRACTABLE, false).put(CKA_DECRYPT, false).build());
    assertThat(operations.attributes(BY, narrowed, java.util.Set.of(CKA_EXTRACTABLE, CKA_DECRYPT)))
        .isEqualTo(Template.builder().put(CKA_EXTRACTABLE, false).put(CKA_DECRYPT, false).build());
    var cbc = Mechanism.of(CKM_AES_CBC_PAD, new byte[16]);
    var ciphered = client().encrypt(cbc, narrowed, MESSAGE);
    assertThat(client().decrypt(cbc, key.blob(), ciphered)).isEqualTo(MESSAGE);
  }

  @ParameterizedTest
  @org.junit.jupiter.params.provider.ValueSource(
      ints = {8, 13, 14, 15, 16, 31, 32, 33, 100, 255, 256})
  void keepsTheLengthOfAGenericSecret(int length) {
    var kek = aes(with(CKA_WRAP, CKA_UNWRAP).toBuilder()).blob();
    var key =
        operations.generateKey(
            BY,
            Mechanism.of(CKM_GENERIC_SECRET_KEY_GEN),
            with(CKA_EXTRACTABLE).toBuilder().put(CKA_VALUE_LEN, length).build());
    var cbc = Mechanism.of(CKM_AES_CBC_PAD, new byte[16]);
    var wrapped = operations.wrapKey(BY, cbc, key.blob(), kek, new byte[0]);
    assertThat(wrapped).hasSize((length / 16 + 1) * 16);
    var back =
        operations.unwrapKey(
            BY,
            cbc,
            wrapped,
            kek,
            new byte[0],
            with(CKA_VERIFY).toBuilder().put(CKA_KEY_TYPE, Ckk.CKK_GENERIC_SECRET).build());
    assertThat(back.attributes().ulong(CKA_VALUE_LEN)).hasValue(length);
    assertThat(Arrays.copyOf(back.checkSum(), 3)).isEqualTo(key.checkSum());
    for (long mechanism : new long[] {CKM_SHA256_HMAC, CKM_SHA512_256_HMAC}) {
      var mac = operations.signSingle(BY, Mechanism.of(mechanism), key.blob(), message());
      operations.verifySingle(BY, Mechanism.of(mechanism), back.blob(), message(), mac);
    }
  }

  @Test
  void endsTheGuessingUnderOneWrappingKeyAfterAHundredFailures() {
    var kek = aes(with(CKA_WRAP, CKA_UNWRAP).toBuilder()).blob();
    var key = aes(with(CKA_EXTRACTABLE).toBuilder()).blob();
    var cbc = Mechanism.of(CKM_AES_CBC_PAD, new byte[16]);
    var template = Template.builder().put(CKA_KEY_TYPE, Ckk.CKK_AES).build();
    var wrapped = operations.wrapKey(BY, cbc, key, kek, new byte[0]);
    var tampered = wrapped.clone();
    tampered[tampered.length - 17] ^= 1;
    for (int i = 0; i < 100; i++) {
      assertThatThrownBy(() -> operations.unwrapKey(BY, cbc, tampered, kek, new byte[0], template))
          .isInstanceOfSatisfying(
              Pkcs11Exception.class,
              e -> assertThat(e.returnValue()).isEqualTo(Ckr.CKR_WRAPPED_KEY_INVALID));
    }
    assertThatThrownBy(() -> operations.unwrapKey(BY, cbc, wrapped, kek, new byte[0], template))
        .isInstanceOf(OverloadedException.class);
    var other = aes(with(CKA_WRAP, CKA_UNWRAP).toBuilder()).blob();
    operations.unwrapKey(
        BY,
        cbc,
        operations.wrapKey(BY, cbc, key, other, new byte[0]),
        other,
        new byte[0],
        template);
  }

  @Test
  void givesEverySubjectAPinBlobOfItsOwn() {
    var pin = "12345678".getBytes(java.nio.charset.StandardCharsets.US_ASCII);
    var one = operations.login(new Requester(Core.A, "alice"), pin);
    assertThat(operations.login(new Requester(Core.A, "alice"), pin)).isEqualTo(one);
    assertThat(operations.login(new Requester(Core.A, "bobby"), pin)).isNotEqualTo(one);
  }

  @Test
  void leavesOaepToATokenWithoutRawRsa() {
    var mechanisms = new java.util.HashSet<>(core.hsm.mechanisms().keySet());
    mechanisms.remove(CKM_RSA_X_509);
    var catalog = MechanismCatalog.of(mechanisms, Policy.COMPATIBLE, true);
    assertThat(catalog.find(CKM_RSA_PKCS_OAEP)).isPresent();
    assertThat(catalog.find(CKM_RSA_PKCS).orElseThrow().functions().keySet())
        .contains(CryptoFunction.SIGN, CryptoFunction.ENCRYPT)
        .doesNotContain(CryptoFunction.DECRYPT, CryptoFunction.UNWRAP);
  }
}
