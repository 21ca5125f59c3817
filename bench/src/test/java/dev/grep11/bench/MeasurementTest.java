package dev.grep11.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.grep11.bench.ProcessWatch.Reading;
import dev.grep11.client.Grep11Exception;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class MeasurementTest {
  private static final double THREE_DIGITS = 0.001;

  @Test
  void findsPercentilesToThreeDigits() {
    var latencies = new Latencies();
    for (long i = 1; i <= 10_000; i++) {
      latencies.record(i * 1000);
    }

    assertThat(latencies.microseconds(50)).isCloseTo(5000, within(5000 * THREE_DIGITS));
    assertThat(latencies.microseconds(99)).isCloseTo(9900, within(9900 * THREE_DIGITS));
    assertThat(latencies.count()).isEqualTo(10_000);
  }

  @Test
  void countsAnOutlierBeyondTheRangeInsteadOfFailing() {
    var latencies = new Latencies();
    latencies.record(Long.MAX_VALUE);
    latencies.record(-1);

    assertThat(latencies.count()).isEqualTo(2);
    assertThat(latencies.microseconds(100)).isCloseTo(60e6, within(60e6 * THREE_DIGITS));
  }

  @Test
  void addsTheLatenciesOfAllRuns() {
    var runs = new Runs();
    for (long nanos : new long[] {1_000, 2_000, 3_000}) {
      var latencies = new Latencies();
      latencies.record(nanos);
      runs.add(new Sample(1, 1, latencies, Meter.Usage.NONE));
    }

    assertThat(runs.latencies().count()).isEqualTo(3);
    assertThat(runs.latencies().microseconds(50)).isEqualTo(2);
  }

  @ParameterizedTest
  @CsvSource({"'5', 5", "'1 9', 5", "'7 1 3', 3", "'1 2 4 100', 3"})
  void takesTheMedianOfTheRates(String counts, double median) {
    var runs = new Runs();
    for (var count : counts.split(" ", -1)) {
      runs.add(new Sample(Long.parseLong(count), 1_000_000_000, new Latencies(), Meter.Usage.NONE));
    }

    assertThat(runs.rate()).isEqualTo(median);
  }

  @ParameterizedTest
  @CsvSource({"0, 0", "0.5, 0", "6, 0", "-2, 0", "0, 64", "3, 64"})
  void findsTheSlopeOfMemoryWhateverASingleStepDoes(double mibPerMinute, double step) {
    var readings = new ArrayList<Reading>();
    for (int second = 0; second < 60; second++) {
      double mib = 500 + mibPerMinute * second / 60 + (second == 30 ? step : 0);
      readings.add(new Reading(second * 1_000_000_000L, (long) (mib * (1 << 20))));
    }

    assertThat(ProcessWatch.slope(readings)).isCloseTo(mibPerMinute, within(0.01));
  }

  @Test
  void seesNoSlopeInAFewReadings() {
    assertThatThrownBy(() -> ProcessWatch.slope(List.of(new Reading(0, 1), new Reading(1, 1))))
        .isInstanceOf(BenchException.class);
  }

  @Test
  void readsItsOwnProcess() {
    try (var watch = new ProcessWatch(ProcessHandle.current().pid())) {
      assertThat(watch.resident()).isGreaterThan(1 << 20);
      assertThat(watch.openFiles()).isPositive();
      assertThat(watch.threads()).isPositive();
    }
  }

  @Test
  void saysThatThereIsNoSuchProcess() {
    assertThatThrownBy(() -> new ProcessWatch(0))
        .isInstanceOf(BenchException.class)
        .hasMessageContaining("process 0");
  }

  @Test
  void countsAsBusyNeitherIdleTimeNorWaitingNorGuestsTwice() {
    // user nice system idle iowait irq softirq steal guest guest_nice, in hundredths of a second
    assertThat(Meter.busy("cpu  1 20 300 4000 50000 600000 7000000 80000000 9 9"))
        .isEqualTo(87_600_321 * 10_000_000L);
  }

  @Test
  void drawsEveryStepOfTheMixInItsOrder() {
    var drawn = new LinkedHashSet<Step>();
    for (int i = 0; i < 1000; i++) {
      drawn.add(Step.drawn(EnumSet.allOf(Step.class), i / 1000.0));
    }

    assertThat(drawn).containsExactly(Step.values());
    assertThat(Step.drawn(EnumSet.of(Step.SIGN, Step.WRAP), 0.79)).isEqualTo(Step.SIGN);
    assertThat(Step.drawn(EnumSet.of(Step.SIGN, Step.WRAP), 0.81)).isEqualTo(Step.WRAP);
  }

  @Test
  void countsFailuresByKindAndKeepsTheFirst() {
    var failures = new Failures();
    failures.add("sign", Status.UNAVAILABLE.withDescription("gone").asRuntimeException());
    failures.add(
        "verify",
        Grep11Exception.of(Status.UNAVAILABLE.withDescription("gone again").asRuntimeException()));
    failures.add("wrap", new MixedClient.WrongAnswerException("another wrapped key"));
    var lines = new ArrayList<String>();
    failures.each((line, first) -> lines.add(line + " | " + first));

    assertThat(failures.count()).isEqualTo(3);
    assertThat(lines)
        .containsExactly(
            "failure=UNAVAILABLE count=2 | sign: UNAVAILABLE: gone",
            "failure=WrongAnswerException count=1 | wrap: another wrapped key");
  }

  @Test
  void namesTheVariablesThatAreMissingAndNeverTheKey() {
    assertThatThrownBy(
            () -> Target.of(Map.of("GREP11_ADDRESS", "localhost:9876", "GREP11_CA", "ca.pem")))
        .isInstanceOf(BenchException.class)
        .hasMessageContaining("GREP11_APIKEY, GREP11_IAMENDPOINT not set");

    var target =
        Target.of(
            Map.of(
                "GREP11_ADDRESS", "localhost:9876",
                "GREP11_APIKEY", "no-secret",
                "GREP11_IAMENDPOINT", "https://localhost:9878",
                "GREP11_CA", "/data/tls/ca.pem"));
    assertThat(target.toString()).doesNotContain("no-secret");
    assertThat(target.tokenDirectory()).hasToString("/data/token");
    assertThat(target.flooder(Map.of())).isEmpty();
    assertThat(List.of(target.instance())).containsExactly(java.util.Optional.empty());
  }
}
