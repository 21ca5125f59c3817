package dev.grep11.gateway.operation;

import static dev.grep11.gateway.operation.Client.assertRefused;
import static dev.grep11.gateway.operation.Client.concat;
import static dev.grep11.gateway.operation.Client.flags;
import static dev.grep11.gateway.operation.Client.flipped;
import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;
import static dev.grep11.gateway.pkcs11.Ckr.*;
import static dev.grep11.gateway.pkcs11.CryptoFunction.*;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;

import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Hash;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismFamily;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesCtr;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesGcm;
import dev.grep11.gateway.pkcs11.MechanismParameters.EdDsa;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaOaep;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaPss;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.softhsm.SoftHsmExtension;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Init, Update, Final: that parts make what one part makes, and that states are worth nothing to
 * anybody but the client of their instance and the function they are of.
 */
class PartedOperationsTest {
  @RegisterExtension static final SoftHsmExtension HSM = new SoftHsmExtension();

  private static final byte[] NO_KEY = {};
  private static final byte[] MESSAGE = message(1000);
  private static final byte[] BLOCKS = message(48);

  /** Where the message is cut: at, before and after block boundaries, and into many parts. */
  private static final int[][] CUTS = {
    {}, {1}, {16}, {16, 47}, {15, 16, 17}, {20, 71}, {64, 128, 999}, {500, 500, 501}, everyByte()
  };

  private static Core core;
  private static Client client;
  private static PartedOperations parts;

  @BeforeAll
  static void open() {
    core = Core.on(HSM.token());
    client = new Client(core.operations(Policy.COMPATIBLE, true), Core.A);
    parts = client.operations.parts();
  }

  @AfterAll
  static void close() {
    core.close();
  }

  private static byte[] message(int length) {
    var message = new byte[length];
    new Random(11).nextBytes(message);
    return message;
  }

  private static int[] everyByte() {
    return java.util.stream.IntStream.range(1, 100).toArray();
  }

  // In parts

  private static byte[] begin(CryptoFunction function, Mechanism mechanism, byte[] key) {
    return parts.begin(client.by, function, mechanism, key);
  }

  private static Part update(CryptoFunction function, byte[] state, byte[] data) {
    return parts.update(client.by, function, state, ByteBuffer.wrap(data));
  }

  private static byte[] finish(CryptoFunction function, byte[] state) {
    return parts.finish(client.by, function, state);
  }

  /** Everything that comes out. */
  private static byte[] run(
      CryptoFunction function, Mechanism mechanism, byte[] key, byte[] data, int... cuts) {
    var state = begin(function, mechanism, key);
    var out = NO_KEY;
    int from = 0;
    for (int cut : cuts) {
      int to = Math.min(cut, data.length);
      if (function == DIGEST && to == from) {
        continue;
      }
      var part = update(function, state, Arrays.copyOfRange(data, from, to));
      state = part.state();
      out = concat(out, part.output());
      from = to;
    }
    if (from < data.length) {
      var part = update(function, state, Arrays.copyOfRange(data, from, data.length));
      state = part.state();
      out = concat(out, part.output());
    }
    assertThat(state.length).isLessThanOrEqualTo(8192);
    return concat(out, finish(function, state));
  }

  // Digests

  static Stream<Long> digests() {
    return core.catalog(Policy.COMPATIBLE, true).offered().stream()
        .filter(row -> row.family() == MechanismFamily.DIGEST)
        .map(row -> row.type());
  }

  @ParameterizedTest
  @MethodSource("digests")
  void digestsInPartsAreThoseInOnePart(long mechanism) {
    for (int[] cuts : CUTS) {
      assertThat(run(DIGEST, Mechanism.of(mechanism), NO_KEY, MESSAGE, cuts))
          .isEqualTo(client.digest(mechanism, MESSAGE));
    }
    var state = begin(DIGEST, Mechanism.of(mechanism), NO_KEY);
    assertThat(parts.whole(client.by, DIGEST, state, ByteBuffer.wrap(MESSAGE)))
        .isEqualTo(client.digest(mechanism, MESSAGE));
    assertThat(update(DIGEST, state, MESSAGE).state().length).isLessThan(1024);
  }

