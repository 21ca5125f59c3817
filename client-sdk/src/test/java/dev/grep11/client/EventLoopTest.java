package dev.grep11.client;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.nio.channels.Pipe;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class EventLoopTest {
  @Test
  void outlivesWhatTheOwnerOfAChannelThrowsAndClosesThatChannel() throws Exception {
    var faults = new LinkedBlockingQueue<Throwable>();
    try (var loop = new EventLoop("loop-test", faults::add)) {
      for (Throwable fault :
          new Throwable[] {new IllegalStateException("x"), new AssertionError()}) {
        var pipe = Pipe.open();
        pipe.source().configureBlocking(false);
        var watched =
            loop.register(
                pipe.source(),
                () -> {
                  if (fault instanceof RuntimeException e) {
                    throw e;
                  }
                  throw (Error) fault;
                });
        loop.execute(() -> watched.listen(true, false));
        pipe.sink().write(ByteBuffer.wrap(new byte[1]));

        assertThat(faults.poll(10, TimeUnit.SECONDS)).isSameAs(fault);
        var lives = new CompletableFuture<Boolean>();
        loop.execute(() -> lives.complete(pipe.source().isOpen()));
        assertThat(lives).succeedsWithin(Duration.ofSeconds(10)).isEqualTo(false);
        pipe.sink().close();
      }
    }
  }

  @Test
  void knowsItsOwnThread() {
    try (var loop = new EventLoop("loop-test", fault -> {})) {
      var current = new CompletableFuture<Boolean>();
      loop.execute(() -> current.complete(EventLoop.isCurrent()));
      assertThat(current).succeedsWithin(Duration.ofSeconds(10)).isEqualTo(true);
      assertThat(EventLoop.isCurrent()).isFalse();
    }
  }
}
