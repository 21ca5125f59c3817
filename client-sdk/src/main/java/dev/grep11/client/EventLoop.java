package dev.grep11.client;

import io.grpc.ChannelCredentials;
import io.grpc.ManagedChannelBuilder;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.channel.IoRegistration;
import io.grpc.netty.shaded.io.netty.channel.ManualIoEventLoop;
import io.grpc.netty.shaded.io.netty.channel.nio.NioIoHandler;
import io.grpc.netty.shaded.io.netty.channel.nio.NioIoOps;
import io.grpc.netty.shaded.io.netty.channel.nio.NioSelectableChannelIoHandle;
import io.grpc.netty.shaded.io.netty.channel.socket.nio.NioSocketChannel;
import java.io.IOException;
import java.nio.channels.SelectableChannel;
import java.nio.channels.SelectionKey;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;

/**
 * One thread that does the input and output of connections to gateways ({@link
 * Grep11Client.Builder#eventLoop}) and of channels that its owner has beside them: what passes
 * something on from one to the other wakes no second thread for it.
 *
 * <p>What runs on it must never wait: neither for a lock that is held during a call, nor for a call
 * itself, whose answer it is that this thread reads. Close the clients first.
 */
public final class EventLoop implements AutoCloseable {
  /**
   * How long it looks for an awaited answer without sleeping. Being woken takes 30 to 50
   * microseconds where the processor sleeps as well, which is most of a fast answer's time.
   */
  private static final long LONGEST_SPIN = TimeUnit.MICROSECONDS.toNanos(150);

  /** With more answers awaited there is work enough, and with one processor no room. */
  private static final int MOST_SPUN_FOR = 2;

  private static final boolean MAY_SPIN = Runtime.getRuntime().availableProcessors() > 1;

  /** After a fault, so that one that stays fills neither a log nor a processor. */
  private static final long PAUSE = TimeUnit.MILLISECONDS.toNanos(100);

  private final ManualIoEventLoop loop;
  private final OwnThread thread;
  private final Consumer<Throwable> failed;
  private volatile boolean closed;

  /** Answers that are awaited; of the thread alone. */
  private int awaited;

  /** A channel of the owner's. */
  public interface Registration {
    /** Says what to be told of, and is told of nothing else; from the loop's thread. */
    void listen(boolean toRead, boolean toWrite);
  }

  /** Told apart from all others wherever something would wait. */
  private static final class OwnThread extends Thread {
    OwnThread(Runnable work, String name) {
      super(work, name);
    }
  }

  /**
   * Starts the thread, a daemon.
   *
   * @param name of the thread
   * @param failed told, on the thread, of what a channel's owner threw or the loop itself did; the
   *     thread goes on
   */
  public EventLoop(String name, Consumer<Throwable> failed) {
    this.failed = failed;
    // Its owner is set before it starts: nothing else may run the loop.
    loop = new ManualIoEventLoop(null, NioIoHandler.newFactory());
    thread = new OwnThread(this::run, name);
    thread.setDaemon(true);
    loop.setOwningThread(thread);
    thread.start();
  }

  /** A channel whose connections are this thread's. */
  ManagedChannelBuilder<?> channel(String target, ChannelCredentials credentials) {
    return NettyChannelBuilder.forTarget(target, credentials)
        .eventLoopGroup(loop)
        .channelType(NioSocketChannel.class);
  }

  private void run() {
    long idleSince = 0;
    while (!closed) {
      try {
        idleSince = turn(idleSince);
      } catch (RuntimeException | Error e) {
        // Its connections are all of its owner's: without the thread nobody would be answered.
        tell(e);
        LockSupport.parkNanos(PAUSE);
        idleSince = 0;
      }
    }
    end();
  }

  /** What there is to do now; otherwise looks or sleeps for more. Gives since when it looks. */
  private long turn(long since) {
    long idleSince = since;
    if (loop.runNow() > 0) {
      return 0;
    }
    if (MAY_SPIN && awaited > 0 && awaited <= MOST_SPUN_FOR) {
      long now = System.nanoTime();
      idleSince = idleSince == 0 ? now : idleSince;
      if (now - idleSince < LONGEST_SPIN) {
        Thread.onSpinWait();
        return idleSince;
      }
    }
    loop.run(0);
    return 0;
  }

  /** In a fault of the log's own, nothing is told. */
  private void tell(Throwable fault) {
    try {
      failed.accept(fault);
    } catch (RuntimeException | Error again) {
      fault.addSuppressed(again);
    }
  }

  private void end() {
    // Channels that are closed here.
    int did;
    do {
      did = loop.runNow();
    } while (did > 0);
    var unused = loop.shutdownGracefully(0, 1, TimeUnit.SECONDS);
    while (!loop.isTerminated()) {
      loop.runNow();
    }
  }

  /** Runs it on the thread, soon. */
  public void execute(Runnable task) {
    loop.execute(task);
  }

  /** An answer is on its way; from the loop's thread. */
  public void await() {
    awaited++;
  }

  /** It came, or never will; from the loop's thread. */
  public void awaitNoMore() {
    awaited--;
  }

  /** Whether this is the thread of any event loop, so that nothing may wait here. */
  public static boolean isCurrent() {
    return Thread.currentThread() instanceof OwnThread;
  }

  public boolean isThisThread() {
    return Thread.currentThread().equals(thread);
  }

  /**
   * Watches a channel that does not block; nothing is listened for yet.
   *
   * @param channel closed on the thread and nowhere else
   * @param ready called on the thread when it can be read or written; where it throws, the channel
   *     is closed
   */
  public Registration register(SelectableChannel channel, Runnable ready) throws IOException {
    var handle = new Watched(channel, ready, this::tell);
    IoRegistration registration;
    try {
      registration = loop.register(handle).get();
    } catch (ExecutionException e) {
      throw new IOException("a connection cannot be watched: " + e.getCause(), e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    }
    return (toRead, toWrite) -> {
      if (registration.isValid()) {
        var ops = toRead ? NioIoOps.READ : NioIoOps.NONE;
        registration.submit(toWrite ? ops.with(NioIoOps.WRITE) : ops);
      }
    };
  }

  private static final class Watched extends NioSelectableChannelIoHandle<SelectableChannel> {
    private final SelectableChannel channel;
    private final Runnable ready;
    private final Consumer<Throwable> failed;

    Watched(SelectableChannel channel, Runnable ready, Consumer<Throwable> failed) {
      super(channel);
      this.failed = failed;
      this.channel = channel;
      this.ready = ready;
    }

    @Override
    protected void handle(SelectableChannel of, SelectionKey key) {
      try {
        ready.run();
      } catch (RuntimeException | Error e) {
        failed.accept(e);
        try {
          close();
        } catch (IOException closing) {
          failed.accept(closing);
        }
      }
    }

    @Override
    public void close() throws IOException {
      channel.close();
    }
  }

  /** Ends the thread; what it still had to do is not done. */
  @Override
  public void close() {
    closed = true;
    loop.wakeup();
  }
}