  @Test
  void aDigestWithoutDataIsThatOfTheEmptyString() {
    assertThat(finish(DIGEST, begin(DIGEST, Mechanism.of(CKM_SHA256), NO_KEY)))
        .isEqualTo(Hash.SHA256.newDigest().digest());
  }

  @Test
  void anEmptyUpdateOfADigestIsRefused() {
    var state = begin(DIGEST, Mechanism.of(CKM_SHA256), NO_KEY);
    assertRefused(CKR_DATA_LEN_RANGE, () -> update(DIGEST, state, NO_KEY));
  }

  @Test
  void theValueOfAKeyIsDigestedWhenItMayBeData() {
    var key = client.generic(32, flags(CKA_IBM_USE_AS_DATA, CKA_EXTRACTABLE)).blob();
    var state = update(DIGEST, begin(DIGEST, Mechanism.of(CKM_SHA256), NO_KEY), MESSAGE).state();

    var withKey = parts.digestKey(client.by, state, key);
    var more = update(DIGEST, withKey, BLOCKS).state();

    var expected = Hash.SHA256.newDigest();
    expected.update(MESSAGE);
    expected.update(client.export(key));
    assertThat(finish(DIGEST, more)).isEqualTo(after(expected, BLOCKS));
    expected.update(MESSAGE);
    expected.update(client.export(key));
    assertThat(finish(DIGEST, withKey)).isEqualTo(expected.digest());
    assertRefused(CKR_KEY_INDIGESTIBLE, () -> parts.digestKey(client.by, more, key));
    assertRefused(CKR_DATA_LEN_RANGE, () -> update(DIGEST, more, new byte[4096]));
    assertRefused(
        CKR_OPERATION_ACTIVE,
        () -> parts.whole(client.by, DIGEST, withKey, ByteBuffer.wrap(MESSAGE)));
    for (var refused :
        List.of(
            client.generic(32, flags(CKA_SIGN)).blob(),
            client.aes(32, flags(CKA_IBM_USE_AS_DATA, CKA_IBM_ATTRBOUND)).blob(),
            publicKey())) {
      assertRefused(CKR_KEY_INDIGESTIBLE, () -> parts.digestKey(client.by, state, refused));
    }
    var strict = new Client(core.operations(Policy.COMPATIBLE, false), Core.A);
    var own = strict.operations.parts();
    assertRefused(CKR_KEY_INDIGESTIBLE, () -> own.digestKey(strict.by, state, key));
    // A state made where the value may be seen opens none where it may not.
    assertRefused(CKR_KEY_INDIGESTIBLE, () -> own.finish(strict.by, DIGEST, withKey));
  }

  private static byte[] after(java.security.MessageDigest digest, byte[] data) {
    digest.update(data);
    return digest.digest();
  }

  private static byte[] publicKey() {
    return client.ec(NamedCurve.P_256, flags(), flags()).publicKey().blob();
  }

  // Ciphers

  record Cipher(Mechanism mechanism, boolean des, int multipleOf) {
    byte[] key() {
      return des
          ? client.generate(CKM_DES3_KEY_GEN, flags(CKA_ENCRYPT, CKA_DECRYPT)).blob()
          : client.aes(32, flags(CKA_ENCRYPT, CKA_DECRYPT)).blob();
    }

    byte[] data() {
      return Arrays.copyOf(MESSAGE, MESSAGE.length / multipleOf * multipleOf);
    }

    @Override
    public String toString() {
      return mechanism.name();
    }
  }

