package dev.grep11.gateway.operation;

import static dev.grep11.gateway.operation.Client.assertRefused;
import static dev.grep11.gateway.operation.Client.flags;
import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;
import static dev.grep11.gateway.pkcs11.Ckr.*;
import static dev.grep11.gateway.pkcs11.CryptoFunction.DECRYPT;
import static dev.grep11.gateway.pkcs11.CryptoFunction.UNWRAP;
import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Hash;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaOaep;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.softhsm.SoftHsmExtension;
import java.nio.ByteBuffer;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The table of paddings in interfaces 6, one case a cell: every wrong padding gets the cell's
 * answer and no other. What the answers are made of: {@link RsaPaddingTest}, {@link
 * PaddingOracleTest}; how long they take: {@link PaddingTimingTest}; the budget of failures: {@link
 * OperationsTest}.
 */
class PaddingTableTest {
  @RegisterExtension static final SoftHsmExtension HSM = new SoftHsmExtension();

  /** Not a return value: a wrong padding gives a pseudo-random result. */
  private static final long IMPLICIT = -1;

  private static final Mechanism PKCS1 = Mechanism.of(CKM_RSA_PKCS);
  private static final Mechanism AES_PAD = Mechanism.of(CKM_AES_CBC_PAD, new byte[16]);
  private static final Mechanism DES_PAD = Mechanism.of(CKM_DES3_CBC_PAD, new byte[8]);

  private static Core core;
  private static KeyPair outside;
  private static byte[] rsa;
  private static byte[] aes;
  private static byte[] des;
  private static Client maker;

  @BeforeAll
  static void open() throws Exception {
    core = Core.on(HSM.token());
    maker = client(Policy.COMPATIBLE);
    var generator = KeyPairGenerator.getInstance("RSA");
    generator.initialize(8 * RsaPaddingTest.K);
    outside = generator.generateKeyPair();
    rsa =
        maker
            .importPrivate(Ckk.CKK_RSA, outside.getPrivate(), flags(CKA_DECRYPT, CKA_UNWRAP))
            .blob();
    var cipher = flags(CKA_ENCRYPT, CKA_DECRYPT, CKA_UNWRAP);
    aes = maker.aes(32, cipher).blob();
    des = maker.generate(CKM_DES3_KEY_GEN, cipher).blob();
  }

  @AfterAll
  static void close() {
    core.close();
  }

  private static Client client(Policy policy) {
    return new Client(core.operations(policy, true), Core.A);
  }

  /** One cell. */
  record Cell(Mechanism mechanism, CryptoFunction function, Policy policy, long answer) {
    @Override
    public String toString() {
      return "%s %s under %s: %s"
          .formatted(
              mechanism,
              function,
              policy,
              answer == IMPLICIT ? "implicit rejection" : Ckr.name(answer));
    }
  }

  static Stream<Cell> cells() {
    var oaep1 = RsaPaddingTest.oaep(Hash.SHA_1, new byte[0]);
    var oaep256 = RsaPaddingTest.oaep(Hash.SHA256, new byte[0]);
    var cells = new ArrayList<Cell>();
    row(cells, PKCS1, DECRYPT, IMPLICIT, CKR_MECHANISM_INVALID);
    row(cells, PKCS1, UNWRAP, IMPLICIT, CKR_MECHANISM_INVALID);
    for (var oaep : List.of(oaep1, oaep256)) {
      row(cells, oaep, DECRYPT, CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_INVALID);
      row(cells, oaep, UNWRAP, CKR_WRAPPED_KEY_INVALID, CKR_WRAPPED_KEY_INVALID);
    }
    for (var pad : List.of(AES_PAD, DES_PAD)) {
      row(cells, pad, DECRYPT, CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_INVALID);
      row(cells, pad, UNWRAP, CKR_WRAPPED_KEY_INVALID, CKR_MECHANISM_INVALID);
    }
    return cells.stream();
  }

  private static void row(
      List<Cell> cells,
      Mechanism mechanism,
      CryptoFunction function,
      long compatible,
      long strict) {
    cells.add(new Cell(mechanism, function, Policy.COMPATIBLE, compatible));
    cells.add(new Cell(mechanism, function, Policy.STRICT, strict));
  }

  @ParameterizedTest
  @MethodSource("cells")
  void everyWrongPaddingGetsTheAnswerOfItsCell(Cell cell) {
    var client = client(cell.policy());
    for (var wrong : wrongPaddings(cell.mechanism())) {
      if (cell.answer() == IMPLICIT) {
        assertThat(result(client, cell, wrong)).isEqualTo(result(client, cell, wrong));
      } else {
        assertRefused(cell.answer(), () -> result(client, cell, wrong));
      }
    }
  }

