package dev.grep11.gateway.operation;

import static dev.grep11.gateway.operation.Client.assertRefused;
import static dev.grep11.gateway.operation.Client.assertRefusedWithOneOf;
import static dev.grep11.gateway.operation.Client.flags;
import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;
import static dev.grep11.gateway.pkcs11.Ckr.*;
import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assertions.assertTimeout;

import dev.grep11.gateway.pkcs11.Hash;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesCtr;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesGcm;
import dev.grep11.gateway.pkcs11.MechanismParameters.EdDsa;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaOaep;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaPss;
import dev.grep11.gateway.pkcs11.MechanismParameters.Unserved;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.softhsm.SoftHsmExtension;
import java.math.BigInteger;
import java.time.Duration;
import java.util.Arrays;
import java.util.Random;
import java.util.stream.Stream;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.DERNull;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.crypto.agreement.DHStandardGroups;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Inputs at and beyond the limits: refused early, in bounded time, with the right return value. */
class EdgeInputsTest {
  @RegisterExtension static final SoftHsmExtension HSM = new SoftHsmExtension();

  private static final byte[] MESSAGE = new byte[48];
  private static final byte[] IV = new byte[16];
  private static final Duration AT_ONCE = Duration.ofSeconds(2);

  private static Core core;
  private static Client client;
  private static byte[] aes;
  private static NewKeyPair rsa;

  @BeforeAll
  static void open() {
    core = Core.on(HSM.token());
    client = new Client(core.operations(Policy.COMPATIBLE, true), Core.A);
    aes = client.aes(32, Template.empty()).blob();
    rsa = client.rsa(1024, Template.empty(), Template.empty());
  }

  @AfterAll
  static void close() {
    core.close();
  }

  @Test
  void randomIsFrom1To1000000Bytes() {
    for (long length : new long[] {0, -1, 1_000_001, Long.MAX_VALUE, Long.MIN_VALUE}) {
      assertRefused(CKR_ARGUMENTS_BAD, () -> client.operations.generateRandom(length));
    }
    assertThat(client.operations.generateRandom(1)).hasSize(1);
    assertThat(client.operations.generateRandom(1_000_000)).hasSize(1_000_000);
  }

  @Test
  void aTemplateOfAThousandEntriesIsRefusedAtOnce() {
    var thousand = Template.builder();
    for (int i = 0; i < 1000; i++) {
      thousand.put(0x70000000L + i, MESSAGE);
    }
    assertTimeout(
        AT_ONCE,
        () -> {
          assertRefused(CKR_ATTRIBUTE_TYPE_INVALID, () -> client.aes(32, thousand.build()));
          assertRefused(
              CKR_ATTRIBUTE_READ_ONLY,
              () -> client.operations.setAttributes(client.by, aes, thousand.build()));
        });
    // A label that no blob has room for.
    for (int length : new int[] {9_000, 65_535, 65_536, 1_000_000}) {
      assertRefusedWithOneOf(
          () -> client.aes(32, Template.builder().put(CKA_LABEL, new byte[length]).build()),
          CKR_TEMPLATE_INCONSISTENT,
          CKR_ATTRIBUTE_VALUE_INVALID);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 511, 504, 513, 4097, 4104, 8192, 16384, Integer.MAX_VALUE})
  void rsaSizesBeyondTheLimitsCostNothing(int bits) {
    assertTimeout(
        AT_ONCE,
        () ->
            assertRefused(
                CKR_KEY_SIZE_RANGE, () -> client.rsa(bits, Template.empty(), Template.empty())));
  }

  static Stream<byte[]> exponents() {
    return Stream.of(
        new byte[0],
        new byte[] {0},
        new byte[] {1},
        new byte[] {2},
        new byte[] {3},
        new byte[] {15},
        new byte[] {16},
        new byte[] {1, 0, 0},
        new byte[] {1, 0, 0, 0, 1},
        new byte[] {1, 0, 0, 0, 0, 0, 0, 0, 1});
  }

