package dev.grep11.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.List;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

class SteadyTest {
  @Test
  void readsTheCodeOfAProcessOutOfItsSummary() {
    assertThat(
            CompiledCode.committed(
                "-                      Code (reserved=264333KB, committed=46377KB)\n"
                    + "       (malloc=15444KB #59565)"))
        .isEqualTo(46_377L * 1024);
    assertThatThrownBy(() -> CompiledCode.committed("Native memory tracking is not enabled\n"))
        .isInstanceOf(BenchException.class)
        .hasMessageContaining("NativeMemoryTracking=summary")
        .hasMessageEndingWith("is not enabled");
  }

  private static final long SECOND = 1_000_000_000L;
  private static final double MIB = 1 << 20;

  /** Ten minutes of a process that grows so, with noise of 5 MiB around it. */
  private static List<ProcessWatch.Reading> growingBy(double mebibytesAMinute) {
    var random = new Random(1);
    return LongStream.range(0, 600)
        .mapToObj(second -> {
          double mebibytes = 400 + mebibytesAMinute * second / 60 + 5 * random.nextGaussian();
          return new ProcessWatch.Reading(second * SECOND, Math.round(mebibytes * MIB));
        })
        .toList();
  }

  @Test
  void aTrendIsFoundWithinItsError() {
    var trend = Trend.of(growingBy(3));

    assertThat(trend.slope()).isCloseTo(3, within(3 * trend.error()));
    assertThat(trend.error()).isBetween(0.01, 0.2);
  }

  @Test
  void whatGrowsIsTold() {
    assertThat(Trend.of(growingBy(3)).exceeds(1)).isTrue();
  }

  @Test
  void whatDoesNotGrowIsNotTold() {
    assertThat(Trend.of(growingBy(0)).exceeds(1)).isFalse();
  }

  @Test
  void fewReadingsPassNoBound() {
    var few = growingBy(0).subList(0, 59);

    assertThatThrownBy(() -> Trend.of(few)).hasMessageContaining("too short a time");
  }

  @Test
  void anEventEndsWithItsLastCall() throws Exception {
    var event = new SteadyEvent("kill");
    assertThat(event.begin()).isTrue();
    assertThat(event.begin()).isTrue();
    event.answered(1_000_000);
    var ended = new CountDownLatch(1);
    var ending =
        Thread.ofVirtual()
            .start(() -> {
              try {
                event.end();
                ended.countDown();
              } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
              }
            });

    while (event.begin()) {
      event.answered(0);
    }
    assertThat(ended.getCount()).as("a call is under way").isOne();
    event.failed("SIGN", 2_000_000, new IllegalStateException("gone"));
    ending.join();

    assertThat(event.describe().text("failed")).isEqualTo("1");
    assertThat(event.describe().text("longest_ms")).isEqualTo("2.0");
  }
}
