package dev.grep11.bench;

import com.google.common.util.concurrent.MoreExecutors;
import com.google.protobuf.ByteString;
import dev.grep11.client.Curve;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.Templates;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.CryptoGrpc.CryptoStub;
import dev.grep11.proto.SignSingleRequest;
import dev.grep11.proto.SignSingleResponse;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.concurrent.Phaser;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.LockSupport;

/**
 * An honest client: P-256 signatures with one key at a fixed rate, whether the earlier ones were
 * answered or not. A latency counts from when the call was due, so that a stall is felt by every
 * call it delays and not only by the one that hit it (coordinated omission).
 */
final class OpenLoop {
  private static final Duration LONGEST_TAIL = Duration.ofSeconds(60);

  private final CryptoStub stub;
  private final SignSingleRequest request;
  private final Failures failures;

  /** Makes the client's key. */
  OpenLoop(Grep11Client client, Failures failures) {
    stub =
        CryptoGrpc.newStub(client.stub().getChannel()).withExecutor(MoreExecutors.directExecutor());
    request =
        SignSingleRequest.newBuilder()
            .setMech(Workload.EC_SIGN.mechanism())
            .setPrivKey(
                client.generateKeyPair(Templates.ecPair(Curve.P256)).privateKey().toMessage())
            .setData(ByteString.copyFrom(Workload.EC_SIGN.input()))
            .build();
    this.failures = failures;
  }

  /**
   * Latencies of the answered calls; the others are among the failures.
   *
   * @param rate calls per second
   */
  Latencies run(int rate, Duration duration) {
    var latencies = new Latencies();
    var underWay = new Phaser(1);
    long interval = 1_000_000_000L / rate;
    long first = System.nanoTime();
    long calls = duration.toNanos() / interval;
    for (long i = 0; i < calls; i++) {
      long due = first + i * interval;
      // Parking is a hint, and may end early.
      for (long rest = due - System.nanoTime(); rest > 0; rest = due - System.nanoTime()) {
        LockSupport.parkNanos(rest);
      }
      underWay.register();
      stub.signSingle(request, new Answer(due, latencies, underWay));
    }
    try {
      int phase = underWay.arrive();
      underWay.awaitAdvanceInterruptibly(phase, LONGEST_TAIL.toSeconds(), TimeUnit.SECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new BenchException("interrupted", e);
    } catch (TimeoutException e) {
      throw new BenchException("an honest call did not end within " + LONGEST_TAIL, e);
    }
    return latencies;
  }

  private final class Answer implements StreamObserver<SignSingleResponse> {
    private final long due;
    private final Latencies latencies;
    private final Phaser underWay;

    Answer(long due, Latencies latencies, Phaser underWay) {
      this.due = due;
      this.latencies = latencies;
      this.underWay = underWay;
    }

    @Override
    public void onNext(SignSingleResponse answer) {}

    @Override
    public void onCompleted() {
      latencies.record(System.nanoTime() - due);
      underWay.arriveAndDeregister();
    }

    @Override
    public void onError(Throwable failure) {
      failures.add(Workload.EC_SIGN.label(), failure);
      underWay.arriveAndDeregister();
    }
  }
}
