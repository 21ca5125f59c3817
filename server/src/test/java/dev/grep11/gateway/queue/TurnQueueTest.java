package dev.grep11.gateway.queue;

import static java.util.concurrent.TimeUnit.MILLISECONDS;
import static java.util.concurrent.TimeUnit.SECONDS;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.grep11.gateway.pkcs11.OverloadedException;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

@SuppressWarnings("FutureReturnValueIgnored") // What matters of most work is that it is queued.
class TurnQueueTest {
  private final TurnQueue queue = queue(new Bounds(1, 1, 3, 5));
  private final CountDownLatch gate = new CountDownLatch(1);
  private final List<String> done = new CopyOnWriteArrayList<>();
  private final Thread worker = Thread.ofPlatform().unstarted(queue::serve);

  @BeforeEach
  void occupyTheWorker() throws Exception {
    worker.start();
    var running = new CountDownLatch(1);
    queue.submit(
        "first",
        inSeconds(10),
        () -> {
          running.countDown();
          return gate.await(10, SECONDS);
        });
    assertThat(running.await(10, SECONDS)).isTrue();
  }

  @AfterEach
  void stop() throws Exception {
    gate.countDown();
    queue.close();
    worker.join(10_000);
    assertThat(worker.isAlive()).isFalse();
  }

  @Test
  void letsCallersTakeTurns() throws Exception {
    submit("flood", "f1");
    submit("flood", "f2");
    submit("flood", "f3");
    submit("honest", "h1");
    var last = submit("honest", "h2");

    gate.countDown();
    last.get(10, SECONDS);
    queue.close();
    worker.join(10_000);

    assertThat(done).containsExactly("f1", "h1", "f2", "h2", "f3");
  }

  @Test
  void refusesACallerBeyondItsBoundAndNobodyElse() {
    submit("flood", "f1");
    submit("flood", "f2");
    submit("flood", "f3");

    assertOverloaded(submit("flood", "f4"), "of this caller");
    assertThat(submit("honest", "h1")).isNotDone();
  }

  @Test
  void hasGivenThePlaceBackWhenItAnswers() throws Exception {
    var next = submit("busy", "1").thenCompose(one -> submit("busy", "4"));
    submit("busy", "2");
    submit("busy", "3");

    gate.countDown();

    next.get(10, SECONDS);
    assertThat(done).containsExactly("1", "2", "3", "4");
  }

  @Test
  void countsWhatIsRunningAgainstItsCaller() {
    submit("first", "2");
    submit("first", "3");

    assertOverloaded(submit("first", "4"), "of this caller");
  }

  @Test
  void refusesEverybodyWhenItIsFull() {
    for (int i = 0; i < 5; i++) {
      submit("caller " + i, "task");
    }

    assertOverloaded(submit("another", "task"), "full");
    assertThat(queue.queued()).isEqualTo(5);
  }

  @Test
  void doesNotRunWhatHasExpired() throws Exception {
    var expired = queue.submit("late", System.nanoTime(), () -> done.add("late"));
    var last = submit("late", "in time");

    gate.countDown();
    last.get(10, SECONDS);

    assertOverloaded(expired, "deadline");
    assertThat(done).containsExactly("in time");
  }

  @Test
  void refusesAtOnceWhatWouldWaitBeyondItsDeadlineAndLearnsWhatWorkTakes() throws Exception {
    gate.countDown();
    for (int i = 0; i < 5; i++) {
      queue.submit("slow", inSeconds(10), () -> sleep(100)).get(10, SECONDS);
    }
    // By now it knows of some 25 ms.
    var inHand = new CountDownLatch(1);
    var release = new CountDownLatch(1);
    queue.submit(
        "slow",
        inSeconds(10),
        () -> {
          inHand.countDown();
          return release.await(10, SECONDS);
        });
    assertThat(inHand.await(10, SECONDS)).isTrue();
    submit("slow", "1");
    submit("slow", "2");

    assertOverloaded(
        queue.submit("hasty", System.nanoTime() + 1_000_000, () -> done.add("hasty")),
        "would not begin before its deadline");
    var patient = submit("patient", "patient");
    assertThat(patient).isNotDone();
    release.countDown();
    patient.get(10, SECONDS);
    assertThat(done).doesNotContain("hasty");
  }

  @Test
  void leavesThreadsThatACallerMayNotHoldToTheOthers() throws Exception {
    var shared = queue(new Bounds(2, 1, 8, 8));
    var threads = List.of(new Thread(shared::serve), new Thread(shared::serve));
    threads.forEach(Thread::start);
    var held = shared.submit("flood", inSeconds(10), () -> gate.await(10, SECONDS));
    var behind = shared.submit("flood", inSeconds(10), () -> done.add("behind"));

    shared.submit("honest", inSeconds(10), () -> done.add("honest")).get(10, SECONDS);
    assertThat(behind).isNotDone();
    shared.close();
    gate.countDown();

    assertThat(held.get(10, SECONDS)).isTrue();
    behind.get(10, SECONDS);
    assertThat(done).containsExactly("honest", "behind");
    for (var thread : threads) {
      thread.join(10_000);
      assertThat(thread.isAlive()).isFalse();
    }
  }

  @Test
  void tellsHowLongWorkWaitedAndNotHowLongItTook() throws Exception {
    var waits = new LinkedBlockingQueue<Long>();
    queue.measureWaits(waits::add);
    long before = System.nanoTime();
    var held = queue.submit("a", inSeconds(10), () -> sleep(20));
    long queued = System.nanoTime();
    sleep(5);
    long released = System.nanoTime();
    gate.countDown();
    held.get(10, SECONDS);
    long answered = System.nanoTime();

    assertThat(waits)
        .singleElement()
        .satisfies(nanos ->
            assertThat(nanos)
                .isBetween(released - queued, answered - before - MILLISECONDS.toNanos(20)));
  }

  @Test
  void takesNothingMoreOnceItIsClosed() {
    queue.close();

    assertThatThrownBy(submit("late", "task")::get).hasCauseInstanceOf(IllegalStateException.class);
  }

  private static TurnQueue queue(Bounds bounds) {
    return new TurnQueue("test", bounds, () -> new IllegalStateException("closed"));
  }

  private static boolean sleep(long millis) throws InterruptedException {
    Thread.sleep(millis);
    return true;
  }

  @Test
  void survivesWorkThatThrows() throws Exception {
    var failing =
        queue.submit(
            "a",
            inSeconds(10),
            () -> {
              throw new StackOverflowError();
            });
    var next = submit("a", "next");
    gate.countDown();

    next.get(10, SECONDS);
    assertThatThrownBy(failing::get).hasCauseInstanceOf(StackOverflowError.class);
  }

  private CompletableFuture<Boolean> submit(String caller, String task) {
    return queue.submit(caller, inSeconds(10), () -> done.add(task));
  }

  private static long inSeconds(long seconds) {
    return System.nanoTime() + SECONDS.toNanos(seconds);
  }

  private static void assertOverloaded(CompletableFuture<?> future, String why) {
    assertThat(future).isCompletedExceptionally();
    assertThatThrownBy(future::get)
        .isInstanceOf(ExecutionException.class)
        .cause()
        .isInstanceOf(OverloadedException.class)
        .hasMessageContaining(why);
  }
}
