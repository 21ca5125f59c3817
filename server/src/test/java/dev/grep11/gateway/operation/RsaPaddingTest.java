package dev.grep11.gateway.operation;

import static dev.grep11.gateway.operation.Client.assertRefused;
import static dev.grep11.gateway.operation.Client.flags;
import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;
import static dev.grep11.gateway.pkcs11.Ckr.*;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Hash;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaOaep;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.softhsm.SoftHsmExtension;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.interfaces.RSAPublicKey;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.bouncycastle.util.BigIntegers;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * What becomes of encodings that no honest sender makes. The encoded block is chosen here and
 * raised to the public exponent, so that every malformation reaches the unpadding as it is.
 */
class RsaPaddingTest {
  @RegisterExtension static final SoftHsmExtension HSM = new SoftHsmExtension();

  static final int K = 256;
  private static final byte[] MESSAGE = "sixteen bytes!!!".getBytes(UTF_8);
  private static final Mechanism PKCS1 = Mechanism.of(CKM_RSA_PKCS);

  private static Core core;
  private static Client client;
  private static KeyPair outside;
  private static byte[] key;

  @BeforeAll
  static void open() throws Exception {
    core = Core.on(HSM.token());
    client = new Client(core.operations(Policy.COMPATIBLE, true), Core.A);
    var generator = KeyPairGenerator.getInstance("RSA");
    generator.initialize(8 * K);
    outside = generator.generateKeyPair();
    key =
        client
            .importPrivate(
                Ckk.CKK_RSA, outside.getPrivate(), flags(CKA_DECRYPT, CKA_UNWRAP, CKA_SIGN))
            .blob();
  }

  @AfterAll
  static void close() {
    core.close();
  }

  /** The ciphertext of an encoded block. */
  private static byte[] raised(byte[] encoded) {
    return raised(outside, encoded);
  }

  static byte[] raised(KeyPair pair, byte[] encoded) {
    var publicKey = (RSAPublicKey) pair.getPublic();
    return BigIntegers.asUnsignedByteArray(
        K,
        new BigInteger(1, encoded).modPow(publicKey.getPublicExponent(), publicKey.getModulus()));
  }

  /** 00 02, padding of so many bytes, 00, message. */
  static byte[] pkcs1(byte[] message) {
    var encoded = new byte[K];
    encoded[1] = 2;
    Arrays.fill(encoded, 2, K - message.length - 1, (byte) 0x5a);
    System.arraycopy(message, 0, encoded, K - message.length, message.length);
    return encoded;
  }

  static byte[] with(byte[] encoded, int index, int value) {
    var changed = encoded.clone();
    changed[index] = (byte) value;
    return changed;
  }

  /** A malformed block. */
  record Malformed(String what, byte[] encoded) {
    @Override
    public String toString() {
      return what;
    }
  }

  static Stream<Malformed> pkcs1Blocks() {
    var good = pkcs1(MESSAGE);
    var noSeparator = new byte[K];
    Arrays.fill(noSeparator, (byte) 0x5a);
    noSeparator[0] = 0;
    noSeparator[1] = 2;
    return Stream.concat(
        Stream.of(
            new Malformed("first byte 1", with(good, 0, 1)),
            new Malformed("block type 1", with(good, 1, 1)),
            new Malformed("block type 0", with(good, 1, 0)),
            new Malformed("block type 3", with(good, 1, 3)),
            new Malformed("block type 0x82", with(good, 1, 0x82)),
            new Malformed("no separator", noSeparator),
            new Malformed("all zeros but the last", with(new byte[K], K - 1, 1)),
            new Malformed("zero", new byte[K])),
        // Less than eight bytes of padding.
        IntStream.range(2, 10).mapToObj(i -> new Malformed("separator at " + i, with(good, i, 0))));
  }

