package dev.grep11.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.gson.JsonParser;
import dev.grep11.bench.TokenPeer.Visibility;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class LineTest {

  @Test
  void givesTheKeysOfTheInterfaceInItsOrder() {
    var runs = new Runs();
    for (int count : new int[] {300, 100, 200}) {
      var latencies = new Latencies();
      latencies.record(1_000_000);
      runs.add(new Sample(count, 1_000_000_000, latencies, Meter.Usage.NONE));
    }

    var line = Bench.line(Workload.EC_SIGN, 64, "gateway", runs, 800, Visibility.PUBLIC);

    // 1 ms lies in a bucket of the histogram that ends at 1,000,447 ns.
    assertThat(line.toString())
        .isEqualTo(
            "op=ec-sign bytes=32 inflight=64 peer=gateway rate=200.0 inprocess=800.0 ratio=0.250"
                + " p50_us=1000.4 p99_us=1000.4 runs=3 rate_min=100.0 rate_max=300.0"
                + " visibility=public");
  }

  @Test
  void standUnderEachOtherInATable() {
    assertThat(
            Table.of(
                List.of("op", ">rate", "peer"),
                List.of(List.of("ec-sign", "900", "gateway"), List.of("gcm-1m", "17000", ""))))
        .containsExactly(
            "| op      |  rate | peer    |",
            "| ------- | ----: | ------- |",
            "| ec-sign |   900 | gateway |",
            "| gcm-1m  | 17000 |         |");
  }

  @Test
  void writesTheSameAsOneJsonObject() {
    var line = new Line().with("op", "gcm-1m").with("runs", 3).with("rate", 1234567.891, 1);

    var json = JsonParser.parseString(line.as(Line.Format.JSON)).getAsJsonObject();

    assertThat(json.keySet()).containsExactly("op", "runs", "rate");
    assertThat(json.get("op").getAsString()).isEqualTo("gcm-1m");
    assertThat(json.get("runs").getAsLong()).isEqualTo(3);
    assertThat(json.get("rate").getAsDouble()).isEqualTo(1234567.9);
  }

  @ParameterizedTest
  @CsvSource({
    "0.0004, 3, 0.000",
    "0.0005, 3, 0.001",
    "12345678.25, 1, 12345678.3",
    "1e9, 1, 1000000000.0",
    "-1.005, 1, -1.0",
  })
  void writesNumbersPlainlyWhateverTheLocale(double value, int decimals, String expected) {
    var usual = Locale.getDefault();
    Locale.setDefault(Locale.GERMANY);
    try {
      assertThat(new Line().with("rate", value, decimals)).hasToString("rate=" + expected);
    } finally {
      Locale.setDefault(usual);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"", " ", "two words", "a\tb", "a\n"})
  void refusesAValueThatWouldSplitTheLine(String value) {
    assertThatThrownBy(() -> new Line().with("op", value))
        .isInstanceOf(IllegalArgumentException.class);
  }

  @ParameterizedTest
  @ValueSource(doubles = {Double.NaN, Double.POSITIVE_INFINITY})
  void refusesWhatIsNoNumber(double value) {
    assertThatThrownBy(() -> new Line().with("ratio", value, 3))
        .isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void refusesAKeyTwice() {
    var line = new Line().with("op", "ec-sign");

    assertThatThrownBy(() -> line.with("op", "rsa-sign"))
        .isInstanceOf(IllegalArgumentException.class);
  }
}