  @ParameterizedTest
  @MethodSource("exponents")
  void evenSmallAndLongExponentsAreRefused(byte[] exponent) {
    assertRefused(
        CKR_ATTRIBUTE_VALUE_INVALID,
        () ->
            client.rsa(
                1024,
                Template.builder().put(CKA_PUBLIC_EXPONENT, exponent).build(),
                Template.empty()));
  }

  @Test
  void badDomainParametersAreRefusedInBoundedTime() {
    var group = DHStandardGroups.rfc2409_1024;
    var p = group.getP();
    var two = BigInteger.TWO;
    var composite = p.add(two);
    var huge = two.pow(100_000).add(BigInteger.ONE);
    byte[][] dh = {
      new byte[0],
      {0x30},
      {0x30, 0},
      {5, 0},
      Client.group(p),
      Client.group(p, two, two),
      Client.group(p, BigInteger.ONE),
      Client.group(p, BigInteger.ZERO),
      Client.group(p, two.negate()),
      Client.group(p, p.subtract(BigInteger.ONE)),
      Client.group(p, p),
      Client.group(p.negate(), two),
      Client.group(composite, two),
      Client.group(BigInteger.valueOf(23), two),
      Client.group(huge, two),
    };
    assertTimeout(
        Duration.ofSeconds(5),
        () -> {
          for (var der : dh) {
            assertRefused(
                CKR_DOMAIN_PARAMS_INVALID,
                () ->
                    client.inGroup(
                        CKM_DH_PKCS_KEY_PAIR_GEN, der, Template.empty(), Template.empty()));
            assertRefused(
                CKR_DOMAIN_PARAMS_INVALID,
                () ->
                    client.inGroup(CKM_DSA_KEY_PAIR_GEN, der, Template.empty(), Template.empty()));
          }
        });
    for (long mechanism : new long[] {CKM_DH_PKCS_KEY_PAIR_GEN, CKM_DSA_KEY_PAIR_GEN}) {
      assertRefused(
          CKR_TEMPLATE_INCOMPLETE,
          () -> client.generatePair(mechanism, Template.empty(), Template.empty()));
    }
    for (long bits : new long[] {0, 512, 1000, 1023, 3073, 4096, -1, Long.MAX_VALUE}) {
      for (long mechanism : new long[] {CKM_DSA_PARAMETER_GEN, CKM_DH_PKCS_PARAMETER_GEN}) {
        assertRefused(
            CKR_KEY_SIZE_RANGE,
            () -> client.generate(mechanism, Template.builder().put(CKA_PRIME_BITS, bits).build()));
      }
    }
  }

  /** Peer values out of 1 < y < p - 1, semantics section 10. */
  @Test
  void degenerateDhPeersAreRefused() {
    var p = DHStandardGroups.rfc2409_1024.getP();
    var own =
        client.inGroup(
            CKM_DH_PKCS_KEY_PAIR_GEN,
            Client.group(p, BigInteger.TWO),
            Template.empty(),
            flags(CKA_DERIVE));
    for (var peer :
        new BigInteger[] {
          BigInteger.ZERO,
          BigInteger.ONE,
          p.subtract(BigInteger.ONE),
          p,
          p.add(BigInteger.ONE),
          BigInteger.TWO.pow(4096)
        }) {
      assertRefused(
          CKR_MECHANISM_PARAM_INVALID,
          () ->
              client.derive(
                  Mechanism.of(CKM_DH_PKCS_DERIVE, peer.toByteArray()),
                  own.privateKey().blob(),
                  Client.aesTemplate(16)));
    }
  }

  /** Points off the curve, and the small-order u-coordinates of RFC 7748, section 6.1. */
  @Test
  void degenerateEcdhPeersAreRefused() {
    var p256 = client.ec(NamedCurve.P_256, Template.empty(), flags(CKA_DERIVE));
    var infinity = new byte[] {0};
    var offCurve = new byte[65];
    offCurve[0] = 4;
    var compressed = new byte[33];
    compressed[0] = 2;
    for (var peer : new byte[][] {infinity, offCurve, compressed, new byte[0], new byte[1000]}) {
      assertRefused(
          CKR_MECHANISM_PARAM_INVALID,
          () ->
              client.derive(
                  Mechanism.of(CKM_ECDH1_DERIVE, peer),
                  p256.privateKey().blob(),
                  Client.aesTemplate(16)));
    }
    var x = client.ec(NamedCurve.X25519, Template.empty(), flags(CKA_DERIVE));
    var one = new byte[32];
    one[0] = 1;
    for (var peer : new byte[][] {new byte[32], one}) {
      assertRefused(
          CKR_MECHANISM_PARAM_INVALID,
          () ->
              client.derive(
                  Mechanism.of(CKM_IBM_EC_X25519, peer),
                  x.privateKey().blob(),
                  Client.aesTemplate(16)));
    }
  }

