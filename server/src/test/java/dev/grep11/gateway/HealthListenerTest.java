package dev.grep11.gateway;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import dev.grep11.gateway.metrics.CallMetrics;
import dev.grep11.gateway.metrics.Metrics;
import dev.grep11.gateway.tls.Connections;
import dev.grep11.gateway.tls.ServerTls;
import dev.grep11.gateway.trust.TestCertificates;
import io.grpc.ManagedChannel;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.slf4j.LoggerFactory;

/** What supervisors are told when what is asked about fails to answer. */
@Timeout(value = 120, unit = TimeUnit.SECONDS)
class HealthListenerTest {
  private static final Duration PATIENCE = Duration.ofSeconds(30);

  private volatile boolean broken;
  private final AtomicInteger scrapes = new AtomicInteger();
  private final AtomicLong nanos = new AtomicLong();
  private ServerTls tls;
  private Connections connections;
  private HealthListener listener;
  private HttpClient web;
  private ManagedChannel channel;

  @BeforeEach
  void listen(@TempDir Path directory) throws Exception {
    var ca = TestCertificates.ca("CN=Server CA").selfSigned();
    ca.write(directory, "ca");
    TestCertificates.bare("CN=gw").dnsName("localhost").signedBy(ca).write(directory, "server");
    var key = directory.resolve("server.key");
    Files.setPosixFilePermissions(key, PosixFilePermissions.fromString("rw-------"));
    tls = ServerTls.start(directory.resolve("server.pem"), key, Duration.ofHours(1), _ -> {});
    connections = new Connections(1);
    var metrics = new Metrics("test", new CallMetrics.Segments("", "", ""), false, nanos::get);
    metrics.gauge("grep11_test", "Fails at times.", () -> unlessBroken(scrapes.incrementAndGet()));
    listener =
        new HealthListener(
            new InetSocketAddress(InetAddress.getLoopbackAddress(), 0),
            tls.healthContext(),
            connections,
            () -> true,
            new Readiness().when("token", () -> unlessBroken(true), "the token is not there"),
            metrics);
    web = RunningGateway.web(directory.resolve("ca.pem"));
    channel =
        NettyChannelBuilder.forAddress("localhost", listener.port())
            .sslContext(
                GrpcSslContexts.forClient()
                    .trustManager(directory.resolve("ca.pem").toFile())
                    .build())
            .build();
  }

  @AfterEach
  void close() {
    channel.shutdownNow();
    web.shutdownNow();
    listener.close();
    connections.close();
    tls.close();
  }

  private <T> T unlessBroken(T value) {
    if (broken) {
      throw new IllegalStateException("canary");
    }
    return value;
  }

  private HttpResponse<String> get(String path) throws Exception {
    return get(path, "*/*");
  }

  private HttpResponse<String> get(String path, String accept) throws Exception {
    return web.send(
        HttpRequest.newBuilder(URI.create("https://localhost:" + listener.port() + path))
            .timeout(PATIENCE)
            .header("Accept", accept)
            .build(),
        HttpResponse.BodyHandlers.ofString());
  }

  private void aSecondLater() {
    nanos.addAndGet(Duration.ofSeconds(1).toNanos());
  }

  private ServingStatus status() {
    return HealthGrpc.newBlockingStub(channel)
        .withDeadlineAfter(PATIENCE.toSeconds(), TimeUnit.SECONDS)
        .check(HealthCheckRequest.getDefaultInstance())
        .getStatus();
  }

  @Test
  void aPageThatFailsIsAnsweredAndToldOfOnce() throws Exception {
    var logger = (Logger) LoggerFactory.getLogger(HealthListener.class);
    var said = new ListAppender<ILoggingEvent>();
    said.list = new CopyOnWriteArrayList<>();
    said.start();
    logger.addAppender(said);
    assertThat(get("/metrics").statusCode()).isEqualTo(200);
    broken = true;
    aSecondLater();
    for (var page : new String[] {"/metrics", "/metrics", "/readyz"}) {
      var answer = get(page);
      assertThat(answer.statusCode()).isEqualTo(500);
      assertThat(answer.body()).isEqualTo("{\"status\":\"failed\"}");
    }
    logger.detachAppender(said);
    assertThat(said.list)
        .extracting(ILoggingEvent::getFormattedMessage)
        .containsOnlyOnce("/metrics cannot be answered", "/readyz cannot be answered");
    assertThat(get("/livez").statusCode()).isEqualTo(200);
    broken = false;
    assertThat(get("/metrics").body()).contains("grep11_test 4.0");
    assertThat(get("/readyz").statusCode()).isEqualTo(200);
  }

  @Test
  void aSecondCostsOneScrapeInEachFormatHoweverManyAsk() throws Exception {
    var openMetrics = "application/openmetrics-text; version=1.0.0";
    var first = get("/metrics").body();
    for (int i = 0; i < 20; i++) {
      assertThat(get("/metrics", i % 2 == 0 ? "text/plain" : "own/type-" + i).body())
          .isEqualTo(first);
    }
    assertThat(scrapes).hasValue(1);
    assertThat(get("/metrics", openMetrics).body()).endsWith("# EOF\n");
    assertThat(get("/metrics", openMetrics + ";q=0.9,text/plain").body()).endsWith("# EOF\n");
    assertThat(scrapes).hasValue(2);

    aSecondLater();

    assertThat(get("/metrics").body()).contains("grep11_test 3.0");
    assertThat(get("/metrics").body()).contains("grep11_test 3.0");
    assertThat(scrapes).hasValue(3);
  }

  @Test
  void whatCannotBeToldIsNotServingUntilItCan() {
    await().atMost(PATIENCE).until(() -> status() == ServingStatus.SERVING);
    broken = true;
    await().atMost(PATIENCE).until(() -> status() == ServingStatus.NOT_SERVING);
    broken = false;
    await().atMost(PATIENCE).until(() -> status() == ServingStatus.SERVING);
  }
}
