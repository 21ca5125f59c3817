package dev.grep11.gateway;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.grep11.gateway.http.Answer;
import dev.grep11.gateway.http.HttpLimits;
import dev.grep11.gateway.http.HttpListener;
import dev.grep11.gateway.http.Pages;
import dev.grep11.gateway.http.Request;
import dev.grep11.gateway.metrics.Metrics;
import dev.grep11.gateway.rpc.GrpcHealth;
import dev.grep11.gateway.tls.Connections;
import io.netty.bootstrap.Bootstrap;
import io.netty.channel.Channel;
import io.netty.channel.local.LocalChannel;
import io.netty.handler.ssl.ApplicationProtocolNames;
import io.netty.handler.ssl.SslContext;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The port that supervisors ask: {@code /livez}, {@code /readyz}, {@code /startupz} and {@code
 * /metrics} by HTTP/1.1, and {@code grpc.health.v1} by HTTP/2, as the client's TLS chooses (RFC
 * 7301). It asks for no client certificate and reaches no key, so that it answers while the second
 * lock is closed.
 */
final class HealthListener implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(HealthListener.class);
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Duration LOOK = Duration.ofMillis(500);

  /** It waits for longer than the pauses between two scrapes. */
  private static final HttpLimits LIMITS =
      new HttpLimits(
          4096,
          8192,
          64,
          1024,
          Duration.ofMinutes(2),
          Duration.ofSeconds(10),
          Duration.ofSeconds(30));

  /** What the certificate manager needs of the rest: it is there to open locks. */
  private static final Set<String> OF_ADMINISTRATION = Set.of("start", "token", "store");

  private static final String GRPC = "grpc.health.v1";

  private final BooleanSupplier started;
  private final Readiness ready;
  private final Metrics metrics;
  private final GrpcHealth grpc;
  private final HttpListener server;

  /** What failed last and is in the log, by what it was: supervisors ask every few seconds. */
  private final Map<String, String> told = new ConcurrentHashMap<>();

  /**
   * Listens from now on.
   *
   * @param tls that lets the client choose between HTTP/1.1 and HTTP/2
   * @param ready whether calls are served at present
   */
  HealthListener(
      InetSocketAddress address,
      SslContext tls,
      Connections connections,
      BooleanSupplier started,
      Readiness ready,
      Metrics metrics)
      throws IOException {
    this.started = started;
    this.ready = ready;
    this.metrics = metrics;
    grpc = new GrpcHealth();
    try {
      server = HttpListener.start(address, tls, connections, LIMITS, new Supervised(), this::takes);
    } catch (IOException | RuntimeException e) {
      grpc.close();
      throw e;
    }
    show();
    var _ =
        connections
            .acceptors()
            .next()
            .scheduleWithFixedDelay(
                this::show, LOOK.toMillis(), LOOK.toMillis(), TimeUnit.MILLISECONDS);
  }

  /** Tells those who watch by gRPC; done twice a second anyway. */
  void show() {
    try {
      var missing = ready.missing().keySet();
      grpc.show(missing.isEmpty(), missing.stream().noneMatch(OF_ADMINISTRATION::contains));
      told.remove(GRPC);
    } catch (RuntimeException | Error e) {
      // Thrown on, it would be the last look, and what was shown before would stay.
      grpc.show(false, false);
      tell(GRPC, e);
    }
  }

  private void tell(String what, Throwable cause) {
    if (!cause.toString().equals(told.put(what, cause.toString()))) {
      LOG.error("{} cannot be answered", what, cause);
    }
  }

  int port() {
    return server.address().getPort();
  }

  private boolean takes(Channel channel, String protocol) {
    Connections.recognize(channel);
    boolean isGrpc = protocol.equals(ApplicationProtocolNames.HTTP_2);
    if (isGrpc) {
      relay(channel);
    }
    return isGrpc;
  }

  /** Hands a connection to the server of gRPC, which is in this process. */
  private void relay(Channel outside) {
    outside.config().setAutoRead(false);
    var inside =
        new Bootstrap()
            .group(grpc.eventLoops())
            .channel(LocalChannel.class)
            .handler(new Relay(outside, true))
            .connect(grpc.address());
    var inwards = new Relay(inside.channel(), false);
    outside.pipeline().addLast(inwards);
    inside.addListener(connected ->
        outside
            .eventLoop()
            .execute(() -> {
              if (connected.isSuccess()) {
                inwards.begin();
                outside.config().setAutoRead(true);
              } else {
                close(outside);
              }
            }));
  }

  @SuppressWarnings("FutureReturnValueIgnored") // What cannot be closed is closed.
  private static void close(Channel channel) {
    channel.close();
  }

  // ---- HTTP/1.1

  private final class Supervised implements Pages {
    @Override
    public Answer answer(Request request) {
      if (request.isTooLarge()) {
        return new Answer(413, Map.of(), new byte[0]);
      }
      var path = request.target().split("\\?", 2)[0];
      return HealthListener.this.answer(request.method(), path, request.header("Accept"));
    }

    @Override
    public Answer malformed() {
      return json(400, Map.of("status", "bad"));
    }
  }

  private Answer answer(String method, String path, Optional<String> accept) {
    try {
      var page = page(method, path, accept);
      told.remove(path);
      return page;
    } catch (RuntimeException | Error e) {
      tell(path, e);
      return json(500, Map.of("status", "failed"));
    }
  }

  private Answer page(String method, String path, Optional<String> accept) {
    if (!method.equals("GET") && !method.equals("HEAD")) {
      return json(405, Map.of("status", "method not allowed"));
    }
    return switch (path) {
      case "/livez" -> health(Map.of());
      case "/startupz" ->
          health(started.getAsBoolean() ? Map.of() : Map.of("start", "the gateway is starting"));
      case "/readyz" -> health(ready.missing());
      case "/metrics" -> metrics(accept.orElse(null));
      default -> json(404, Map.of("status", "not found"));
    };
  }

  private static Answer health(Map<String, String> reasons) {
    var good = reasons.isEmpty();
    var body = new LinkedHashMap<String, Object>();
    body.put("status", good ? "ok" : "not ready");
    if (!good) {
      body.put("reasons", reasons);
    }
    return json(good ? 200 : 503, body);
  }

  private static Answer json(int status, Map<String, ?> body) {
    try {
      return Answer.of(status, "application/json", JSON.writeValueAsBytes(body));
    } catch (JsonProcessingException e) {
      throw new UncheckedIOException(e);
    }
  }

  private Answer metrics(@Nullable String accept) {
    var page = metrics.page(accept);
    return Answer.of(200, page.contentType(), page.body());
  }

  @Override
  public void close() {
    server.close();
    grpc.close();
  }
}