  @ParameterizedTest
  @MethodSource("pkcs1Blocks")
  void aMalformedPkcs1BlockGivesTheSamePseudoRandomMessageEachTime(Malformed row) {
    var ciphered = raised(row.encoded());
    var message = client.decrypt(PKCS1, key, ciphered);
    assertThat(message.length).isBetween(0, K - 11);
    assertThat(client.decrypt(PKCS1, key, ciphered)).isEqualTo(message);
    assertThat(message).isNotEqualTo(MESSAGE);
    var unwrapped = client.unwrap(PKCS1, ciphered, key, Client.aesTemplate(32, CKA_SIGN));
    assertThat(unwrapped.attributes().ulong(CKA_VALUE_LEN)).hasValue(32);
    assertThat(client.unwrap(PKCS1, ciphered, key, Client.aesTemplate(32, CKA_SIGN)).checkSum())
        .isEqualTo(unwrapped.checkSum());
  }

  /** The right padding around a key of another length is as wrong as any. */
  @Test
  void anUnwrappedKeyHasExactlyTheLengthOfTheTemplate() {
    for (int sent : new int[] {0, 1, 15, 16, 17, 24, 32, 33, K - 11}) {
      var ciphered = raised(pkcs1(new byte[sent]));
      for (int asked : new int[] {16, 24, 32}) {
        var unwrapped = client.unwrap(PKCS1, ciphered, key, Client.aesTemplate(asked));
        assertThat(unwrapped.attributes().ulong(CKA_VALUE_LEN)).hasValue(asked);
        var zeros = client.importSecret(Ckk.CKK_AES, new byte[asked], Template.empty());
        assertThat(Arrays.equals(unwrapped.checkSum(), zeros.checkSum()))
            .as("%d bytes sent, %d asked", sent, asked)
            .isEqualTo(sent == asked);
      }
    }
    assertRefused(
        CKR_TEMPLATE_INCOMPLETE,
        () ->
            client.unwrap(
                PKCS1,
                new byte[K],
                key,
                Template.builder().put(CKA_KEY_TYPE, Ckk.CKK_AES).build()));
  }

  @Test
  void syntheticMessagesHaveManyLengthsAndNoPattern() {
    var lengths = new HashSet<Integer>();
    for (int i = 1; i <= 200; i++) {
      lengths.add(client.decrypt(PKCS1, key, raised(with(new byte[K], K - 1, i))).length);
    }
    // 200 draws from 246 lengths; fewer than 60 different ones would be no uniform draw.
    assertThat(lengths).hasSizeGreaterThan(60);
    assertThat(lengths).allMatch(length -> length >= 0 && length <= K - 11);
  }

  @Test
  void everyMessageLengthComesBack() {
    for (int length = 0; length <= K - 11; length++) {
      var message = new byte[length];
      Arrays.fill(message, (byte) length);
      assertThat(client.decrypt(PKCS1, key, raised(pkcs1(message)))).isEqualTo(message);
    }
  }

  /** That it is no number below the modulus anybody can see, so it may be told. */
  @Test
  void aCiphertextThatIsNoResidueIsRefused() {
    var modulus = ((RSAPublicKey) outside.getPublic()).getModulus();
    var oaep = oaep(Hash.SHA_1, new byte[0]);
    var oaep256 = oaep(Hash.SHA256, new byte[0]);
    for (var number :
        List.of(
            modulus,
            modulus.add(BigInteger.ONE),
            BigInteger.TWO.pow(8 * K).subtract(BigInteger.ONE))) {
      var ciphered = BigIntegers.asUnsignedByteArray(K, number);
      for (var mechanism : List.of(PKCS1, oaep, oaep256)) {
        assertRefused(CKR_ENCRYPTED_DATA_INVALID, () -> client.decrypt(mechanism, key, ciphered));
        assertRefused(
            CKR_WRAPPED_KEY_INVALID,
            () -> client.unwrap(mechanism, ciphered, key, Client.aesTemplate(32)));
      }
    }
    for (int length : new int[] {0, 1, K - 1, K + 1, 4 * K}) {
      assertRefused(
          CKR_ENCRYPTED_DATA_LEN_RANGE, () -> client.decrypt(PKCS1, key, new byte[length]));
      assertRefused(
          CKR_WRAPPED_KEY_LEN_RANGE,
          () -> client.unwrap(PKCS1, new byte[length], key, Client.aesTemplate(32)));
    }
  }