  static final List<Cipher> CIPHERS =
      List.of(
          new Cipher(Mechanism.of(CKM_AES_ECB), false, 16),
          new Cipher(Mechanism.of(CKM_AES_CBC, message(16)), false, 16),
          new Cipher(Mechanism.of(CKM_AES_CBC_PAD, message(16)), false, 1),
          new Cipher(Mechanism.of(CKM_AES_CBC_PAD, message(16)), false, 16),
          new Cipher(new Mechanism(CKM_AES_CTR, new AesCtr(128, message(16))), false, 1),
          new Cipher(new Mechanism(CKM_AES_CTR, new AesCtr(64, new byte[16])), false, 1),
          new Cipher(Mechanism.of(CKM_DES3_ECB), true, 8),
          new Cipher(Mechanism.of(CKM_DES3_CBC, message(8)), true, 8),
          new Cipher(Mechanism.of(CKM_DES3_CBC_PAD, message(8)), true, 1));

  static List<Cipher> ciphers() {
    return CIPHERS;
  }

  @ParameterizedTest
  @MethodSource("ciphers")
  void ciphersInPartsGiveWhatOnePartGives(Cipher cipher) {
    var key = cipher.key();
    var data = cipher.data();
    var ciphered = client.encrypt(cipher.mechanism(), key, data);
    for (int[] cuts : CUTS) {
      assertThat(run(ENCRYPT, cipher.mechanism(), key, data, cuts)).isEqualTo(ciphered);
      assertThat(run(DECRYPT, cipher.mechanism(), key, ciphered, cuts)).isEqualTo(data);
    }
    assertThat(
            parts.whole(
                client.by, ENCRYPT, begin(ENCRYPT, cipher.mechanism(), key), ByteBuffer.wrap(data)))
        .isEqualTo(ciphered);
    assertThat(
            parts.whole(
                client.by,
                DECRYPT,
                begin(DECRYPT, cipher.mechanism(), key),
                ByteBuffer.wrap(ciphered)))
        .isEqualTo(data);
  }

  @Test
  void aPaddedDecryptionHoldsTheLastBlockBack() {
    var pad = Mechanism.of(CKM_AES_CBC_PAD, new byte[16]);
    var key = client.aes(16, flags(CKA_ENCRYPT, CKA_DECRYPT)).blob();
    var ciphered = client.encrypt(pad, key, Arrays.copyOf(MESSAGE, 47));

    var first = update(DECRYPT, begin(DECRYPT, pad, key), Arrays.copyOf(ciphered, 16));
    var second = update(DECRYPT, first.state(), Arrays.copyOfRange(ciphered, 16, 48));

    assertThat(first.output()).isEmpty();
    assertThat(second.output()).hasSize(32);
    assertThat(finish(DECRYPT, second.state())).hasSize(15);
    // Without any data: a block of padding one way, an error the other way.
    assertThat(finish(ENCRYPT, begin(ENCRYPT, pad, key))).hasSize(16);
    assertRefused(CKR_ENCRYPTED_DATA_LEN_RANGE, () -> finish(DECRYPT, begin(DECRYPT, pad, key)));
    // Of the block before, which turns the one byte of padding into 0, whatever the key.
    var tampered = flipped(ciphered, 31 * 8);
    var state = update(DECRYPT, begin(DECRYPT, pad, key), tampered).state();
    assertRefused(CKR_ENCRYPTED_DATA_INVALID, () -> finish(DECRYPT, state));
  }

  @Test
  void withoutPaddingTheRestMustBeEmpty() {
    var cbc = Mechanism.of(CKM_AES_CBC, new byte[16]);
    var key = client.aes(16, flags(CKA_ENCRYPT, CKA_DECRYPT)).blob();
    var encryption = update(ENCRYPT, begin(ENCRYPT, cbc, key), new byte[17]);
    var decryption = update(DECRYPT, begin(DECRYPT, cbc, key), new byte[31]);

    assertThat(encryption.output()).hasSize(16);
    assertRefused(CKR_DATA_LEN_RANGE, () -> finish(ENCRYPT, encryption.state()));
    assertRefused(CKR_ENCRYPTED_DATA_LEN_RANGE, () -> finish(DECRYPT, decryption.state()));
  }

