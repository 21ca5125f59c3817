package dev.grep11.bench;

import com.google.common.util.concurrent.MoreExecutors;
import com.google.protobuf.ByteString;
import dev.grep11.client.Curve;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.Templates;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.CryptoGrpc.CryptoStub;
import dev.grep11.proto.EncryptSingleRequest;
import dev.grep11.proto.SignSingleRequest;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BiConsumer;

/**
 * The gateway under test as our SDK drives it: the generated asynchronous stub over some
 * connections, one key per workload. Answers arrive on the connection's own thread, which sends the
 * next call.
 */
final class SdkPeer implements AutoCloseable {
  private final List<Grep11Client> clients = new ArrayList<>();
  private final List<CryptoStub> stubs = new ArrayList<>();
  private final Meter meter;
  private final Map<Workload, BiConsumer<CryptoStub, StreamObserver<Object>>> calls =
      new EnumMap<>(Workload.class);
  private final AtomicLong answered = new AtomicLong();

  /**
   * @param meter of the gateway's process
   */
  SdkPeer(Target target, int connections, Meter meter) {
    this.meter = meter;
    for (int i = 0; i < connections; i++) {
      var client = target.connect();
      clients.add(client);
      stubs.add(
          CryptoGrpc.newStub(client.stub().getChannel())
              .withExecutor(MoreExecutors.directExecutor()));
    }
  }

  /** Makes the workload's key in the gateway. */
  void prepare(Workload workload) {
    calls.computeIfAbsent(workload, this::call);
  }

  private BiConsumer<CryptoStub, StreamObserver<Object>> call(Workload workload) {
    var client = clients.getFirst();
    return switch (workload) {
      case EC_SIGN ->
          sign(workload, client.generateKeyPair(Templates.ecPair(Curve.P256)).privateKey());
      case RSA_SIGN -> sign(workload, client.generateKeyPair(Templates.rsaPair(2048)).privateKey());
      case GCM_16K, GCM_1M, CBC_1M -> {
        var request =
            EncryptSingleRequest.newBuilder()
                .setMech(workload.mechanism())
                .setKey(client.generateKey(Mechanisms.aesKeyGen(), Templates.aes(256)).toMessage())
                .setPlain(ByteString.copyFrom(workload.input()))
                .build();
        yield (stub, observer) -> stub.encryptSingle(request, narrow(observer));
      }
    };
  }

  private static BiConsumer<CryptoStub, StreamObserver<Object>> sign(
      Workload workload, dev.grep11.client.KeyBlob key) {
    var request =
        SignSingleRequest.newBuilder()
            .setMech(workload.mechanism())
            .setPrivKey(key.toMessage())
            .setData(ByteString.copyFrom(workload.input()))
            .build();
    return (stub, observer) -> stub.signSingle(request, narrow(observer));
  }

  /** An observer of anything observes this as well. */
  @SuppressWarnings("unchecked")
  private static <T> StreamObserver<T> narrow(StreamObserver<Object> observer) {
    return (StreamObserver<T>) observer;
  }

  /**
   * @param inFlight calls under way at any time
   * @throws BenchException when a call fails
   */
  Sample measure(Workload workload, int inFlight, Duration warmUp, Duration window) {
    prepare(workload);
    var call = calls.get(workload);
    if (call == null) {
      throw new IllegalStateException(workload.label());
    }
    var loop = new ClosedLoop(inFlight);
    for (int i = 0; i < inFlight; i++) {
      new Lane(loop, stubs.get(i % stubs.size()), call).next();
    }
    return loop.sample(warmUp, window, meter);
  }

  /** Calls answered so far, those of warm-ups included. */
  long answered() {
    return answered.get();
  }

  int connections() {
    return clients.size();
  }

  @Override
  public void close() {
    clients.forEach(Grep11Client::close);
  }

  /** One call at a time; gRPC serialises its callbacks. */
  private final class Lane implements StreamObserver<Object> {
    private final ClosedLoop loop;
    private final CryptoStub stub;
    private final BiConsumer<CryptoStub, StreamObserver<Object>> call;
    private long began;

    Lane(ClosedLoop loop, CryptoStub stub, BiConsumer<CryptoStub, StreamObserver<Object>> call) {
      this.loop = loop;
      this.stub = stub;
      this.call = call;
    }

    void next() {
      began = System.nanoTime();
      call.accept(stub, this);
    }

    @Override
    public void onNext(Object answer) {}

    @Override
    public void onCompleted() {
      answered.incrementAndGet();
      loop.done(System.nanoTime() - began);
      if (loop.running()) {
        next();
      } else {
        loop.left();
      }
    }

    @Override
    public void onError(Throwable failure) {
      loop.failed(failure);
    }
  }
}
