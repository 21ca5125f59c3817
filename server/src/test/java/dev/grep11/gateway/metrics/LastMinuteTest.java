package dev.grep11.gateway.metrics;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import org.junit.jupiter.api.Test;

class LastMinuteTest {
  // A clock that counts from a negative number, as System.nanoTime() may.
  private long now = -Duration.ofSeconds(30).toNanos();
  private final LastMinute minute = new LastMinute(() -> now);

  private void pass(int seconds) {
    now += Duration.ofSeconds(seconds).toNanos();
  }

  private void took(int millis) {
    minute.add(Duration.ofMillis(millis).toNanos());
  }

  @Test
  void isEmptyAtFirst() {
    assertThat(minute.summary()).isEqualTo(new LastMinute.Summary(0, 0));
  }

  @Test
  void averagesWhatCameInTheLastSixtySeconds() {
    took(10);
    pass(20);
    took(20);
    pass(20);
    took(60);

    assertThat(minute.summary()).isEqualTo(new LastMinute.Summary(3, 30));
  }

  @Test
  void forgetsWhatIsOlder() {
    took(1_000);
    pass(30);
    took(10);
    pass(30);

    assertThat(minute.summary()).isEqualTo(new LastMinute.Summary(1, 10));
  }

  @Test
  void usesASecondAgainAfterAMinute() {
    took(1_000);
    pass(60);
    took(10);

    assertThat(minute.summary()).isEqualTo(new LastMinute.Summary(1, 10));
  }

  @Test
  void isEmptyAgainAfterAMinuteOfNothing() {
    took(5);
    pass(61);

    assertThat(minute.summary()).isEqualTo(new LastMinute.Summary(0, 0));
  }
}