  @Test
  void aCounterDoesNotRunOver() {
    var block = new byte[16];
    block[15] = (byte) 0xfe;
    var ctr = new Mechanism(CKM_AES_CTR, new AesCtr(8, block));
    var key = client.aes(16, flags(CKA_ENCRYPT)).blob();

    var two = update(ENCRYPT, begin(ENCRYPT, ctr, key), new byte[32]);

    assertThat(two.output()).isEqualTo(client.encrypt(ctr, key, new byte[32]));
    assertRefused(CKR_DATA_LEN_RANGE, () -> update(ENCRYPT, two.state(), new byte[1]));
  }

  @Test
  void gcmInPartsDrawsItsIvAtTheEndAndAnswersThereOnly() {
    var gcm = new Mechanism(CKM_AES_GCM, new AesGcm(NO_KEY, new byte[] {1}, 128));
    var key = client.aes(32, flags(CKA_ENCRYPT, CKA_DECRYPT)).blob();
    var state = update(ENCRYPT, begin(ENCRYPT, gcm, key), MESSAGE);

    assertThat(state.output()).isEmpty();
    var once = finish(ENCRYPT, state.state());
    var again = finish(ENCRYPT, state.state());

    assertThat(Arrays.copyOf(once, 12)).isNotEqualTo(Arrays.copyOf(again, 12));
    assertThat(client.decrypt(gcm, key, once)).isEqualTo(MESSAGE);
    assertThat(run(DECRYPT, gcm, key, again, 5, 12, 13)).isEqualTo(MESSAGE);
    assertRefused(
        CKR_ENCRYPTED_DATA_INVALID, () -> run(DECRYPT, gcm, key, flipped(again, 200), 100));
    // A chosen IV would be used twice by a fork: one part only.
    var chosen = new Mechanism(CKM_AES_GCM, new AesGcm(message(12), NO_KEY, 128));
    var begun = begin(ENCRYPT, chosen, key);
    assertRefused(CKR_FUNCTION_NOT_SUPPORTED, () -> update(ENCRYPT, begun, MESSAGE));
    assertRefused(CKR_FUNCTION_NOT_SUPPORTED, () -> finish(ENCRYPT, begun));
    assertThat(parts.whole(client.by, ENCRYPT, begun, ByteBuffer.wrap(MESSAGE)))
        .isEqualTo(client.encrypt(chosen, key, MESSAGE));
  }

  @Test
  void whatWaitsInTheStateHasALimit() {
    var hmac = Mechanism.of(CKM_SHA256_HMAC);
    var key = client.generic(32, flags(CKA_SIGN)).blob();
    var full = update(SIGN, begin(SIGN, hmac, key), new byte[4096]).state();

    assertThat(full.length).isLessThanOrEqualTo(8192);
    assertThat(finish(SIGN, full)).isEqualTo(client.sign(hmac, key, new byte[4096]));
    assertRefused(CKR_DATA_LEN_RANGE, () -> update(SIGN, full, new byte[1]));
    assertThatCode(() -> update(SIGN, full, NO_KEY)).doesNotThrowAnyException();
  }

  @Test
  void strictStreamsInOnePartOnlyAndChoosesNoIv() {
    var strict = new Client(core.operations(Policy.STRICT, true), Core.A);
    var own = strict.operations.parts();
    var key = strict.aes(32, flags(CKA_ENCRYPT)).blob();
    var ctr = new Mechanism(CKM_AES_CTR, new AesCtr(128, new byte[16]));
    var state = own.begin(strict.by, ENCRYPT, ctr, key);

    assertRefused(
        CKR_FUNCTION_NOT_SUPPORTED,
        () -> own.update(strict.by, ENCRYPT, state, ByteBuffer.wrap(MESSAGE)));
    assertThat(own.whole(strict.by, ENCRYPT, state, ByteBuffer.wrap(MESSAGE)))
        .hasSize(MESSAGE.length);
    assertRefused(
        CKR_MECHANISM_PARAM_INVALID,
        () ->
            own.begin(
                strict.by,
                ENCRYPT,
                new Mechanism(CKM_AES_GCM, new AesGcm(message(12), NO_KEY, 128)),
                key));
  }

