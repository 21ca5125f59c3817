package dev.grep11.bench;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.google.protobuf.ByteString;
import dev.grep11.client.Cka;
import dev.grep11.client.Ckm;
import dev.grep11.client.Curve;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.Template;
import dev.grep11.client.Templates;
import dev.grep11.proto.GenerateKeyRequest;
import dev.grep11.proto.SignSingleRequest;
import io.grpc.StatusRuntimeException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;

/**
 * A client that asks for more than its share, with many calls at once and no pause after a refusal.
 * It goes through the bare stub: the SDK's own calls would wait politely.
 */
final class Flooder {
  private static final int PREPARED_AT_ONCE = 4;
  private static final long PRIME_BITS = 2048;

  /** What is costly about its calls. */
  enum Kind {
    /**
     * Signatures, each with another valid P-256 key out of more than the gateway keeps loaded, so
     * that it unwraps one for each: ten times the price of the signature.
     */
    BLOBS,
    /** New domain parameters of 2048 bits, CKM_DH_PKCS_PARAMETER_GEN: seconds to minutes each. */
    DH
  }

  private final Consumer<Grep11Client> call;
  private final Grep11Client client;
  private final AtomicLong served = new AtomicLong();
  private final AtomicLong refused = new AtomicLong();
  private final Failures refusals;

  /**
   * Prepares the calls.
   *
   * @param pool different keys; used for blobs alone
   */
  Flooder(Grep11Client client, Kind kind, int pool, Failures refusals) {
    this.client = client;
    this.refusals = refusals;
    call =
        switch (kind) {
          case BLOBS -> blobs(client, pool);
          case DH -> {
            var request =
                GenerateKeyRequest.newBuilder()
                    .setMech(Mechanisms.of(Ckm.CKM_DH_PKCS_PARAMETER_GEN))
                    .putAllTemplate(Template.empty().with(Cka.CKA_PRIME_BITS, PRIME_BITS).toMap())
                    .build();
            yield flooding -> {
              var _ = flooding.stub().generateKey(request);
            };
          }
        };
  }

  private static Consumer<Grep11Client> blobs(Grep11Client client, int pool) {
    var requests = new ArrayList<SignSingleRequest>();
    try (var threads = Executors.newFixedThreadPool(PREPARED_AT_ONCE)) {
      List<Future<SignSingleRequest>> begun = new ArrayList<>();
      for (int i = 0; i < pool; i++) {
        begun.add(
            threads.submit(() ->
                SignSingleRequest.newBuilder()
                    .setMech(Workload.EC_SIGN.mechanism())
                    .setPrivKey(
                        client
                            .generateKeyPair(Templates.ecPair(Curve.P256))
                            .privateKey()
                            .toMessage())
                    .setData(ByteString.copyFrom(Workload.EC_SIGN.input()))
                    .build()));
      }
      for (var request : begun) {
        requests.add(request.get());
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new BenchException("interrupted", e);
    } catch (ExecutionException e) {
      throw new BenchException("no keys to flood with: " + Failures.describe(e), e);
    }
    var next = new AtomicInteger();
    return flooding -> {
      var _ = flooding.stub().signSingle(requests.get(Math.floorMod(next.getAndIncrement(), pool)));
    };
  }

  /**
   * The flooder's own process: {@code KIND POOL INFLIGHT}. It says {@code prepared}, floods from
   * each line {@code start} to the next one, then says how many calls were served and refused since
   * it began, and ends with its input.
   */
  public static void main(String... arguments) throws IOException {
    var target = Target.of(System.getenv());
    var refusals = new Failures();
    try (var client = target.flooder(System.getenv()).orElse(target).connect();
        var lines = new BufferedReader(new InputStreamReader(System.in, UTF_8))) {
      var flooder =
          new Flooder(client, Kind.valueOf(arguments[0]), Integer.parseInt(arguments[1]), refusals);
      int inFlight = Integer.parseInt(arguments[2]);
      System.out.println("prepared");
      while (lines.readLine() != null) {
        if (!flooder.floodUntilLine(inFlight, lines)) {
          break;
        }
        System.out.println(flooder.served.get() + " " + flooder.refused.get());
      }
    }
    refusals.each(
        (line, first) -> System.err.println("flood: refused: " + line + " first: " + first));
  }

  private boolean floodUntilLine(int inFlight, BufferedReader lines) throws IOException {
    var over = new CountDownLatch(1);
    var threads = Executors.newVirtualThreadPerTaskExecutor();
    try {
      for (int i = 0; i < inFlight; i++) {
        var _ = threads.submit(() -> repeat(over));
      }
      return lines.readLine() != null;
    } finally {
      over.countDown();
      // Parameters take minutes: whoever leaves does not wait for them.
      threads.shutdownNow();
      threads.close();
    }
  }

  private void repeat(CountDownLatch over) {
    while (over.getCount() > 0) {
      try {
        call.accept(client);
        served.incrementAndGet();
      } catch (StatusRuntimeException e) {
        if (over.getCount() > 0) {
          refused.incrementAndGet();
          refusals.add("flood", e);
        }
      }
    }
  }
}