  static Stream<Mechanism> badCipherParameters() {
    return Stream.of(
        Mechanism.of(CKM_AES_ECB, IV),
        Mechanism.of(CKM_AES_CBC),
        Mechanism.of(CKM_AES_CBC, new byte[15]),
        Mechanism.of(CKM_AES_CBC_PAD, new byte[17]),
        Mechanism.of(CKM_AES_CBC_PAD, new byte[0]),
        new Mechanism(CKM_AES_CBC, new AesCtr(128, IV)),
        Mechanism.of(CKM_AES_CTR, IV),
        new Mechanism(CKM_AES_CTR, new AesCtr(0, IV)),
        new Mechanism(CKM_AES_CTR, new AesCtr(129, IV)),
        new Mechanism(CKM_AES_CTR, new AesCtr(-1, IV)),
        new Mechanism(CKM_AES_CTR, new AesCtr(128, new byte[15])),
        Mechanism.of(CKM_AES_GCM, IV),
        gcm(0, 0),
        gcm(12, 0),
        gcm(12, 32),
        gcm(12, 64),
        gcm(12, 88),
        gcm(12, 100),
        gcm(12, 136),
        gcm(12, -8),
        gcm(1, 128),
        gcm(11, 128),
        gcm(257, 128),
        new Mechanism(CKM_AES_GCM, new Unserved("BIP32")));
  }

  private static Mechanism gcm(int ivLength, int tagBits) {
    return new Mechanism(CKM_AES_GCM, new AesGcm(new byte[ivLength], new byte[0], tagBits));
  }

  @ParameterizedTest
  @MethodSource("badCipherParameters")
  void badCipherParametersAreRefusedBothWays(Mechanism mechanism) {
    assertRefused(CKR_MECHANISM_PARAM_INVALID, () -> client.encrypt(mechanism, aes, MESSAGE));
    assertRefused(CKR_MECHANISM_PARAM_INVALID, () -> client.decrypt(mechanism, aes, MESSAGE));
  }

  @Test
  void underPolicyStrictNobodyChoosesAGcmIv() {
    var strict = client.under(core.operations(Policy.STRICT, false));
    assertRefused(CKR_MECHANISM_PARAM_INVALID, () -> strict.encrypt(gcm(12, 128), aes, MESSAGE));
    // To decrypt what another made with its own is no harm.
    assertThat(strict.decrypt(gcm(12, 128), aes, client.encrypt(gcm(12, 128), aes, MESSAGE)))
        .isEqualTo(MESSAGE);
  }

  @Test
  void ciphertextsShorterThanTheirFrameAreRefused() {
    for (int length = 0; length < 28; length++) {
      var ciphered = new byte[length];
      assertRefused(CKR_ENCRYPTED_DATA_LEN_RANGE, () -> client.decrypt(gcm(0, 128), aes, ciphered));
    }
    for (int length : new int[] {0, 1, 15, 17, 47}) {
      var data = new byte[length];
      for (long mechanism : new long[] {CKM_AES_CBC, CKM_AES_CBC_PAD}) {
        assertRefused(
            CKR_ENCRYPTED_DATA_LEN_RANGE,
            () -> client.decrypt(Mechanism.of(mechanism, IV), aes, data));
      }
      assertRefused(
          CKR_DATA_LEN_RANGE, () -> client.encrypt(Mechanism.of(CKM_AES_CBC, IV), aes, data));
      assertRefused(CKR_DATA_LEN_RANGE, () -> client.encrypt(Mechanism.of(CKM_AES_ECB), aes, data));
    }
  }