  // Signatures

  record Signer(Mechanism mechanism, byte[] sign, byte[] verify, boolean deterministic) {
    @Override
    public String toString() {
      return mechanism.name();
    }
  }

  private static List<Signer> signers() {
    var rsa = client.rsa(2048, flags(CKA_VERIFY), flags(CKA_SIGN));
    var ec = client.ec(NamedCurve.P_256, flags(CKA_VERIFY), flags(CKA_SIGN));
    var aes = client.aes(32, flags(CKA_SIGN, CKA_VERIFY)).blob();
    var signers = new java.util.ArrayList<Signer>();
    for (long type :
        new long[] {
          CKM_SHA1_RSA_PKCS,
          CKM_SHA224_RSA_PKCS,
          CKM_SHA256_RSA_PKCS,
          CKM_SHA384_RSA_PKCS,
          CKM_SHA512_RSA_PKCS
        }) {
      signers.add(
          new Signer(Mechanism.of(type), rsa.privateKey().blob(), rsa.publicKey().blob(), true));
    }
    for (var hash : List.of(Hash.SHA_1, Hash.SHA256, Hash.SHA512)) {
      long type =
          switch (hash) {
            case SHA_1 -> CKM_SHA1_RSA_PKCS_PSS;
            case SHA256 -> CKM_SHA256_RSA_PKCS_PSS;
            default -> CKM_SHA512_RSA_PKCS_PSS;
          };
      signers.add(
          new Signer(
              new Mechanism(type, new RsaPss(hash.mechanism(), hash.mgf(), 0)),
              rsa.privateKey().blob(),
              Client.spki(rsa),
              true));
    }
    for (long type : new long[] {CKM_ECDSA_SHA1, CKM_ECDSA_SHA256, CKM_IBM_ECDSA_SHA512}) {
      signers.add(
          new Signer(Mechanism.of(type), ec.privateKey().blob(), ec.publicKey().blob(), false));
    }
    for (long type : new long[] {CKM_SHA256_HMAC, CKM_IBM_SHA3_256_HMAC, CKM_AES_CMAC}) {
      signers.add(new Signer(Mechanism.of(type), aes, aes, true));
    }
    return signers;
  }

  @Test
  void signaturesInPartsAreThoseInOnePart() {
    for (var signer : signers()) {
      var mechanism = signer.mechanism();
      var single = client.sign(mechanism, signer.sign(), MESSAGE);
      for (int[] cuts : CUTS) {
        var signature = run(SIGN, mechanism, signer.sign(), MESSAGE, cuts);
        if (signer.deterministic()) {
          assertThat(signature).as("%s", signer).isEqualTo(single);
        }
        client.verify(mechanism, signer.verify(), MESSAGE, signature);
        verify(mechanism, signer.verify(), MESSAGE, signature, cuts);
      }
      verify(mechanism, signer.verify(), MESSAGE, single, 500);
      assertRefused(
          CKR_SIGNATURE_INVALID,
          () -> verify(mechanism, signer.verify(), MESSAGE, flipped(single, 9), 500));
      assertRefused(
          CKR_SIGNATURE_INVALID,
          () -> verify(mechanism, signer.verify(), flipped(MESSAGE, 9), single, 500));
      assertRefused(
          CKR_SIGNATURE_LEN_RANGE,
          () -> verify(mechanism, signer.verify(), MESSAGE, new byte[1], 500));
      var begun = begin(SIGN, mechanism, signer.sign());
      var whole = parts.whole(client.by, SIGN, begun, ByteBuffer.wrap(MESSAGE));
      parts.wholeVerify(
          client.by, begin(VERIFY, mechanism, signer.verify()), ByteBuffer.wrap(MESSAGE), whole);
    }
  }

  private static void verify(
      Mechanism mechanism, byte[] key, byte[] data, byte[] signature, int... cuts) {
    var state = begin(VERIFY, mechanism, key);
    int from = 0;
    for (int cut : cuts) {
      state = update(VERIFY, state, Arrays.copyOfRange(data, from, cut)).state();
      from = cut;
    }
    state = update(VERIFY, state, Arrays.copyOfRange(data, from, data.length)).state();
    parts.finishVerify(client.by, state, signature);
  }