  static Mechanism oaep(Hash hash, byte[] label) {
    return new Mechanism(CKM_RSA_PKCS_OAEP, new RsaOaep(hash.mechanism(), hash.mgf(), label));
  }

  private static RsaOaep parameters(Mechanism mechanism) {
    return (RsaOaep) mechanism.parameters();
  }

  /** The data block before masking: label hash, zeros, 01, message. */
  static byte[] oaepBlock(Hash hash, byte[] label, byte[] message) {
    var block = new byte[K - hash.length() - 1];
    System.arraycopy(hash.newDigest().digest(label), 0, block, 0, hash.length());
    block[block.length - message.length - 1] = 1;
    System.arraycopy(message, 0, block, block.length - message.length, message.length);
    return block;
  }

  static byte[] masked(Hash hash, int first, byte[] block) {
    var seed = new byte[hash.length()];
    Arrays.fill(seed, (byte) 0x33);
    var maskedBlock = exclusiveOr(block, mgf1(hash, seed, block.length));
    var maskedSeed = exclusiveOr(seed, mgf1(hash, maskedBlock, seed.length));
    return Client.concat(new byte[] {(byte) first}, maskedSeed, maskedBlock);
  }

  /** RFC 8017, appendix B.2.1. */
  private static byte[] mgf1(Hash hash, byte[] seed, int length) {
    var out = new byte[0];
    for (int i = 0; out.length < length; i++) {
      out =
          Client.concat(
              out,
              hash.newDigest()
                  .digest(Client.concat(seed, ByteBuffer.allocate(4).putInt(i).array())));
    }
    return Arrays.copyOf(out, length);
  }

  private static byte[] exclusiveOr(byte[] a, byte[] b) {
    var out = a.clone();
    for (int i = 0; i < out.length; i++) {
      out[i] ^= b[i];
    }
    return out;
  }

  /** RFC 8017, 7.1.2, step 3: one answer whatever is wrong. */
  @Test
  void everyMalformedOaepBlockGetsOneAnswer() {
    var label = new byte[] {1, 2, 3};
    for (var hash : List.of(Hash.SHA_1, Hash.SHA256, Hash.SHA512)) {
      var mechanism = oaep(hash, label);
      assertThat(parameters(mechanism).label()).isEqualTo(label);
      int h = hash.length();
      var good = oaepBlock(hash, label, MESSAGE);
      int separator = good.length - MESSAGE.length - 1;
      assertThat(client.decrypt(mechanism, key, raised(masked(hash, 0, good)))).isEqualTo(MESSAGE);
      var rows =
          List.of(
              new Malformed("first byte 1", masked(hash, 1, good)),
              new Malformed("first bit of label hash", masked(hash, 0, Client.flipped(good, 7))),
              new Malformed(
                  "last bit of label hash", masked(hash, 0, Client.flipped(good, 8 * h - 8))),
              new Malformed("other label", masked(hash, 0, oaepBlock(hash, MESSAGE, MESSAGE))),
              new Malformed("no separator", masked(hash, 0, zeroAfter(good, h))),
              new Malformed("separator 2", masked(hash, 0, with(good, separator, 2))),
              new Malformed("separator 0x80", masked(hash, 0, with(good, separator, 0x80))),
              new Malformed("something in the zeros", masked(hash, 0, with(good, h, 7))),
              new Malformed("all zeros", new byte[K]));
      for (var row : rows) {
        assertRefused(
            CKR_ENCRYPTED_DATA_INVALID,
            () -> client.decrypt(mechanism, key, raised(row.encoded())));
        assertRefused(
            CKR_WRAPPED_KEY_INVALID,
            () -> client.unwrap(mechanism, raised(row.encoded()), key, Client.aesTemplate(16)));
      }
    }
  }

  static byte[] zeroAfter(byte[] block, int from) {
    var changed = block.clone();
    Arrays.fill(changed, from, block.length, (byte) 0);
    return changed;
  }
}
