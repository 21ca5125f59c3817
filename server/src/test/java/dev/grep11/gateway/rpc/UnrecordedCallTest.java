package dev.grep11.gateway.rpc;

import static dev.grep11.gateway.rpc.WireServer.GOOD;
import static dev.grep11.gateway.rpc.WireServer.detail;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import dev.grep11.gateway.audit.AuditUnavailableException;
import dev.grep11.gateway.operation.Workload;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.SignSingleRequest;
import dev.grep11.proto.SignSingleResponse;
import dev.grep11.proto.VerifySingleRequest;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptors;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Calls while their records cannot be kept: none begins that could be known not to be recorded, and
 * no result leaves without its record.
 */
class UnrecordedCallTest {
  private static final Duration PATIENCE = Duration.ofSeconds(20);
  private static final ByteString SIGNATURE = ByteString.copyFromUtf8("a signature");
  private static final SignSingleRequest SIGN = SignSingleRequest.getDefaultInstance();

  /** For this length of data the work waits until it is let go on. */
  private static final SignSingleRequest SLOW_SIGN =
      SignSingleRequest.newBuilder().setData(ByteString.copyFromUtf8("slow")).build();

  private final AtomicInteger looked = new AtomicInteger();
  private final AtomicInteger begun = new AtomicInteger();
  private final AtomicInteger done = new AtomicInteger();
  private final CountDownLatch release = new CountDownLatch(1);
  private WireServer server;

  /** What takes no record. */
  private static final class Failing implements CallAudit {
    private final boolean proceeds;
    private final List<CallRecord> offered = new CopyOnWriteArrayList<>();

    /**
     * @param proceeds whether the failure shows only when a record is to be taken
     */
    Failing(boolean proceeds) {
      this.proceeds = proceeds;
    }

    @Override
    public boolean mayProceed() {
      return proceeds;
    }

    @Override
    public void record(CallRecord call) {
      offered.add(call);
      throw new AuditUnavailableException("as planned");
    }

    private List<Status.Code> statuses() {
      return offered.stream().map(CallRecord::status).toList();
    }
  }

  @BeforeEach
  void start(@TempDir Path directory) throws Exception {
    server =
        WireServer.start(
            directory,
            Limits.DEFAULT,
            routes -> {
              routes.unary(
                  CryptoGrpc.getSignSingleMethod(),
                  _ -> {
                    looked.incrementAndGet();
                    return Workload.INFORMATION;
                  },
                  (_, request) -> {
                    begun.incrementAndGet();
                    if (!request.getData().isEmpty()) {
                      waitForRelease();
                    }
                    done.incrementAndGet();
                    return SignSingleResponse.newBuilder().setSignature(SIGNATURE).build();
                  });
              routes.unary(
                  CryptoGrpc.getVerifySingleMethod(),
                  _ -> Workload.INFORMATION,
                  (_, _) -> {
                    throw new Pkcs11Exception(Ckr.CKR_SIGNATURE_INVALID, "signature");
                  });
            });
  }