  @Test
  void whatDoesNotFitTheModulusIsRefusedByInitAndByEveryOtherCall() {
    var rsa = client.rsa(1024, flags(CKA_VERIFY), flags(CKA_SIGN));
    var small = client.rsa(512, flags(CKA_VERIFY), flags(CKA_SIGN));
    var hash = Hash.SHA512;
    var pss =
        new Mechanism(
            CKM_SHA512_RSA_PKCS_PSS, new RsaPss(hash.mechanism(), hash.mgf(), hash.length()));
    refusedEverywhere(CKR_MECHANISM_PARAM_INVALID, pss, rsa, new byte[128]);
    refusedEverywhere(CKR_KEY_SIZE_RANGE, Mechanism.of(CKM_SHA512_RSA_PKCS), small, new byte[64]);
  }

  private static void refusedEverywhere(
      long returnValue, Mechanism mechanism, NewKeyPair pair, byte[] signature) {
    var privateKey = pair.privateKey().blob();
    var publicKey = pair.publicKey().blob();
    assertRefused(returnValue, () -> begin(SIGN, mechanism, privateKey));
    assertRefused(returnValue, () -> begin(VERIFY, mechanism, publicKey));
    assertRefused(returnValue, () -> client.sign(mechanism, privateKey, MESSAGE));
    assertRefused(returnValue, () -> client.verify(mechanism, publicKey, MESSAGE, signature));
  }

  @Test
  void mechanismsOfOnePartSaySo() {
    var rsa = client.rsa(2048, flags(CKA_VERIFY, CKA_ENCRYPT), flags(CKA_SIGN, CKA_DECRYPT));
    var ec = client.ec(NamedCurve.P_256, flags(CKA_VERIFY), flags(CKA_SIGN));
    var ed = client.ec(NamedCurve.ED25519, flags(CKA_VERIFY), flags(CKA_SIGN));
    var rows =
        List.of(
            begin(SIGN, Mechanism.of(CKM_RSA_PKCS), rsa.privateKey().blob()),
            begin(SIGN, Mechanism.of(CKM_ECDSA), ec.privateKey().blob()),
            begin(SIGN, Mechanism.of(Ckm.CKM_IBM_ED25519_SHA512), ed.privateKey().blob()));
    for (var state : rows) {
      assertRefused(CKR_FUNCTION_NOT_SUPPORTED, () -> update(SIGN, state, MESSAGE));
      assertRefused(CKR_FUNCTION_NOT_SUPPORTED, () -> finish(SIGN, state));
      assertThat(parts.whole(client.by, SIGN, state, ByteBuffer.wrap(new byte[28]))).isNotEmpty();
    }
    var encryption = begin(ENCRYPT, Mechanism.of(CKM_RSA_PKCS), rsa.publicKey().blob());
    assertRefused(CKR_FUNCTION_NOT_SUPPORTED, () -> update(ENCRYPT, encryption, MESSAGE));
    assertRefused(CKR_FUNCTION_NOT_SUPPORTED, () -> finish(ENCRYPT, encryption));
  }

  // States

  /**
   * States outlive an upgrade of the gateway. Where this fails after one of the hash library, the
   * format number of {@code StateHeader} must change with it.
   */
  @Test
  void statesOfHashesAreThoseOfFormatOne() throws Exception {
    var all = new java.io.ByteArrayOutputStream();
    for (var hash : Hash.values()) {
      var running = RunningHash.begin(hash);
      running.update(ByteBuffer.wrap(MESSAGE));
      all.write(running.state());
    }
    assertThat(
            java.util.HexFormat.of().formatHex(Hash.SHA256.newDigest().digest(all.toByteArray())))
        .isEqualTo("53092f805963c3fe37196d1aaca402e20785da437af2dfe1f8e89e82d3d9184e");
  }