  static Stream<Mechanism> badSignatureParameters() {
    return Stream.of(
        Mechanism.of(CKM_SHA256_RSA_PKCS_PSS),
        pss(Hash.SHA_1, Hash.SHA_1, 20),
        pss(Hash.SHA256, Hash.SHA_1, 20),
        pss(Hash.SHA256, Hash.SHA512, 20),
        pss(Hash.SHA256, Hash.SHA256, -1),
        pss(Hash.SHA256, Hash.SHA256, 513),
        pss(Hash.SHA256, Hash.SHA256, Long.MAX_VALUE),
        new Mechanism(CKM_SHA256_RSA_PKCS_PSS, new RsaPss(0, 0, 0)),
        new Mechanism(CKM_SHA256_RSA_PKCS_PSS, new RsaPss(CKM_SHA256, 0, 32)),
        Mechanism.of(CKM_SHA256_RSA_PKCS, IV),
        Mechanism.of(CKM_RSA_PKCS, IV));
  }

  private static Mechanism pss(Hash hash, Hash mask, long salt) {
    return new Mechanism(CKM_SHA256_RSA_PKCS_PSS, new RsaPss(hash.mechanism(), mask.mgf(), salt));
  }

  @ParameterizedTest
  @MethodSource("badSignatureParameters")
  void badSignatureParametersAreRefusedBothWays(Mechanism mechanism) {
    assertRefused(
        CKR_MECHANISM_PARAM_INVALID,
        () -> client.sign(mechanism, rsa.privateKey().blob(), MESSAGE));
    assertRefused(
        CKR_MECHANISM_PARAM_INVALID,
        () -> client.verify(mechanism, rsa.publicKey().blob(), MESSAGE, new byte[128]));
  }

  @Test
  void prehashAndContextOfEdDsaAreRefused() {
    var pair = client.ec(NamedCurve.ED25519, Template.empty(), Template.empty());
    for (var parameters : new EdDsa[] {new EdDsa(true, new byte[0]), new EdDsa(false, IV)}) {
      assertRefused(
          CKR_MECHANISM_PARAM_INVALID,
          () ->
              client.sign(new Mechanism(CKM_EDDSA, parameters), pair.privateKey().blob(), MESSAGE));
    }
    var pure = new Mechanism(CKM_EDDSA, new EdDsa(false, new byte[0]));
    client.verify(
        Mechanism.of(CKM_EDDSA),
        pair.publicKey().blob(),
        MESSAGE,
        client.sign(pure, pair.privateKey().blob(), MESSAGE));
  }

  @Test
  void badOaepParametersAreRefused() {
    var bad =
        new Mechanism[] {
          Mechanism.of(CKM_RSA_PKCS_OAEP),
          new Mechanism(CKM_RSA_PKCS_OAEP, new RsaOaep(0, 1, new byte[0])),
          new Mechanism(CKM_RSA_PKCS_OAEP, new RsaOaep(CKM_SHA_1, 0, new byte[0])),
          new Mechanism(CKM_RSA_PKCS_OAEP, new RsaOaep(CKM_SHA_1, 99, new byte[0]))
        };
    for (var mechanism : bad) {
      assertRefused(
          CKR_MECHANISM_PARAM_INVALID, () -> client.encrypt(mechanism, rsa.publicKey().blob(), IV));
      assertRefused(
          CKR_MECHANISM_PARAM_INVALID,
          () -> client.decrypt(mechanism, rsa.privateKey().blob(), new byte[128]));
    }
    // SHA-512 leaves no room for any message in 1024 bits.
    var large =
        new Mechanism(
            CKM_RSA_PKCS_OAEP,
            new RsaOaep(Hash.SHA512.mechanism(), Hash.SHA512.mgf(), new byte[0]));
    assertRefused(
        CKR_DATA_LEN_RANGE, () -> client.encrypt(large, rsa.publicKey().blob(), new byte[0]));
    assertRefused(
        CKR_ENCRYPTED_DATA_INVALID,
        () -> client.decrypt(large, rsa.privateKey().blob(), new byte[128]));
  }