  private void waitForRelease() {
    try {
      assertThat(release.await(PATIENCE.toSeconds(), TimeUnit.SECONDS)).isTrue();
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  @AfterEach
  void stop() {
    release.countDown();
    server.close();
  }

  private static void assertUnrecorded(ThrowingCallable call) {
    var refusal = catchThrowableOfType(StatusRuntimeException.class, call);
    assertThat(refusal).as("a refusal").isNotNull();
    assertThat(refusal.getStatus().getCode()).isEqualTo(Status.Code.UNAVAILABLE);
    assertThat(detail(refusal).getCode()).isEqualTo(Ckr.CKR_DEVICE_ERROR);
    assertThat(detail(refusal).getRetry()).isTrue();
  }

  @Test
  void isRefusedBeforeAnyWorkIsDone() throws Exception {
    var client = server.client();
    var failing = new Failing(false);
    server.audit = failing;
    for (int i = 0; i < 3; i++) {
      assertUnrecorded(() -> client.signSingle(SIGN));
    }
    assertThat(looked).as("requests that were looked at").hasValue(0);
    assertThat(begun).as("signatures").hasValue(0);
    assertThat(failing.statuses())
        .as("records of refusals, where they can be kept after all")
        .containsOnly(Status.Code.UNAVAILABLE)
        .hasSize(3);

    server.audit = server.audited::add;
    assertThat(client.signSingle(SIGN).getSignature()).isEqualTo(SIGNATURE);
    assertThat(begun).hasValue(1);
    assertThat(server.audited).extracting(CallRecord::status).containsExactly(Status.Code.OK);
  }

  @Test
  void aResultWhoseRecordIsNotTakenDoesNotLeave() throws Exception {
    var failing = new Failing(true);
    server.audit = failing;
    var messages = new AtomicInteger();
    var ended = new CopyOnWriteArrayList<Status>();
    // The messages themselves: a stub would not show one that came before a refusal.
    call(server.channel(), messages, ended, SIGN);
    await().atMost(PATIENCE).until(() -> !ended.isEmpty());

    assertThat(done).as("signatures that were made").hasValue(1);
    assertThat(messages).as("answers that left").hasValue(0);
    assertThat(ended).extracting(Status::getCode).containsExactly(Status.Code.UNAVAILABLE);
    assertThat(failing.statuses()).containsExactly(Status.Code.OK);
    var client = server.client();
    assertUnrecorded(() -> client.signSingle(SIGN));
  }

  /** It releases nothing, and what was wrong is the more useful answer. */
  @Test
  void aRefusalWhoseRecordIsNotTakenSaysWhatWasWrong() throws Exception {
    var failing = new Failing(true);
    server.audit = failing;
    var client = server.client();
    var refusal =
        catchThrowableOfType(
            StatusRuntimeException.class,
            () -> client.verifySingle(VerifySingleRequest.getDefaultInstance()));
    assertThat(detail(refusal).getCode()).isEqualTo(Ckr.CKR_SIGNATURE_INVALID);
    var stranger = server.client("authorization", "Bearer a.b.c");
    refusal = catchThrowableOfType(StatusRuntimeException.class, () -> stranger.signSingle(SIGN));
    assertThat(refusal.getStatus().getCode()).isEqualTo(Status.Code.UNAUTHENTICATED);
    assertThat(failing.statuses())
        .containsExactly(Status.Code.UNKNOWN, Status.Code.UNAUTHENTICATED);
    assertThat(begun).hasValue(0);
  }

  /** Its client hears nothing anyway; but neither other calls nor the connection may suffer. */
  @Test
  void aCancelledCallWhoseRecordIsNotTakenEndsQuietly() throws Exception {
    var failing = new Failing(true);
    server.audit = failing;
    var channel = server.channel();
    var messages = new AtomicInteger();
    var ended = new CopyOnWriteArrayList<Status>();
    var call = call(channel, messages, ended, SLOW_SIGN);
    await().atMost(PATIENCE).until(() -> begun.get() == 1);
    call.cancel("as planned", null);
    await().atMost(PATIENCE).until(() -> failing.offered.size() == 1);
    release.countDown();
    await().atMost(PATIENCE).until(() -> done.get() == 1);

    server.audit = server.audited::add;
    var headers = WireServer.headers("authorization", "Bearer " + GOOD);
    assertThat(
            ClientCalls.blockingUnaryCall(
                    ClientInterceptors.intercept(channel, headers),
                    CryptoGrpc.getSignSingleMethod(),
                    CallOptions.DEFAULT.withDeadlineAfter(20, TimeUnit.SECONDS),
                    SIGN)
                .getSignature())
        .isEqualTo(SIGNATURE);
    assertThat(failing.statuses()).containsExactly(Status.Code.CANCELLED);
    assertThat(server.audited).extracting(CallRecord::status).containsExactly(Status.Code.OK);
    assertThat(messages).as("answers that left").hasValue(0);
  }

  /** Two threads do the work; what waits behind them is never begun, and recorded once each. */
  @Test
  void callsThatAreCancelledWhileTheyWaitAreRecordedOnceAndNeverBegun() throws Exception {
    var channel = server.channel();
    var messages = new AtomicInteger();
    var ended = new CopyOnWriteArrayList<Status>();
    var calls =
        IntStream.range(0, 5).mapToObj(_ -> call(channel, messages, ended, SLOW_SIGN)).toList();
    await().atMost(PATIENCE).until(() -> begun.get() == 2 && looked.get() == 5);
    calls.forEach(call -> call.cancel("as planned", null));
    await().atMost(PATIENCE).until(() -> server.audited.size() == 5);
    release.countDown();
    assertThat(server.client().signSingle(SIGN).getSignature()).isEqualTo(SIGNATURE);

    assertThat(begun).as("two that had begun, and the last").hasValue(3);
    assertThat(messages).as("answers that left").hasValue(0);
    assertThat(server.audited.subList(0, 5))
        .extracting(CallRecord::status)
        .containsOnly(Status.Code.CANCELLED);
    assertThat(server.audited).hasSize(6);
  }

  private static ClientCall<SignSingleRequest, SignSingleResponse> call(
      ManagedChannel channel,
      AtomicInteger messages,
      List<Status> ended,
      SignSingleRequest request) {
    var call =
        ClientInterceptors.intercept(channel, WireServer.headers("authorization", "Bearer " + GOOD))
            .newCall(CryptoGrpc.getSignSingleMethod(), CallOptions.DEFAULT);
    call.start(
        new ClientCall.Listener<>() {
          @Override
          public void onMessage(SignSingleResponse message) {
            messages.incrementAndGet();
          }

          @Override
          public void onClose(Status status, Metadata trailers) {
            ended.add(status);
          }
        },
        new Metadata());
    call.request(2);
    call.sendMessage(request);
    call.halfClose();
    return call;
  }
}