  @Test
  void contentsOfStatesAreThoseOfFormatOne() throws Exception {
    var all = new java.io.ByteArrayOutputStream();
    for (var mechanism :
        List.of(
            Mechanism.of(CKM_SHA256),
            Mechanism.of(CKM_AES_CBC, message(16)),
            new Mechanism(CKM_RSA_PKCS_OAEP, new RsaOaep(1, 2, message(3))),
            new Mechanism(CKM_RSA_PKCS_PSS, new RsaPss(1, 2, 3)),
            new Mechanism(CKM_AES_GCM, new AesGcm(message(12), message(2), 96)),
            new Mechanism(CKM_AES_CTR, new AesCtr(32, message(16))),
            new Mechanism(CKM_EDDSA, new EdDsa(true, message(4))))) {
      var operation =
          RunningOperation.begin(mechanism, message(7), message(8))
              .advanced(9, message(5), message(6));
      all.write(operation.encoded());
      assertThat(RunningOperation.decode(operation.encoded()).encoded())
          .isEqualTo(operation.encoded());
    }
    assertThat(
            java.util.HexFormat.of().formatHex(Hash.SHA256.newDigest().digest(all.toByteArray())))
        .isEqualTo("1df614e5dde28c8ddffd0ec6f4b704947b9ab5dc1ff79c75b1c2b8532b40959d");
  }

  @Test
  void aStateIsAValue() {
    var cbc = Mechanism.of(CKM_AES_CBC_PAD, new byte[16]);
    var key = client.aes(16, flags(CKA_ENCRYPT, CKA_DECRYPT)).blob();
    var fork = update(ENCRYPT, begin(ENCRYPT, cbc, key), Arrays.copyOf(MESSAGE, 20));

    for (byte[] tail : List.of(message(51), message(1), NO_KEY, message(64))) {
      var part = update(ENCRYPT, fork.state(), tail);
      var all = concat(fork.output(), part.output(), finish(ENCRYPT, part.state()));
      assertThat(client.decrypt(cbc, key, all)).isEqualTo(concat(Arrays.copyOf(MESSAGE, 20), tail));
    }
    assertRefused(
        CKR_OPERATION_ACTIVE,
        () -> parts.whole(client.by, ENCRYPT, fork.state(), ByteBuffer.wrap(MESSAGE)));
    var untouched = update(ENCRYPT, begin(ENCRYPT, cbc, key), NO_KEY);
    assertThat(untouched.output()).isEmpty();
    assertThat(parts.whole(client.by, ENCRYPT, untouched.state(), ByteBuffer.wrap(MESSAGE)))
        .isEqualTo(client.encrypt(cbc, key, MESSAGE));
  }

  @Test
  void everyFlippedByteAndEveryOtherLengthIsRefused() {
    var key = client.aes(16, flags(CKA_ENCRYPT)).blob();
    var cbc = Mechanism.of(CKM_AES_CBC, new byte[16]);
    for (var state :
        List.of(
            update(DIGEST, begin(DIGEST, Mechanism.of(CKM_SHA256), NO_KEY), MESSAGE).state(),
            update(ENCRYPT, begin(ENCRYPT, cbc, key), MESSAGE).state())) {
      for (int i = 0; i < state.length; i++) {
        var tampered = flipped(state, 8 * i + i % 8);
        // The format: a state of another version, as far as one can see.
        long expected = i == 4 ? CKR_SAVED_STATE_INVALID : CKR_IBM_BLOB_ERROR;
        for (var function : List.of(DIGEST, ENCRYPT)) {
          assertRefused(expected, () -> finish(function, tampered));
        }
        var cut = Arrays.copyOf(state, i);
        assertRefused(
            i == 0 ? CKR_OPERATION_NOT_INITIALIZED : CKR_IBM_BLOB_ERROR, () -> finish(DIGEST, cut));
      }
      assertRefused(
          CKR_IBM_BLOB_ERROR, () -> finish(DIGEST, Arrays.copyOf(state, state.length + 1)));
      assertRefused(CKR_IBM_BLOB_ERROR, () -> finish(DIGEST, Arrays.copyOf(state, 10_000)));
    }
    assertRefused(CKR_IBM_BLOB_ERROR, () -> finish(ENCRYPT, key));
  }

