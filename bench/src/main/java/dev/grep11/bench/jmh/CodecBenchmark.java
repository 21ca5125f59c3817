package dev.grep11.bench.jmh;

import com.google.protobuf.ByteString;
import dev.grep11.gateway.rpc.RouteDoor;
import dev.grep11.proto.EncryptSingleRequest;
import dev.grep11.proto.EncryptSingleResponse;
import dev.grep11.proto.SignSingleRequest;
import dev.grep11.proto.SignSingleResponse;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;

/** Requests from the transport's buffers, and answers to where the transport takes them. */
@State(Scope.Thread)
public class CodecBenchmark {
  private static final int PLAIN = EncryptSingleRequest.PLAIN_FIELD_NUMBER;
  private static final int CIPHERED = EncryptSingleResponse.CIPHERED_FIELD_NUMBER;

  private final OutputStream sink = new Sink();
  private final ByteBuffer signing = Requests.direct(Requests.signSingle());
  private final ByteBuffer encryption16k = Requests.direct(Requests.encryptSingle(16 << 10));
  private final ByteBuffer encryption1m = Requests.direct(Requests.encryptSingle(1 << 20));
  private final ByteBuffer result16k = ByteBuffer.allocateDirect(16 << 10);
  private final ByteBuffer result1m = ByteBuffer.allocateDirect(1 << 20);
  private final SignSingleResponse signature =
      SignSingleResponse.newBuilder().setSignature(ByteString.copyFrom(new byte[64])).build();

  @Benchmark
  public int readsSignSingle() {
    return RouteDoor.parse(
        SignSingleRequest.getDefaultInstance(),
        SignSingleRequest.DATA_FIELD_NUMBER,
        Requests.stream(signing));
  }

  @Benchmark
  public int readsEncryptSingle16k() {
    return RouteDoor.parse(
        EncryptSingleRequest.getDefaultInstance(), PLAIN, Requests.stream(encryption16k));
  }

  @Benchmark
  public int readsEncryptSingle1m() {
    return RouteDoor.parse(
        EncryptSingleRequest.getDefaultInstance(), PLAIN, Requests.stream(encryption1m));
  }

  @Benchmark
  public int writesSignSingle() {
    return RouteDoor.write(signature, sink);
  }

  @Benchmark
  public int writesEncryptSingle16k() {
    return RouteDoor.write(CIPHERED, result16k, sink);
  }

  @Benchmark
  public int writesEncryptSingle1m() {
    return RouteDoor.write(CIPHERED, result1m, sink);
  }
}
