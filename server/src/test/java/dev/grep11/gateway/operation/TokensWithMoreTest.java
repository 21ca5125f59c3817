package dev.grep11.gateway.operation;

import static dev.grep11.gateway.operation.Client.assertRefused;
import static dev.grep11.gateway.operation.Client.flags;
import static dev.grep11.gateway.operation.Client.flipped;
import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;
import static dev.grep11.gateway.pkcs11.Ckr.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.hsm.Faults;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismCatalog;
import dev.grep11.gateway.pkcs11.MechanismRow;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.pkcs11.ServedBy;
import dev.grep11.softhsm.SoftHsmExtension;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Map;
import java.util.TreeSet;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * In front of a token that lists what SoftHSM lacks. The module is SoftHSM with a longer list, on
 * which PKCS #1 v1.5 stands in for X9.31: what is tested is that the gateway finds and asks for the
 * mechanism, not what a token makes of it.
 */
class TokensWithMoreTest {
  @RegisterExtension static final SoftHsmExtension HSM = new SoftHsmExtension();

  private static final Map<Long, Long> X9_31 =
      Map.of(
          CKM_RSA_X9_31_KEY_PAIR_GEN, CKM_RSA_PKCS_KEY_PAIR_GEN,
          CKM_RSA_X9_31, CKM_RSA_PKCS,
          CKM_SHA1_RSA_X9_31, CKM_SHA1_RSA_PKCS);
  private static final Mechanism HASHED = Mechanism.of(CKM_SHA1_RSA_X9_31);

  private static Core core;
  private static Client client;

  @BeforeAll
  static void open() {
    core = Core.on(HSM.token(), Faults.alsoListing(X9_31));
    client = new Client(core.operations(Policy.COMPATIBLE, true), Core.A);
  }

  @AfterAll
  static void close() {
    core.close();
  }

  private static NewKeyPair pair() {
    return client.generatePair(
        CKM_RSA_X9_31_KEY_PAIR_GEN,
        flags(CKA_VERIFY).toBuilder().put(CKA_MODULUS_BITS, 1024).build(),
        flags(CKA_SIGN));
  }

  @ParameterizedTest
  @EnumSource(Policy.class)
  void listsX931WhereTheTokenDoes(Policy policy) {
    for (boolean fallback : new boolean[] {true, false}) {
      var catalog = core.catalog(policy, fallback);
      assertThat(catalog.listed()).containsAll(X9_31.keySet());
      // IBM's places: behind the other key pairs, behind PSS, behind DH.
      assertThat(catalog.listed())
          .containsSubsequence(
              CKM_RSA_PKCS_KEY_PAIR_GEN,
              CKM_RSA_X9_31_KEY_PAIR_GEN,
              CKM_RSA_PKCS_PSS,
              CKM_SHA1_RSA_X9_31,
              CKM_SHA1_RSA_PKCS,
              CKM_DH_PKCS_DERIVE,
              CKM_RSA_X9_31,
              CKM_IBM_SHA3_224);
      for (long number : X9_31.keySet()) {
        assertThat(catalog.find(number).map(MechanismRow::functions).orElseThrow().values())
            .allSatisfy(service -> assertThat(service.by()).isEqualTo(ServedBy.S));
      }
    }
  }

  @Test
  void pairsAndSignaturesOfX931AreTheTokens() {
    var pair = pair();
    assertThat(pair.privateKey().attributes().ulong(CKA_KEY_GEN_MECHANISM))
        .hasValue(CKM_RSA_X9_31_KEY_PAIR_GEN);
    var message = new byte[300];
    var signature = client.sign(HASHED, pair.privateKey().blob(), message);
    assertThat(signature)
        .isEqualTo(client.sign(Mechanism.of(CKM_SHA1_RSA_PKCS), pair.privateKey().blob(), message));
    client.verify(HASHED, pair.publicKey().blob(), message, signature);
    assertRefused(
        CKR_SIGNATURE_INVALID,
        () -> client.verify(HASHED, pair.publicKey().blob(), flipped(message, 9), signature));
    assertRefused(
        CKR_MECHANISM_PARAM_INVALID,
        () ->
            client.sign(
                Mechanism.of(CKM_SHA1_RSA_X9_31, new byte[1]), pair.privateKey().blob(), message));
  }

  @Test
  void aHashOfX931IsTwoBytesShorterThanTheModulus() {
    var pair = pair();
    var raw = Mechanism.of(CKM_RSA_X9_31);
    client.verify(
        raw,
        pair.publicKey().blob(),
        new byte[21],
        client.sign(raw, pair.privateKey().blob(), new byte[21]));
    for (int length : new int[] {0, 127}) {
      assertRefused(
          CKR_DATA_LEN_RANGE, () -> client.sign(raw, pair.privateKey().blob(), new byte[length]));
    }
  }

  @Test
  void x931SignsInPartsWhatItHashesAndOnlyThat() {
    var pair = pair();
    var parts = client.operations.parts();
    var message = new byte[100];
    var state = parts.begin(client.by, CryptoFunction.SIGN, HASHED, pair.privateKey().blob());
    for (int at = 0; at < message.length; at += 50) {
      state =
          parts
              .update(client.by, CryptoFunction.SIGN, state, ByteBuffer.wrap(message, at, 50))
              .state();
    }
    assertThat(parts.finish(client.by, CryptoFunction.SIGN, state))
        .isEqualTo(client.sign(HASHED, pair.privateKey().blob(), message));
    var raw =
        parts.begin(
            client.by, CryptoFunction.SIGN, Mechanism.of(CKM_RSA_X9_31), pair.privateKey().blob());
    assertRefused(
        CKR_FUNCTION_NOT_SUPPORTED,
        () ->
            parts.update(
                client.by, CryptoFunction.SIGN, raw, ByteBuffer.wrap(Arrays.copyOf(message, 8))));
  }

  /** The other side: {@link MechanismCatalogTest} finds none of it on SoftHSM as it is. */
  @Test
  void aTokenWithoutItRefusesX931() {
    var without = new TreeSet<>(core.hsm.mechanisms().keySet());
    without.removeAll(X9_31.keySet());
    var catalog = MechanismCatalog.of(without, Policy.COMPATIBLE, true);
    assertThat(catalog.listed()).doesNotContainAnyElementsOf(X9_31.keySet());
    for (long number : X9_31.keySet()) {
      for (var function : CryptoFunction.values()) {
        assertRefused(CKR_MECHANISM_INVALID, () -> catalog.require(Mechanism.of(number), function));
      }
    }
  }
}