  @Test
  void aStateIsOfOneFunction() {
    var functions = List.of(DIGEST, ENCRYPT, DECRYPT, SIGN, VERIFY);
    var aes = client.aes(32, flags(CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY)).blob();
    for (var made : functions) {
      var mechanism =
          switch (made) {
            case DIGEST -> Mechanism.of(CKM_SHA256);
            case ENCRYPT, DECRYPT -> Mechanism.of(CKM_AES_CBC, new byte[16]);
            default -> Mechanism.of(CKM_AES_CMAC);
          };
      var state = begin(made, mechanism, made == DIGEST ? NO_KEY : aes);
      for (var used : functions) {
        if (used == made) {
          continue;
        }
        assertRefused(CKR_SAVED_STATE_INVALID, () -> update(used, state, MESSAGE));
        if (used == VERIFY) {
          assertRefused(
              CKR_SAVED_STATE_INVALID, () -> parts.finishVerify(client.by, state, new byte[16]));
        } else {
          assertRefused(CKR_SAVED_STATE_INVALID, () -> finish(used, state));
          assertRefused(
              CKR_SAVED_STATE_INVALID,
              () -> parts.whole(client.by, used, state, ByteBuffer.wrap(MESSAGE)));
        }
      }
    }
  }

  @Test
  void aStateIsOfOneInstanceWithAnotherOrTheSameMasterKey() {
    var state = update(DIGEST, begin(DIGEST, Mechanism.of(CKM_SHA256), NO_KEY), MESSAGE).state();
    for (var instance : List.of(Core.B, Core.TWIN_OF_A)) {
      assertRefused(CKR_IBM_BLOB_ERROR, () -> parts.finish(Core.by(instance), DIGEST, state));
    }
  }

  @Test
  void aNewStateNeverRepeats() {
    var first = begin(DIGEST, Mechanism.of(CKM_SHA256), NO_KEY);
    assertThat(begin(DIGEST, Mechanism.of(CKM_SHA256), NO_KEY)).isNotEqualTo(first);
  }

  @Test
  void anInitRefusesWhatCouldNeverWork() {
    var aes = client.aes(16, flags(CKA_ENCRYPT));
    var ec = client.ec(NamedCurve.P_256, flags(CKA_VERIFY), flags(CKA_SIGN));
    var cbc = Mechanism.of(CKM_AES_CBC, new byte[16]);

    assertRefused(CKR_KEY_HANDLE_INVALID, () -> begin(ENCRYPT, cbc, NO_KEY));
    assertRefused(
        CKR_MECHANISM_PARAM_INVALID,
        () -> begin(ENCRYPT, Mechanism.of(CKM_AES_CBC, new byte[15]), aes.blob()));
    assertRefused(CKR_MECHANISM_INVALID, () -> begin(DIGEST, cbc, NO_KEY));
    assertRefused(CKR_MECHANISM_INVALID, () -> begin(SIGN, cbc, aes.blob()));
    assertRefused(CKR_KEY_TYPE_INCONSISTENT, () -> begin(ENCRYPT, cbc, ec.privateKey().blob()));
    assertRefused(CKR_IBM_BLOB_ERROR, () -> begin(ENCRYPT, cbc, flipped(aes.blob(), 900)));
    var noDecrypt =
        client.aes(16, flags(CKA_ENCRYPT).toBuilder().put(CKA_DECRYPT, false).build()).blob();
    assertRefused(CKR_KEY_FUNCTION_NOT_PERMITTED, () -> begin(DECRYPT, cbc, noDecrypt));
    assertRefused(
        CKR_KEY_TYPE_INCONSISTENT,
        () -> begin(SIGN, Mechanism.of(CKM_IBM_ED25519_SHA512), ec.privateKey().blob()));
  }
}
