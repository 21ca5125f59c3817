package dev.grep11.bench;

import io.netty.bootstrap.Bootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.epoll.EpollSocketChannel;
import io.netty.handler.codec.http2.DefaultHttp2Headers;
import io.netty.handler.codec.http2.Http2Headers;
import io.netty.handler.ssl.ApplicationProtocolConfig;
import io.netty.handler.ssl.ApplicationProtocolConfig.Protocol;
import io.netty.handler.ssl.ApplicationProtocolConfig.SelectedListenerFailureBehavior;
import io.netty.handler.ssl.ApplicationProtocolConfig.SelectorFailureBehavior;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import io.netty.util.concurrent.Promise;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import javax.net.ssl.SSLException;

/**
 * The lean load generator: real connections with TLS, client certificate and token, and prepared
 * calls over them, all on one thread, so that what it takes from the machine it shares with the
 * gateway is little and is known. Every answer's status is looked at, one in a thousand is kept and
 * judged after the window.
 */
final class LeanClient implements AutoCloseable {
  private static final int CONNECT_SECONDS = 20;
  private static final int SAMPLED = 1000;
  private static final int MOST_SAMPLES = 16;

  private final EventLoopGroup group =
      new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());
  private final List<LeanConnection> connections = new ArrayList<>();
  private final ConcurrentLinkedQueue<byte[]> samples = new ConcurrentLinkedQueue<>();
  private final AtomicLong answered = new AtomicLong();
  private long verified;

  /**
   * @param connections opened one after the other
   * @throws BenchException when the gateway does not take one
   */
  LeanClient(Target target, String token, int connections) {
    try {
      var address = address(target.address());
      var tls = tls(target);
      var headers = headers(target, token);
      for (int i = 0; i < connections; i++) {
        this.connections.add(connect(address, tls, headers));
      }
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  private static InetSocketAddress address(String address) {
    int colon = address.lastIndexOf(':');
    return new InetSocketAddress(
        address.substring(0, colon), Integer.parseInt(address.substring(colon + 1)));
  }

  private static SslContext tls(Target target) {
    try {
      var builder =
          SslContextBuilder.forClient()
              .sslProvider(SslProvider.OPENSSL)
              .trustManager(target.ca().toFile())
              .applicationProtocolConfig(
                  new ApplicationProtocolConfig(
                      Protocol.ALPN,
                      SelectorFailureBehavior.NO_ADVERTISE,
                      SelectedListenerFailureBehavior.ACCEPT,
                      "h2"));
      target
          .client()
          .ifPresent(own -> builder.keyManager(own.certificate().toFile(), own.key().toFile()));
      return builder.build();
    } catch (SSLException e) {
      throw new BenchException("no TLS for the load generator: " + e.getMessage(), e);
    }
  }

  private static Http2Headers headers(Target target, String token) {
    var headers =
        new DefaultHttp2Headers(false)
            .method("POST")
            .scheme("https")
            .authority(target.address())
            .add("te", "trailers")
            .add("content-type", "application/grpc")
            .add("user-agent", "grep11-bench")
            .add("grpc-accept-encoding", "identity")
            .add("grpc-timeout", "60S")
            .add("authorization", "Bearer " + token);
    target
        .instance()
        .ifPresent(instance -> headers.add(Target.INSTANCE_HEADER, instance.toString()));
    return headers;
  }

  private LeanConnection connect(InetSocketAddress address, SslContext tls, Http2Headers headers) {
    Promise<LeanConnection> ready = group.next().newPromise();
    var opened =
        new Bootstrap()
            .group(group)
            .channel(EpollSocketChannel.class)
            .option(ChannelOption.TCP_NODELAY, true)
            .handler(
                new ChannelInitializer<Channel>() {
                  @Override
                  protected void initChannel(Channel channel) {
                    channel
                        .pipeline()
                        .addLast(
                            tls.newHandler(
                                channel.alloc(), address.getHostString(), address.getPort()))
                        .addLast(new Handshake(headers, ready));
                  }
                })
            .connect(address);
    opened.addListener(done -> {
      if (!done.isSuccess()) {
        ready.tryFailure(done.cause());
      }
    });
    if (!ready.awaitUninterruptibly(CONNECT_SECONDS, TimeUnit.SECONDS)) {
      throw new BenchException("no connection within " + CONNECT_SECONDS + " s");
    }
    if (!ready.isSuccess()) {
      throw new BenchException("no connection: " + ready.cause().getMessage(), ready.cause());
    }
    return ready.getNow();
  }

  /**
   * A closed loop of calls, lane after lane on the connections in turn.
   *
   * @param calls what the lanes send, each lane the next one in turn
   * @throws BenchException when a call fails, or a sampled answer is wrong
   */
  Sample measure(
      List<PreparedCall> calls, int inFlight, Duration warmUp, Duration window, Meter meter) {
    var loop = new ClosedLoop(inFlight);
    var lanes = new ArrayList<Lane>();
    for (int i = 0; i < inFlight; i++) {
      var lane =
          new Lane(
              loop, connections.get(i % connections.size()), calls, i % calls.size(), inFlight);
      lanes.add(lane);
      lane.connection.loop().execute(lane::next);
    }
    var sample = loop.sample(warmUp, window, meter);
    answered.addAndGet(lanes.stream().mapToLong(lane -> lane.answered).sum());
    for (var message = samples.poll(); message != null; message = samples.poll()) {
      // Calls that differ, differ in their keys only, and are not sampled.
      calls.getFirst().judgeAnswer(message);
      verified++;
    }
    return sample;
  }

  /**
   * What became of the calls of an open loop.
   *
   * @param due calls that were to be sent
   * @param sent those for which the connections had room
   * @param refused with RESOURCE_EXHAUSTED
   * @param failed otherwise
   * @param accepted those answered within the time
   */
  record Flooded(long due, long sent, long refused, long failed, Sample accepted) {}

  /**
   * Sends calls at a rate, whatever becomes of them, as long as a connection has room for one.
   *
   * @param rate calls a second
   * @param perConnection most calls under way on each connection
   */
  Flooded flood(PreparedCall call, int rate, int perConnection, Duration duration, Meter meter) {
    var flood = new Flood(call, rate, perConnection);
    var before = meter.read();
    long began = System.nanoTime();
    connections.getFirst().loop().execute(flood::tick);
    try {
      Thread.sleep(duration);
      flood.over = true;
      long nanos = System.nanoTime() - began;
      var usage = meter.read().since(before);
      // What is under way still ends, and is not to meet what is measured next.
      flood.settled.await(CONNECT_SECONDS, TimeUnit.SECONDS);
      return new Flooded(
          flood.due,
          flood.sent,
          flood.refused,
          flood.failed,
          new Sample(flood.latencies.count(), nanos, flood.latencies, usage));
    } catch (InterruptedException e) {
      flood.over = true;
      Thread.currentThread().interrupt();
      throw new BenchException("interrupted", e);
    }
  }

  /** On the one event loop of all connections. */
  private final class Flood {
    private static final long TICK_NANOS = 1_000_000;
    private static final int RESOURCE_EXHAUSTED = 8;

    private final PreparedCall call;
    private final int rate;
    private final Latencies latencies = new Latencies();
    private final CountDownLatch settled = new CountDownLatch(1);
    private final Deque<Slot> free = new ArrayDeque<>();
    private final long began = System.nanoTime();
    private final int slots;
    private volatile boolean over;
    private volatile long due;
    private volatile long sent;
    private volatile long refused;
    private volatile long failed;

    Flood(PreparedCall call, int rate, int perConnection) {
      this.call = call;
      this.rate = rate;
      for (int i = 0; i < perConnection; i++) {
        for (var connection : connections) {
          free.add(new Slot(connection));
        }
      }
      slots = free.size();
    }

    @SuppressWarnings("NonAtomicVolatileUpdate") // One thread writes.
    void tick() {
      long wanted = over ? due : (System.nanoTime() - began) * rate / 1_000_000_000L;
      while (due < wanted) {
        due++;
        var slot = free.poll();
        if (slot != null) {
          sent++;
          slot.send();
        }
      }
      if (over && free.size() == slots) {
        settled.countDown();
      } else {
        var _ = group.next().schedule(this::tick, TICK_NANOS, TimeUnit.NANOSECONDS);
      }
    }

    private final class Slot implements LeanConnection.Listener {
      private final LeanConnection connection;
      private final LeanConnection.Exchange exchange = new LeanConnection.Exchange(this);
      private long began;

      Slot(LeanConnection connection) {
        this.connection = connection;
      }

      void send() {
        began = System.nanoTime();
        connection.send(exchange, call);
      }

      @Override
      @SuppressWarnings("NonAtomicVolatileUpdate") // One thread writes.
      public void ended(int status, String message) {
        free.add(this);
        if (status == 0) {
          answered.incrementAndGet();
          if (!over) {
            latencies.record(System.nanoTime() - began);
          }
        } else if (status == RESOURCE_EXHAUSTED) {
          refused++;
        } else {
          failed++;
        }
      }

      @Override
      public boolean samples() {
        return false;
      }

      @Override
      public void sampled(byte[] message) {}

      @Override
      @SuppressWarnings("NonAtomicVolatileUpdate") // One thread writes.
      public void lost(Throwable cause) {
        failed++;
        free.add(this);
      }
    }
  }

  /** Calls answered so far, those of warm-ups included. */
  long answered() {
    return answered.get();
  }

  /** Answers judged so far; a wrong one ends the run. */
  long verified() {
    return verified;
  }

  int connections() {
    return connections.size();
  }

  @Override
  public void close() {
    connections.forEach(LeanConnection::close);
    group.shutdownGracefully(0, 5, TimeUnit.SECONDS).awaitUninterruptibly();
  }

  /** Waits for the handshake, then makes room for the protocol. */
  private static final class Handshake extends io.netty.channel.ChannelInboundHandlerAdapter {
    private final Http2Headers headers;
    private final Promise<LeanConnection> ready;

    Handshake(Http2Headers headers, Promise<LeanConnection> ready) {
      this.headers = headers;
      this.ready = ready;
    }

    @Override
    public void userEventTriggered(io.netty.channel.ChannelHandlerContext ctx, Object event) {
      if (event instanceof io.netty.handler.ssl.SslHandshakeCompletionEvent handshake) {
        if (handshake.isSuccess()) {
          ctx.pipeline().replace(this, "http2", new LeanConnection(headers, ready));
        } else {
          ready.tryFailure(handshake.cause());
        }
      }
    }

    @Override
    public void exceptionCaught(io.netty.channel.ChannelHandlerContext ctx, Throwable cause) {
      ready.tryFailure(cause);
      var _ = ctx.close();
    }
  }

  /** One call at a time; on the event loop. */
  private final class Lane implements LeanConnection.Listener {
    private final ClosedLoop loop;
    private final LeanConnection connection;
    private final LeanConnection.Exchange exchange;
    private final List<PreparedCall> calls;
    private final int step;
    private int position;
    private long began;
    private volatile long answered;

    Lane(
        ClosedLoop loop,
        LeanConnection connection,
        List<PreparedCall> calls,
        int position,
        int step) {
      this.loop = loop;
      this.connection = connection;
      this.calls = calls;
      this.position = position;
      this.step = step;
      exchange = new LeanConnection.Exchange(this);
    }

    void next() {
      began = System.nanoTime();
      var call = calls.get(position);
      position = (position + step) % calls.size();
      connection.send(exchange, call);
    }

    @Override
    @SuppressWarnings("NonAtomicVolatileUpdate") // One thread writes.
    public void ended(int status, String message) {
      if (status != 0) {
        loop.failed(new BenchException("gRPC status " + status + ": " + message));
        return;
      }
      answered++;
      loop.done(System.nanoTime() - began);
      if (loop.running()) {
        next();
      } else {
        loop.left();
      }
    }

    @Override
    public boolean samples() {
      return calls.size() == 1 && answered % SAMPLED == 0 && samples.size() < MOST_SAMPLES;
    }

    @Override
    public void sampled(byte[] message) {
      samples.add(message);
    }

    @Override
    public void lost(Throwable cause) {
      loop.failed(cause);
    }
  }
}
