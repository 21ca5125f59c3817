package dev.grep11.gateway;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import org.junit.jupiter.api.Test;

class InlineWatchTest {
  private static final long START = Long.MAX_VALUE - 5;

  private final InlineWatch watch = new InlineWatch(true);
  private long now = START;

  @Test
  void networkAllowsNothing() {
    assertThat(new InlineWatch(false).allows(now)).isFalse();
  }

  @Test
  void aTokenThatAnswersAtOnceIsAskedOnTheEventLoop() {
    calls(100_000, Duration.ofNanos(60_000));

    assertThat(watch.allows(now)).isTrue();
  }

  @Test
  void oneCallThatHangsIsNotTheAverage() {
    calls(1000, Duration.ofNanos(60_000));
    calls(1, Duration.ofSeconds(20));

    assertThat(watch.allows(now)).isTrue();
  }

  @Test
  void callsThatTakeAsLongAsANetworkLeaveTheEventLoopAndAreTriedAgain() {
    calls(200, Duration.ofMillis(8));

    assertThat(watch.allows(now)).isFalse();
    now += Duration.ofSeconds(29).toNanos();
    assertThat(watch.allows(now)).isFalse();
    now += Duration.ofSeconds(2).toNanos();
    assertThat(watch.allows(now)).isTrue();
    calls(1, Duration.ofMillis(8));
    assertThat(watch.allows(now)).as("the average begins anew").isTrue();
  }

  @Test
  void aTokenThatHangsIsLeftAfterAFewCalls() {
    calls(6, Duration.ofSeconds(20));

    assertThat(watch.allows(now)).isFalse();
  }

  /** One after the other, while they are allowed. */
  private void calls(int count, Duration each) {
    for (int i = 0; i < count && watch.allows(now); i++) {
      var begin = now;
      now += each.toNanos();
      watch.took(begin, now);
    }
  }
}
