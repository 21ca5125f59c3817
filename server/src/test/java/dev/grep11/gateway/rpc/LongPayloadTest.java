package dev.grep11.gateway.rpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;

import com.google.protobuf.ByteString;
import com.google.protobuf.CodedOutputStream;
import dev.grep11.gateway.hsm.LentBuffer;
import dev.grep11.gateway.operation.CallMemory;
import dev.grep11.gateway.operation.Workload;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.EncryptSingleRequest;
import dev.grep11.proto.EncryptSingleResponse;
import dev.grep11.proto.KeyBlob;
import dev.grep11.proto.Mechanism;
import io.grpc.CallOptions;
import io.grpc.ClientInterceptors;
import io.grpc.HasByteBuffer;
import io.grpc.KnownLength;
import io.grpc.internal.CompositeReadableBuffer;
import io.grpc.internal.ReadableBuffers;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class LongPayloadTest {
  private static final int PLAIN = EncryptSingleRequest.PLAIN_FIELD_NUMBER;

  /** What a transport shows: direct buffers, each forgotten when it was passed. */
  private static final class Shown extends InputStream implements KnownLength, HasByteBuffer {
    private final List<ByteBuffer> pieces = new ArrayList<>();

    Shown(byte[] message, int length) {
      for (int at = 0; at < message.length; at += length) {
        int n = Math.min(length, message.length - at);
        pieces.add(ByteBuffer.allocateDirect(n).put(message, at, n).flip());
      }
    }

    @Override
    public boolean byteBufferSupported() {
      return true;
    }

    @Override
    public @Nullable ByteBuffer getByteBuffer() {
      return pieces.isEmpty() ? null : pieces.getFirst().asReadOnlyBuffer();
    }

    @Override
    public long skip(long n) {
      var first = pieces.getFirst();
      int skipped = (int) Math.min(n, first.remaining());
      first.position(first.position() + skipped);
      if (!first.hasRemaining()) {
        pieces.removeFirst();
      }
      return skipped;
    }

    @Override
    public int available() {
      return pieces.stream().mapToInt(ByteBuffer::remaining).sum();
    }

    @Override
    public int read() {
      throw new UnsupportedOperationException("its buffers are shown");
    }

    @Override
    public int read(byte[] into, int from, int most) {
      throw new UnsupportedOperationException("its buffers are shown");
    }
  }

  /** A transport that knows the length and shows no buffers. */
  private static final class Unshown extends ByteArrayInputStream implements KnownLength {
    Unshown(byte[] message) {
      super(message);
    }
  }

  private static byte[] random(int length) {
    var bytes = new byte[length];
    new Random(length).nextBytes(bytes);
    return bytes;
  }

  private static Parsed<EncryptSingleRequest> read(InputStream stream, CallMemory memory)
      throws IOException {
    var prototype = EncryptSingleRequest.getDefaultInstance();
    return LongPayload.read(
        prototype, prototype.getDescriptorForType().findFieldByNumber(PLAIN), stream, memory);
  }

  private interface Encoding {
    void to(CodedOutputStream out) throws IOException;
  }

  private static byte[] encoded(Encoding encoding) throws IOException {
    var bytes = new ByteArrayOutputStream();
    var out = CodedOutputStream.newInstance(bytes);
    encoding.to(out);
    out.flush();
    return bytes.toByteArray();
  }

  static Stream<byte[]> encodings() throws IOException {
    var whole =
        EncryptSingleRequest.newBuilder()
            .setMech(Mechanism.newBuilder().setMechanism(0x1087))
            .setKeyBytes(ByteString.copyFrom(random(600)))
            .setKey(KeyBlob.newBuilder().addKeyBlobs(ByteString.copyFrom(random(600))));
    return Stream.of(
        whole.setPlain(ByteString.copyFrom(random(1 << 20))).build().toByteArray(),
        whole.setPlain(ByteString.copyFrom(random(CallMemory.WORTHWHILE))).build().toByteArray(),
        whole
            .setKeyBytes(ByteString.copyFrom(random(9000)))
            .setPlain(ByteString.copyFrom(random(16 << 10)))
            .build()
            .toByteArray(),
        encoded(out -> {
          out.writeByteArray(PLAIN, random(5000));
          out.writeByteArray(PLAIN, random(7000));
        }),
        encoded(out -> {
          out.writeByteArray(PLAIN, random(5000));
          out.writeByteArray(PLAIN, random(10));
        }),
        encoded(out -> {
          out.writeByteArray(PLAIN, random(5000));
          out.writeByteArray(PLAIN, new byte[0]);
        }),
        encoded(out -> {
          out.writeByteArray(PLAIN, random(10));
          out.writeByteArray(PLAIN, random(5000));
        }),
        encoded(out -> {
          out.writeByteArray(PLAIN, random(5000));
          out.writeInt32(PLAIN, 3);
          out.writeByteArray(99, random(6000));
          out.writeFixed32(98, 1);
          out.writeFixed64(97, 2);
        }));
  }

  @ParameterizedTest
  @MethodSource("encodings")
  void readsWhatTheGeneratedParserReads(byte[] encoding) throws IOException {
    var expected = EncryptSingleRequest.parseFrom(encoding);
    var streams =
        List.of(
            new Shown(encoding, 16 << 10),
            new Shown(encoding, 7),
            new Shown(encoding, encoding.length),
            new Unshown(encoding),
            new ByteArrayInputStream(encoding));
    for (var stream : streams) {
      try (var memory = new CallMemory()) {
        var read = read(stream, memory);

        assertThat(ByteString.copyFrom(read.payload().duplicate())).isEqualTo(expected.getPlain());
        assertThat(read.message())
            .isNotNull()
            .extracting(message -> message.toBuilder().setPlain(expected.getPlain()).build())
            .isEqualTo(expected);
      }
    }
    assertThat(LentBuffer.lent()).isZero();
  }

  /** Empty DATA frames of a client come as empty buffers; these streams are grpc's own. */
  @ParameterizedTest
  @MethodSource("encodings")
  void stepsOverEmptyBuffersOfTheTransport(byte[] encoding) throws IOException {
    var expected = EncryptSingleRequest.parseFrom(encoding);
    try (var memory = new CallMemory()) {
      var composite = new CompositeReadableBuffer();
      var empty = ByteBuffer.allocateDirect(0);
      int half = encoding.length / 2;
      for (var part :
          List.of(
              empty,
              empty,
              ByteBuffer.wrap(encoding, 0, half).slice(),
              empty,
              empty,
              empty,
              ByteBuffer.wrap(encoding, half, encoding.length - half).slice(),
              empty)) {
        composite.addBuffer(ReadableBuffers.wrap(part));
      }
      var read =
          assertTimeoutPreemptively(
              Duration.ofSeconds(10),
              () -> read(ReadableBuffers.openStream(composite, true), memory));
      assertThat(ByteString.copyFrom(read.payload().duplicate())).isEqualTo(expected.getPlain());
    }
    assertThat(LentBuffer.lent()).isZero();
  }

  @Test
  void refusesWhatIsLongerBesideItsPayloadThanAnyCallNeeds() throws IOException {
    var encoding =
        EncryptSingleRequest.newBuilder()
            .setKeyBytes(ByteString.copyFrom(new byte[(4 << 20) + 1]))
            .build()
            .toByteArray();
    try (var memory = new CallMemory()) {
      assertThatThrownBy(() -> read(new Shown(encoding, 16 << 10), memory))
          .isInstanceOf(IOException.class);
    }
  }

  @Test
  void keepsALongPayloadOutsideTheHeap() throws IOException {
    var encoding =
        EncryptSingleRequest.newBuilder()
            .setPlain(ByteString.copyFrom(random(1 << 20)))
            .build()
            .toByteArray();
    try (var memory = new CallMemory()) {
      var read = read(new Shown(encoding, 16384), memory);

      assertThat(read.payload().isDirect()).isTrue();
      assertThat(LentBuffer.lent()).isEqualTo(1 << 20);
    }
    assertThat(LentBuffer.lent()).isZero();
  }

  @Test
  void refusesEveryTruncation() throws IOException {
    var encoding =
        EncryptSingleRequest.newBuilder()
            .setMech(Mechanism.newBuilder().setMechanism(0x1087))
            .setPlain(ByteString.copyFrom(random(5000)))
            .build()
            .toByteArray();
    for (int length = encoding.length - 1; length > 7; length -= 111) {
      var cut = java.util.Arrays.copyOf(encoding, length);
      try (var memory = new CallMemory()) {
        assertThatThrownBy(() -> read(new Shown(cut, 1000), memory))
            .isInstanceOf(IOException.class);
      }
    }
    assertThat(LentBuffer.lent()).isZero();
  }

  @Test
  void manyValuesOfALongFieldHoldTheMemoryOfOne() throws IOException {
    var encoding =
        encoded(out -> {
          for (int i = 0; i < 500; i++) {
            out.writeByteArray(PLAIN, random(CallMemory.WORTHWHILE + i));
          }
        });
    try (var memory = new CallMemory()) {
      var read = read(new Shown(encoding, 16384), memory);

      assertThat(LentBuffer.lent()).isEqualTo(read.payload().remaining());
    }
  }

  @Test
  void everyCallGivesItsMemoryBackHoweverItEnds(@TempDir Path directory) throws Exception {
    try (var server =
        WireServer.start(
            directory,
            Limits.DEFAULT,
            routes ->
                routes.transforming(
                    CryptoGrpc.getEncryptSingleMethod(),
                    PLAIN,
                    EncryptSingleResponse.CIPHERED_FIELD_NUMBER,
                    (_, _) -> Workload.INFORMATION,
                    (_, request, plain, memory) -> {
                      if (request.getKeyBytes().size() == 1) {
                        throw new IllegalStateException("as asked for");
                      }
                      return memory.take(plain.remaining()).put(plain).flip();
                    }))) {
      var channel =
          ClientInterceptors.intercept(
              server.channel(), WireServer.headers("authorization", "Bearer " + WireServer.GOOD));
      var random = new Random(6);
      var room = new Semaphore(16);
      var right = new AtomicInteger();
      int calls = 600;
      for (int i = 0; i < calls; i++) {
        room.acquire();
        var payload = ByteString.copyFrom(random(i % 9 == 0 ? 1 << 20 : 20_000 + i));
        var request =
            EncryptSingleRequest.newBuilder()
                .setKeyBytes(ByteString.copyFrom(new byte[i % 13 == 0 ? 1 : 2]))
                .setPlain(payload)
                .build();
        var options =
            i % 7 == 0
                ? CallOptions.DEFAULT.withDeadlineAfter(random.nextInt(4000), TimeUnit.MICROSECONDS)
                : CallOptions.DEFAULT;
        var call = channel.newCall(CryptoGrpc.getEncryptSingleMethod(), options);
        ClientCalls.asyncUnaryCall(
            call,
            request,
            new StreamObserver<EncryptSingleResponse>() {
              @Override
              public void onNext(EncryptSingleResponse answer) {
                if (answer.getCiphered().equals(payload)) {
                  right.incrementAndGet();
                }
              }

              @Override
              public void onError(Throwable failure) {
                room.release();
              }

              @Override
              public void onCompleted() {
                room.release();
              }
            });
        if (i % 5 == 0) {
          call.cancel("as planned", null);
        }
      }
      assertThat(room.tryAcquire(16, 30, TimeUnit.SECONDS)).isTrue();

      assertThat(right).hasValueGreaterThan(calls / 2);
      await().untilAsserted(() -> assertThat(LentBuffer.lent()).isZero());
    }
  }
}
