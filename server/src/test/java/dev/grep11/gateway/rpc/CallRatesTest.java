package dev.grep11.gateway.rpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.grep11.gateway.operation.Requester;
import dev.grep11.gateway.pkcs11.OverloadedException;
import dev.grep11.proto.Grep11Error;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

/** How many calls a second are admitted, by a clock of the test. */
class CallRatesTest {
  private static final UUID INSTANCE = UUID.randomUUID();

  private final AtomicLong nanos = new AtomicLong();

  private static Requester caller(String name) {
    return new Requester(INSTANCE, name);
  }

  private static int admitted(CallRates rates, Requester by, int attempts) {
    int admitted = 0;
    for (int i = 0; i < attempts; i++) {
      try {
        rates.spend(by);
        admitted++;
      } catch (OverloadedException e) {
        // Counted by those that are left.
      }
    }
    return admitted;
  }

  @Test
  void aCallerHasARateOfHisOwnInEachInstance() {
    var rates = new CallRates(10, 0, nanos::get);

    assertThat(admitted(rates, caller("a"), 100)).isEqualTo(20);
    assertThat(admitted(rates, caller("b"), 100)).isEqualTo(20);
    assertThat(admitted(rates, new Requester(UUID.randomUUID(), "a"), 100)).isEqualTo(20);
    nanos.addAndGet(Duration.ofMillis(500).toNanos());
    assertThat(admitted(rates, caller("a"), 100)).isEqualTo(5);
  }

  @Test
  void allCallersOfAnInstanceShareItsRateAndWhatIsRefusedToOneIsLeftToTheOthers() {
    var rates = new CallRates(10, 15, nanos::get);

    assertThat(admitted(rates, caller("a"), 1000)).isEqualTo(20);
    assertThat(admitted(rates, caller("b"), 1000)).isEqualTo(10);
    assertThat(admitted(rates, new Requester(UUID.randomUUID(), "c"), 1000)).isEqualTo(20);
  }

  @Test
  void withoutALimitNobodyIsRefused() {
    var rates = new CallRates(0, 0, nanos::get);

    assertThatCode(() -> admitted(rates, caller("a"), 100_000)).doesNotThrowAnyException();
    assertThat(admitted(rates, caller("a"), 100_000)).isEqualTo(100_000);
  }

  @Test
  void theClientIsToldToTryAgain() throws Exception {
    var rates = new CallRates(1, 0, nanos::get);
    assertThat(admitted(rates, caller("a"), 2)).isEqualTo(2);
    var refusal = catchThrowableOfType(OverloadedException.class, () -> rates.spend(caller("a")));

    var failure = Failures.of(refusal, "id");

    assertThat(failure.status().getCode()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
    var status = StatusProto.fromStatusAndTrailers(failure.status(), failure.trailers());
    var error = status.getDetails(0).unpack(Grep11Error.class);
    assertThat(error.getCode()).isEqualTo(dev.grep11.gateway.pkcs11.Ckr.CKR_DEVICE_ERROR);
    assertThat(error.getRetry()).isTrue();
  }
}