  private static byte[] rsaSpki(BigInteger modulus, BigInteger exponent) {
    try {
      return new SubjectPublicKeyInfo(
              new AlgorithmIdentifier(
                  new ASN1ObjectIdentifier("1.2.840.113549.1.1.1"), DERNull.INSTANCE),
              org.bouncycastle.asn1.ASN1Sequence.getInstance(Client.group(modulus, exponent)))
          .getEncoded("DER");
    } catch (java.io.IOException e) {
      throw new IllegalStateException(e);
    }
  }

  static Stream<byte[]> absurdKeys() {
    var modulus = new BigInteger(2048, new Random(1)).setBit(2047).setBit(0);
    var e = BigInteger.valueOf(65537);
    return Stream.of(
        rsaSpki(modulus, BigInteger.ONE),
        rsaSpki(modulus, BigInteger.TWO),
        rsaSpki(modulus, BigInteger.ZERO),
        rsaSpki(modulus, e.negate()),
        rsaSpki(modulus, BigInteger.TWO.pow(33).add(BigInteger.ONE)),
        rsaSpki(modulus, modulus.subtract(BigInteger.TWO)),
        rsaSpki(BigInteger.ONE, e),
        rsaSpki(BigInteger.ZERO, e),
        rsaSpki(modulus.negate(), e),
        rsaSpki(modulus.add(BigInteger.ONE), e),
        rsaSpki(BigInteger.TWO.pow(400).add(BigInteger.ONE), e),
        rsaSpki(BigInteger.TWO.pow(8192).add(BigInteger.ONE), e),
        rsaSpki(BigInteger.TWO.pow(60_000).add(BigInteger.ONE), e));
  }

  /** Security rule 8.3: bounded before use. */
  @ParameterizedTest
  @MethodSource("absurdKeys")
  void absurdBareKeysAreRefusedAtOnce(byte[] spki) {
    assertTimeout(
        AT_ONCE,
        () -> {
          assertRefusedWithOneOf(
              () -> client.verify(Mechanism.of(CKM_SHA256_RSA_PKCS), spki, MESSAGE, new byte[256]),
              CKR_KEY_SIZE_RANGE,
              CKR_ATTRIBUTE_VALUE_INVALID,
              CKR_IBM_BLOB_ERROR);
          assertRefusedWithOneOf(
              () -> client.importPublic(spki, flags(CKA_VERIFY)),
              CKR_KEY_SIZE_RANGE,
              CKR_ATTRIBUTE_VALUE_INVALID,
              CKR_WRAPPED_KEY_INVALID,
              CKR_IBM_BLOB_ERROR);
        });
  }

  /** The token is as well after all of it as before. */
  @Test
  void aPointOffTheCurveIsNoKey() {
    var spki = Client.spki(client.ec(NamedCurve.P_256, Template.empty(), Template.empty()));
    var off = Client.flipped(spki, spki.length * 8 - 4);
    var epoch = core.hsm.epoch();
    assertRefusedWithOneOf(
        () -> client.verify(Mechanism.of(CKM_ECDSA_SHA256), off, MESSAGE, new byte[64]),
        CKR_ATTRIBUTE_VALUE_INVALID,
        CKR_IBM_BLOB_ERROR,
        CKR_SIGNATURE_INVALID);
    assertThat(core.hsm.epoch()).isSameAs(epoch);
    assertThat(epoch.live()).isTrue();
  }

  @Test
  void wrappedKeysOfImpossibleLengthsAreRefused() {
    var kek = client.aes(32, flags(CKA_WRAP, CKA_UNWRAP)).blob();
    for (int length : new int[] {0, 1, 8, 15, 17, 23, 25, 10_001}) {
      for (long mechanism : new long[] {CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_PAD}) {
        assertRefused(
            CKR_WRAPPED_KEY_LEN_RANGE,
            () ->
                client.unwrap(
                    Mechanism.of(mechanism), new byte[length], kek, Client.aesTemplate(16)));
      }
    }
    var long16 = Arrays.copyOf(IV, 16 * 1024);
    assertRefused(
        CKR_WRAPPED_KEY_INVALID,
        () ->
            client.unwrap(Mechanism.of(CKM_AES_KEY_WRAP_PAD), long16, kek, Client.aesTemplate(16)));
  }
}
