package dev.grep11.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.grpc.Status;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Streams against gateways that fail on purpose. */
class StreamsTest {
  private static final int PART = Streams.PART_BYTES;
  private static final SecretKeyBlob KEY = new SecretKeyBlob(new byte[] {1});

  @TempDir Path directory;
  private FakeGateway gateway;
  private FakeGateway replica;
  private Grep11Client client;

  @BeforeEach
  void start() throws Exception {
    var authority = new TestAuthority(directory, "gateway");
    gateway = new FakeGateway(authority.issue("server"), null);
    replica = new FakeGateway(authority.issue("replica"), null);
    client =
        Grep11Client.builder(gateway.address(), replica.address())
            .trustedCa(authority.ca())
            .token(() -> "t")
            .build();
  }

  @AfterEach
  void stop() {
    client.close();
    gateway.close();
    replica.close();
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, PART - 1, PART, PART + 1, 3 * PART + 5})
  void everyLengthIsTheSameInPartsAndAsAWhole(int length) throws Exception {
    var data = random(length);
    var file = Files.write(directory.resolve("data"), data);

    assertThat(client.streams().digest(Mechanisms.sha256(), in(data))).isEqualTo(sha256(data));

    var ciphered = new ByteArrayOutputStream();
    var copy = new ByteArrayOutputStream();
    assertThat(client.streams().encrypt(cbc(), KEY, in(data), ciphered)).isEqualTo(length);
    assertThat(client.streams().decrypt(cbc(), KEY, in(ciphered.toByteArray()), copy))
        .isEqualTo(length);
    assertThat(copy.toByteArray()).isEqualTo(data);

    var signature = client.streams().sign(Mechanisms.ecdsaSha256(), KEY, file);
    assertThat(client.streams().verify(Mechanisms.ecdsaSha256(), KEY, file, signature)).isTrue();
    Files.write(file, new byte[] {0}, java.nio.file.StandardOpenOption.APPEND);
    assertThat(client.streams().verify(Mechanisms.ecdsaSha256(), KEY, file, signature)).isFalse();
  }

  @Test
  void theExampleRuns() throws Exception {
    var plain = Files.write(directory.resolve("plain"), random(2 * PART + 7));

    assertThat(StreamsExample.encryptSignVerifyDecrypt(client, plain))
        .hasSameBinaryContentAs(plain);
  }

  @Test
  void partsAreAsLargeAsTheCallerWants() throws Exception {
    var data = random(25);

    assertThat(client.streams().inPartsOf(10).digest(Mechanisms.sha256(), in(data)))
        .isEqualTo(sha256(data));

    assertThat(gateway.calls()).hasSize(5);
  }

  @Test
  void tellsAfterEachPartHowMuchIsDone() throws Exception {
    var told = new ArrayList<Long>();

    client.streams().onProgress(told::add).digest(Mechanisms.sha256(), in(random(2 * PART + 3)));

    assertThat(told).containsExactly((long) PART, 2L * PART, 2L * PART + 3);
  }

  @ParameterizedTest
  @ValueSource(ints = {0, -1, (32 << 20) + 1})
  void partsOfNoSizeAreRefused(int bytes) {
    assertThatIllegalArgumentException().isThrownBy(() -> client.streams().inPartsOf(bytes));
  }

  @Test
  void aPartIsRepeatedFromTheLastStateWhileTheGatewayIsUnavailable() throws Exception {
    var data = random(3 * PART);
    var streams =
        client
            .streams()
            .onProgress(done -> gateway.failNext(Status.UNAVAILABLE.asRuntimeException()));

    assertThat(streams.digest(Mechanisms.sha256(), in(data))).isEqualTo(sha256(data));

    assertThat(gateway.calls())
        .extracting(FakeGateway.Call::method)
        .containsExactly(
            "DigestInit",
            "DigestUpdate",
            "DigestUpdate",
            "DigestUpdate",
            "DigestUpdate",
            "DigestUpdate",
            "DigestFinal",
            "DigestFinal");
  }

  @Test
  void anotherReplicaGoesOnWhenTheFirstIsLost() throws Exception {
    var data = random(4 * PART + 1);
    var streams =
        client
            .streams()
            .onProgress(done -> {
              if (done == 2 * PART) {
                gateway.close();
              }
            });

    assertThat(streams.digest(Mechanisms.sha256(), in(data))).isEqualTo(sha256(data));

    // The call that finds it stopping may still arrive there.
    assertThat(gateway.calls()).hasSizeBetween(3, 4);
    assertThat(replica.calls()).hasSizeGreaterThanOrEqualTo(4);
  }

  @Test
  void callsGoToTheReplicasInTurnWhereThatIsAskedFor() throws Exception {
    var authority = new TestAuthority(directory, "another");
    try (var one = new FakeGateway(authority.issue("one"), null);
        var two = new FakeGateway(authority.issue("two"), null);
        var inTurn =
            Grep11Client.builder(one.address(), two.address())
                .inTurn()
                .trustedCa(authority.ca())
                .token(() -> "t")
                .build()) {
      // A replica has its turn as soon as it is connected.
      for (int i = 0; i < 200 && two.calls().size() + one.calls().size() < 200; i++) {
        inTurn.generateRandom(1);
        if (!one.calls().isEmpty() && !two.calls().isEmpty()) {
          break;
        }
        Thread.sleep(10);
      }

      assertThat(one.calls()).isNotEmpty();
      assertThat(two.calls()).isNotEmpty();
    }
  }

  @Test
  void aHostThatHasNoAddressIsLeftOut() throws Exception {
    var authority = new TestAuthority(directory, "another");
    try (var one = new FakeGateway(authority.issue("one"), null);
        var behind =
            Grep11Client.builder("nowhere.invalid:9876", one.address())
                .trustedCa(authority.ca())
                .token(() -> "t")
                .build()) {
      assertThat(behind.generateRandom(3)).hasSize(3);
    }
  }

  @Test
  void aListWithAnAddressThatIsNoneIsRefused() {
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Grep11Client.builder("host:9876", "host"))
        .withMessageContaining("host:port: host");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Grep11Client.builder("host:9876,other:9876"));
  }

  @Test
  void holdsOnePartHoweverLongTheStream() throws Exception {
    var in = new Endless(64L << 20, gateway);
    var out = new Counting();

    assertThat(client.streams().encrypt(cbc(), KEY, in, out)).isEqualTo(64L << 20);

    assertThat(in.buffers).as("arrays that were read into").hasSize(1);
    assertThat(in.ahead).as("bytes read before the part before was taken").isZero();
    assertThat(out.largest).isLessThanOrEqualTo(PART);
    assertThat(in.buffers.iterator().next()).as("wiped at the end").containsOnly(0);
  }

  @Test
  void aRefusalAtTheEndIsThrownAfterWhatWasWritten() {
    var out = new ByteArrayOutputStream();
    var streams =
        client
            .streams()
            .onProgress(done -> {
              if (done == 2 * PART) {
                gateway.failNext(
                    FakeGateway.refusal(
                        Status.Code.UNKNOWN, Ckr.CKR_ENCRYPTED_DATA_INVALID, "padding", false));
              }
            });

    assertThatThrownBy(() -> streams.decrypt(cbc(), KEY, in(random(2 * PART)), out))
        .isInstanceOfSatisfying(
            Grep11Exception.class,
            refusal -> assertThat(refusal.returnValue()).isEqualTo(Ckr.CKR_ENCRYPTED_DATA_INVALID));
    assertThat(out.size()).isEqualTo(2 * PART);
  }

  @Test
  void gcmIsRefusedBeforeTheFirstCallAndTheOtherWayNamed() {
    assertThatIllegalArgumentException()
        .isThrownBy(() ->
            client
                .streams()
                .encrypt(
                    Mechanisms.aesGcm(), KEY, in(new byte[1]), OutputStream.nullOutputStream()))
        .withMessageContaining("Grep11Client.encrypt(Mechanism, KeyBlob, byte[])");
    assertThatIllegalArgumentException()
        .isThrownBy(() ->
            client
                .streams()
                .decrypt(
                    Mechanisms.aesGcm(), KEY, in(new byte[1]), OutputStream.nullOutputStream()))
        .withMessageContaining("Grep11Client.decrypt(Mechanism, KeyBlob, byte[])");
    assertThat(gateway.calls()).isEqualTo(List.of());
  }

  private static dev.grep11.proto.Mechanism cbc() {
    return Mechanisms.aesCbcPad(new byte[16]);
  }

  private static InputStream in(byte[] data) {
    return new ByteArrayInputStream(data);
  }

  private static byte[] random(int length) {
    var bytes = new byte[length];
    new Random(length).nextBytes(bytes);
    return bytes;
  }

  private static byte[] sha256(byte[] data) throws Exception {
    return MessageDigest.getInstance("SHA-256").digest(data);
  }

  /** So many bytes, which are nowhere; watches who reads them and when. */
  private static final class Endless extends InputStream {
    final Set<byte[]> buffers = Collections.newSetFromMap(new IdentityHashMap<>());
    private final long length;
    private final FakeGateway gateway;
    private long given;
    long ahead;

    Endless(long length, FakeGateway gateway) {
      this.length = length;
      this.gateway = gateway;
    }

    @Override
    public int read() {
      throw new UnsupportedOperationException("byte by byte");
    }

    @Override
    public int read(byte[] buffer, int offset, int most) {
      buffers.add(buffer);
      if (offset == 0) {
        ahead = Math.max(ahead, given - gateway.absorbed());
      }
      int now = (int) Math.min(most, length - given);
      Arrays.fill(buffer, offset, offset + now, (byte) 7);
      given += now;
      return now == 0 ? -1 : now;
    }
  }

  private static final class Counting extends OutputStream {
    int largest;

    @Override
    public void write(int one) throws IOException {
      throw new IOException("byte by byte");
    }

    @Override
    public void write(byte[] bytes, int offset, int length) {
      largest = Math.max(largest, length);
    }
  }
}