  /** What is not offered is absent from the list, or says so in its flags. */
  @ParameterizedTest
  @MethodSource("cells")
  void whatACellDoesNotOfferIsNotInTheListEither(Cell cell) {
    var info = client(cell.policy()).operations.mechanismInfo(cell.mechanism().type());
    assertThat((info.flags() & cell.function().flag()) != 0)
        .isEqualTo(cell.answer() != CKR_MECHANISM_INVALID);
  }

  private static byte[] result(Client client, Cell cell, byte[] wrong) {
    boolean ofRsa = cell.mechanism().type() == CKM_RSA_PKCS || isOaep(cell.mechanism());
    var key = ofRsa ? rsa : cell.mechanism().type() == CKM_AES_CBC_PAD ? aes : des;
    return cell.function() == DECRYPT
        ? client.decrypt(cell.mechanism(), key, wrong)
        : client.unwrap(cell.mechanism(), wrong, key, Client.aesTemplate(32)).checkSum();
  }

  private static boolean isOaep(Mechanism mechanism) {
    return mechanism.type() == CKM_RSA_PKCS_OAEP;
  }

  private static List<byte[]> wrongPaddings(Mechanism mechanism) {
    if (mechanism.type() == CKM_RSA_PKCS) {
      return RsaPaddingTest.pkcs1Blocks()
          .map(block -> RsaPaddingTest.raised(outside, block.encoded()))
          .toList();
    }
    if (isOaep(mechanism)) {
      var hash =
          mechanism.parameters() instanceof RsaOaep oaep && oaep.hash() == CKM_SHA_1
              ? Hash.SHA_1
              : Hash.SHA256;
      var good = RsaPaddingTest.oaepBlock(hash, new byte[0], new byte[32]);
      return Stream.of(
              RsaPaddingTest.masked(hash, 1, good),
              RsaPaddingTest.masked(hash, 0, Client.flipped(good, 7)),
              RsaPaddingTest.masked(hash, 0, RsaPaddingTest.zeroAfter(good, hash.length())),
              RsaPaddingTest.masked(hash, 0, RsaPaddingTest.with(good, good.length - 33, 2)))
          .map(block -> RsaPaddingTest.raised(outside, block))
          .toList();
    }
    boolean ofAes = mechanism.type() == CKM_AES_CBC_PAD;
    int block = ofAes ? 16 : 8;
    var unpadded = Mechanism.of(ofAes ? CKM_AES_CBC : CKM_DES3_CBC, new byte[block]);
    return Arrays.stream(wrongEnds(block))
        .map(plain -> maker.encrypt(unpadded, ofAes ? aes : des, plain))
        .toList();
  }

  /** Three blocks with a wrong end. */
  private static byte[][] wrongEnds(int block) {
    var ends =
        new int[][] {
          {0}, {block + 1}, {0x80}, {0xff}, {1, 2}, {2, 3, 3}, {block - 1, block}, {3, 2, 3}
        };
    return Arrays.stream(ends)
        .map(end -> {
          var plain = new byte[3 * block];
          for (int i = 0; i < end.length; i++) {
            plain[plain.length - end.length + i] = (byte) end[i];
          }
          return plain;
        })
        .toArray(byte[][]::new);
  }

  /** In a block of padding only the first byte, then the second, and so on is wrong. */
  @ParameterizedTest
  @ValueSource(ints = {8, 16})
  void readsEveryByteOfAPadding(int block) {
    for (int count = 1; count <= block; count++) {
      var padded = new byte[2 * block];
      Arrays.fill(padded, padded.length - count, padded.length, (byte) count);
      assertThat(BlockPadding.unpaddedLength(ByteBuffer.wrap(padded), block))
          .isEqualTo(padded.length - count);
      for (int wrong = padded.length - count; wrong < padded.length - 1; wrong++) {
        for (int bit = 0; bit < 8; bit++) {
          assertThat(
                  BlockPadding.unpaddedLength(
                      ByteBuffer.wrap(Client.flipped(padded, 8 * wrong + bit)), block))
              .isNegative();
        }
      }
    }
    for (int last = 0; last < 256; last++) {
      var padded = new byte[block];
      Arrays.fill(padded, (byte) last);
      assertThat(BlockPadding.unpaddedLength(ByteBuffer.wrap(padded), block) >= 0)
          .as("whole block of %d", last)
          .isEqualTo(last >= 1 && last <= block);
    }
  }
}
