package dev.grep11.gateway.operation;

import static dev.grep11.gateway.operation.Client.flags;
import static dev.grep11.gateway.operation.RsaPaddingTest.K;
import static dev.grep11.gateway.operation.RsaPaddingTest.masked;
import static dev.grep11.gateway.operation.RsaPaddingTest.oaep;
import static dev.grep11.gateway.operation.RsaPaddingTest.oaepBlock;
import static dev.grep11.gateway.operation.RsaPaddingTest.with;
import static dev.grep11.gateway.operation.RsaPaddingTest.zeroAfter;
import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Hash;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.softhsm.SoftHsmExtension;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.util.Random;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Inputs that get the same answer take the same time. Measured in process, from the operation's
 * call to its return; the statistic is {@link TimingComparison}'s.
 *
 * <p>Effect bound: {@value #BOUND_MICROS} microseconds, {@value #KEY_BOUND_MICROS} where the answer
 * is a new key, which costs milliseconds. Samples: rounds of {@value #ROUND} pairs until the
 * standard error is a third of the bound, at most {@value #MOST_PAIRS} pairs; each of ciphertexts
 * drawn from {@value #TEXTS} of its class. With every comparison the same one runs with a busy wait
 * of three times the bound planted in its second class, which must be found: so a comparison that
 * finds nothing could have found something. The whole of it belongs to {@code ./grep11 test --all},
 * by itself and with all of the JVM's compilers; the normal run only looks for a larger planted
 * leak.
 */
class PaddingTimingTest {
  @RegisterExtension static final SoftHsmExtension HSM = new SoftHsmExtension();

  private static final double BOUND_MICROS = 5;
  private static final double KEY_BOUND_MICROS = 25;
  private static final double SMOKE_MICROS = 100;
  private static final int ROUND = 1_000;
  private static final int MOST_PAIRS = 32_000;
  private static final int TEXTS = 32;
  private static final long SEED = 2026;
  private static final Mechanism PKCS1 = Mechanism.of(CKM_RSA_PKCS);
  private static final Mechanism CBC_PAD = Mechanism.of(CKM_AES_CBC_PAD, new byte[16]);

  private static final Random RANDOM = new Random(SEED);

  private static Core core;
  private static Client client;
  private static KeyPair outside;
  private static byte[] rsa;
  private static byte[] kek;

  @BeforeAll
  static void open() throws Exception {
    core = Core.on(HSM.token());
    client = new Client(core.operations(Policy.COMPATIBLE, true), Core.A);
    var generator = KeyPairGenerator.getInstance("RSA");
    generator.initialize(8 * K);
    outside = generator.generateKeyPair();
    rsa =
        client
            .importPrivate(Ckk.CKK_RSA, outside.getPrivate(), flags(CKA_DECRYPT, CKA_UNWRAP))
            .blob();
    kek = client.aes(32, flags(CKA_ENCRYPT, CKA_WRAP, CKA_UNWRAP)).blob();
  }

  @AfterAll
  static void close() {
    core.close();
  }

  /** What is done with an input. */
  private interface Use {
    void call(byte[] text);
  }

  /** Operations of their own begin a new hour of failures; renewed for both classes alike. */
  private static final class WithinBudget implements Use {
    private Client fresh = renewed();
    private int failures;

    @Override
    public void call(byte[] text) {
      if (++failures % UnwrapFailures.PER_HOUR == 0) {
        fresh = renewed();
      }
      fresh.unwrap(CBC_PAD, text, kek, Client.aesTemplate(32));
    }

    private static Client renewed() {
      return client.under(core.operations(Policy.COMPATIBLE, true));
    }
  }

  /**
   * Two classes of inputs with one answer.
   *
   * @param answer return value of both; CKR_OK where both succeed
   * @param bound the largest difference in microseconds that is none
   */
  record Row(
      String what,
      Use use,
      long answer,
      double bound,
      Supplier<byte[]> first,
      Supplier<byte[]> second) {
    @Override
    public String toString() {
      return what;
    }
  }

  static Stream<Row> rows() {
    return Stream.of(
        pkcs1("a first byte of 1", () -> with(padded(RANDOM.nextInt(200)), 0, 1)),
        pkcs1("block type 1", () -> with(padded(RANDOM.nextInt(200)), 1, 1)),
        pkcs1("no separator", () -> padded(-1)),
        pkcs1("a separator too early", () -> with(padded(RANDOM.nextInt(200)), 5, 0)),
        pkcs1Key("block type 1", () -> with(padded(32), 1, 1)),
        pkcs1Key("the key of another length", () -> padded(24)),
        oaepRow(Hash.SHA_1, true),
        oaepRow(Hash.SHA256, true),
        oaepRow(Hash.SHA256, false),
        cbcPad(
            "CBC_PAD unwrap, a wrong last byte and one before it",
            () -> ended(48, 0),
            () -> ended(48, 16, 3, 3)),
        cbcPad(
            "CBC_PAD unwrap, a wrong padding and a right one around no AES key",
            () -> ended(48, 17),
            () -> ended(48, 1)));
  }

  private static Row pkcs1(String wrong, Supplier<byte[]> block) {
    return new Row(
        "RSA_PKCS decrypt, right padding and " + wrong,
        text -> client.decrypt(PKCS1, rsa, text),
        Ckr.CKR_OK,
        BOUND_MICROS,
        () -> raised(padded(RANDOM.nextInt(K - 11))),
        () -> raised(block.get()));
  }

  private static Row pkcs1Key(String wrong, Supplier<byte[]> block) {
    return new Row(
        "RSA_PKCS unwrap, right padding and " + wrong,
        text -> client.unwrap(PKCS1, text, rsa, Client.aesTemplate(32)),
        Ckr.CKR_OK,
        KEY_BOUND_MICROS,
        () -> raised(padded(32)),
        () -> raised(block.get()));
  }

  /** Manger's question: whether the first byte was zero. */
  private static Row oaepRow(Hash hash, boolean decrypt) {
    var mechanism = oaep(hash, new byte[0]);
    return new Row(
        "OAEP %s %s, a first byte of 1 and none of the rest right"
            .formatted(hash, decrypt ? "decrypt" : "unwrap"),
        text -> {
          if (decrypt) {
            client.decrypt(mechanism, rsa, text);
          } else {
            client.unwrap(mechanism, text, rsa, Client.aesTemplate(32));
          }
        },
        decrypt ? Ckr.CKR_ENCRYPTED_DATA_INVALID : Ckr.CKR_WRAPPED_KEY_INVALID,
        BOUND_MICROS,
        () -> raised(masked(hash, 1, oaepBlock(hash, new byte[0], bytes(32)))),
        () ->
            raised(
                masked(hash, 0, zeroAfter(oaepBlock(hash, bytes(8), bytes(32)), hash.length()))));
  }

  private static Row cbcPad(String what, Supplier<byte[]> first, Supplier<byte[]> second) {
    var unpadded = Mechanism.of(CKM_AES_CBC, new byte[16]);
    return new Row(
        what,
        new WithinBudget(),
        Ckr.CKR_WRAPPED_KEY_INVALID,
        BOUND_MICROS,
        () -> client.encrypt(unpadded, kek, first.get()),
        () -> client.encrypt(unpadded, kek, second.get()));
  }

  private static byte[] raised(byte[] block) {
    return RsaPaddingTest.raised(outside, block);
  }

  /** 00 02, random padding without zeros, 00, a message of so many bytes; -1 for no separator. */
  private static byte[] padded(int messageLength) {
    var block = bytes(K);
    int separator = K - messageLength - 1;
    for (int i = 2; i < Math.min(separator, K); i++) {
      block[i] |= 1;
    }
    block[0] = 0;
    block[1] = 2;
    return messageLength < 0 ? block : with(block, separator, 0);
  }

  private static byte[] bytes(int length) {
    var bytes = new byte[length];
    RANDOM.nextBytes(bytes);
    return bytes;
  }

  private static byte[] ended(int length, int... end) {
    var text = bytes(length);
    for (int i = 0; i < end.length; i++) {
      text[length - end.length + i] = (byte) end[i];
    }
    return text;
  }

  private static Runnable of(Row row, Supplier<byte[]> texts, double waitMicros) {
    var drawn = IntStream.range(0, TEXTS).mapToObj(i -> texts.get()).toArray(byte[][]::new);
    for (var text : drawn) {
      assertThat(answer(row, text)).as(row.what()).isEqualTo(row.answer());
    }
    var order = new Random(SEED);
    return () -> {
      answer(row, drawn[order.nextInt(TEXTS)]);
      long end = System.nanoTime() + (long) (waitMicros * 1e3);
      while (waitMicros > 0 && System.nanoTime() < end) {
        Thread.onSpinWait();
      }
    };
  }

  private static long answer(Row row, byte[] text) {
    try {
      row.use().call(text);
      return Ckr.CKR_OK;
    } catch (Pkcs11Exception e) {
      return e.returnValue();
    }
  }

  private static long seed(Row row) {
    return SEED + row.what().hashCode();
  }

  @ParameterizedTest
  @MethodSource("rows")
  @Tag("figures")
  void inputsWithOneAnswerTakeOneTime(Row row) {
    var first = of(row, row.first(), 0);
    // So exact that a difference of the bound itself would be one.
    var clean = compare(row, first, of(row, row.second(), 0), TimingComparison.CRITICAL_T);
    var planted = compare(row, first, of(row, row.second(), 3 * row.bound()), 3);
    System.out.printf("%s: %s; %.0f us planted: %s%n", row, clean, 3 * row.bound(), planted);
    assertThat(planted.differs(row.bound())).as("planted: %s", planted).isTrue();
    assertThat(clean.differs(row.bound())).as("difference: %s", clean).isFalse();
  }

  /**
   * @param precision how many standard errors are to be within the bound
   */
  private static TimingComparison.Result compare(
      Row row, Runnable first, Runnable second, double precision) {
    return TimingComparison.compare(
        ROUND, MOST_PAIRS, row.bound() / precision, seed(row), first, second);
  }

  static Stream<Row> smokeRows() {
    return Stream.of(
        pkcs1("block type 1", () -> with(padded(RANDOM.nextInt(200)), 1, 1)),
        oaepRow(Hash.SHA256, true),
        cbcPad("CBC_PAD unwrap, two wrong paddings", () -> ended(48, 0), () -> ended(48, 17)));
  }

  @ParameterizedTest
  @MethodSource("smokeRows")
  void aPlantedLeakIsFound(Row row) {
    var planted =
        TimingComparison.compare(
            100,
            MOST_PAIRS,
            SMOKE_MICROS / 8,
            seed(row),
            of(row, row.first(), 0),
            of(row, row.second(), SMOKE_MICROS));
    assertThat(planted.differs(row.bound())).as("%s: %s", row, planted).isTrue();
    assertThat(planted.micros()).as("which of the two is slower").isPositive();
  }
}
