package dev.grep11.gateway.rpc;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class RefusalPaceTest {
  private static final Duration MILLISECOND = Duration.ofMillis(1);

  /** The clock counts from anywhere, and over the end of its range. */
  @ParameterizedTest
  @ValueSource(longs = {0, Long.MAX_VALUE - 100_000_000, -5})
  void aFewWaitAQuarterOfASecondAndAFloodAsLongAsItTakes(long begin) {
    var pace = new RefusalPace(begin);
    assertThat(delay(pace, begin)).isEqualTo(Duration.ofMillis(250));
    assertThat(delay(pace, begin)).isEqualTo(Duration.ofMillis(251));
    assertThat(delay(pace, begin + Duration.ofSeconds(1).toNanos()))
        .as("the next one, when those have left")
        .isEqualTo(Duration.ofMillis(250));
  }

  @ParameterizedTest
  @ValueSource(ints = {10_000, 40_000})
  void noneWaitsLongerThanTenSeconds(int flood) {
    var pace = new RefusalPace(0);
    for (int i = 0; i < flood; i++) {
      assertThat(delay(pace, 0)).isBetween(Duration.ofMillis(250), Duration.ofSeconds(10));
    }
    assertThat(delay(pace, 0)).isEqualTo(Duration.ofSeconds(10));
    assertThat(delay(pace, MILLISECOND.toNanos())).isEqualTo(Duration.ofSeconds(10));
    assertThat(delay(pace, Duration.ofSeconds(10).toNanos())).isEqualTo(Duration.ofMillis(250));
  }

  @Test
  void aFloodIsNotForOthersToWaitFor() {
    var pace = new RefusalPace(0);
    for (int i = 0; i < 3_000; i++) {
      delay(pace, 0);
    }
    assertThat(Duration.ofNanos(pace.delayNanos("somebody else", 0)))
        .isEqualTo(Duration.ofMillis(250));
  }

  private static Duration delay(RefusalPace pace, long now) {
    return Duration.ofNanos(pace.delayNanos("flooder", now));
  }
}
