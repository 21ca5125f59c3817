package dev.grep11.gateway;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.certmgr.CertificateManagerGrpc;
import dev.grep11.proto.keystore.KeyStoresGrpc;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.reflection.v1.ServerReflectionGrpc;
import io.grpc.reflection.v1.ServerReflectionRequest;
import io.grpc.reflection.v1.ServerReflectionResponse;
import io.grpc.stub.StreamObserver;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What supervisors are told by gRPC, and what callers may learn of the services. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(value = 120, unit = TimeUnit.SECONDS)
class GrpcHealthTest {
  private RunningGateway running;
  private ManagedChannel health;

  @BeforeAll
  void start(@TempDir Path directory) throws Exception {
    running = RunningGateway.start(directory, Map.of("/reflection", true));
    health = healthChannel(running.gateway);
  }

  @AfterAll
  void stop() {
    health.shutdownNow();
    running.close();
  }

  private ManagedChannel healthChannel(Gateway gateway) throws Exception {
    return NettyChannelBuilder.forAddress("localhost", gateway.healthPort())
        .sslContext(GrpcSslContexts.forClient().trustManager(running.demo.ca().toFile()).build())
        .build();
  }

  private static ServingStatus check(ManagedChannel channel, String service) {
    return HealthGrpc.newBlockingStub(channel)
        .withDeadlineAfter(10, TimeUnit.SECONDS)
        .check(HealthCheckRequest.newBuilder().setService(service).build())
        .getStatus();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        CryptoGrpc.SERVICE_NAME,
        KeyStoresGrpc.SERVICE_NAME,
        CertificateManagerGrpc.SERVICE_NAME
      })
  void tellsOfEachServiceWithoutATokenAndACertificate(String service) {
    assertThat(check(health, service)).isEqualTo(ServingStatus.SERVING);
  }

  @Test
  void doesNotKnowOtherServices() {
    assertThatThrownBy(() -> check(health, "grep11.Other"))
        .isInstanceOfSatisfying(
            StatusRuntimeException.class,
            refusal -> assertThat(refusal.getStatus().getCode()).isEqualTo(Status.Code.NOT_FOUND));
  }

  @Test
  void whoOffersBothProtocolsGetsThePages() throws Exception {
    var web = running.web();
    for (var version : HttpClient.Version.values()) {
      if (version.name().equals("HTTP_3")) {
        continue;
      }
      var answer =
          web.send(
              HttpRequest.newBuilder(
                      URI.create("https://localhost:" + running.gateway.healthPort() + "/readyz"))
                  .version(version)
                  .build(),
              HttpResponse.BodyHandlers.ofString());
      assertThat(answer.statusCode()).isEqualTo(200);
      assertThat(answer.version()).isEqualTo(HttpClient.Version.HTTP_1_1);
      assertThat(answer.body()).isEqualTo("{\"status\":\"ok\"}");
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"POST", "PUT", "DELETE"})
  void thePagesAreForReading(String method) throws Exception {
    var answer =
        running
            .web()
            .send(
                HttpRequest.newBuilder(
                        URI.create(
                            "https://localhost:" + running.gateway.healthPort() + "/metrics"))
                    .method(method, HttpRequest.BodyPublishers.ofString("x"))
                    .build(),
                HttpResponse.BodyHandlers.ofString());

    assertThat(answer.statusCode()).isEqualTo(405);
  }

  @Test
  void whoWatchesIsToldThatTheGatewayStops() throws Exception {
    var stopping = running.another("stopping", Map.of());
    var channel = healthChannel(stopping);
    try {
      BlockingQueue<ServingStatus> seen = new LinkedBlockingQueue<>();
      HealthGrpc.newStub(channel)
          .watch(
              HealthCheckRequest.newBuilder().setService(CryptoGrpc.SERVICE_NAME).build(),
              new Into(seen));
      assertThat(seen.poll(10, TimeUnit.SECONDS)).isEqualTo(ServingStatus.SERVING);

      stopping.drain();

      assertThat(seen.poll(10, TimeUnit.SECONDS)).isEqualTo(ServingStatus.NOT_SERVING);
    } finally {
      channel.shutdownNow();
      stopping.close();
    }
  }

  private record Into(BlockingQueue<ServingStatus> seen)
      implements StreamObserver<HealthCheckResponse> {
    @Override
    public void onNext(HealthCheckResponse response) {
      seen.add(response.getStatus());
    }

    @Override
    public void onError(Throwable failure) {}

    @Override
    public void onCompleted() {}
  }

  // ---- Reflection

  private static List<String> services(ManagedChannel channel, String... headers) throws Exception {
    var answer = new CompletableFuture<ServerReflectionResponse>();
    var questions =
        ServerReflectionGrpc.newStub(channel)
            .withInterceptors(RunningGateway.headers(headers))
            .withDeadlineAfter(10, TimeUnit.SECONDS)
            .serverReflectionInfo(
                new StreamObserver<>() {
                  @Override
                  public void onNext(ServerReflectionResponse response) {
                    answer.complete(response);
                  }

                  @Override
                  public void onError(Throwable failure) {
                    answer.completeExceptionally(failure);
                  }

                  @Override
                  public void onCompleted() {}
                });
    questions.onNext(ServerReflectionRequest.newBuilder().setListServices("").build());
    try {
      return answer.get(10, TimeUnit.SECONDS).getListServicesResponse().getServiceList().stream()
          .map(service -> service.getName())
          .toList();
    } catch (ExecutionException e) {
      throw e.getCause() instanceof StatusRuntimeException refusal ? refusal : e;
    } finally {
      questions.onCompleted();
    }
  }

  @Test
  void reflectionTellsThoseWhoMayUseKeys() throws Exception {
    var channel = running.channel();

    assertThat(
            services(channel, "authorization", "Bearer " + running.token(RunningGateway.MANAGER)))
        .contains(CryptoGrpc.SERVICE_NAME, KeyStoresGrpc.SERVICE_NAME);
  }

  @Test
  void reflectionTellsNobodyElseAndIsAudited() throws Exception {
    var channel = running.channel();
    assertRefused(Status.Code.UNAUTHENTICATED, channel);
    assertRefused(
        Status.Code.PERMISSION_DENIED,
        channel,
        "authorization",
        "Bearer " + running.token("somebody"));

    await()
        .atMost(Duration.ofSeconds(10))
        .until(() -> running.events("ServerReflectionInfo").size() >= 2);
  }

  @Test
  void reflectionIsShutByTheSecondLockAndHealthIsNot() throws Exception {
    var token = "Bearer " + running.token(RunningGateway.MANAGER);
    running.registerClientCas(running.instance, List.of(derOf(running.demo.ca())));
    try {
      await()
          .atMost(Duration.ofSeconds(20))
          .untilAsserted(() ->
              assertThatThrownBy(() -> services(running.channel(), "authorization", token))
                  .isInstanceOfSatisfying(
                      StatusRuntimeException.class,
                      refusal ->
                          assertThat(refusal.getStatus().getCode())
                              .isIn(Status.Code.UNAUTHENTICATED, Status.Code.UNAVAILABLE)));
      assertThat(check(health, CryptoGrpc.SERVICE_NAME)).isEqualTo(ServingStatus.SERVING);
    } finally {
      running.registerClientCas(running.instance, List.of());
      await()
          .atMost(Duration.ofSeconds(20))
          .ignoreExceptions()
          .until(() -> !services(running.channel(), "authorization", token).isEmpty());
    }
  }

  private static byte[] derOf(Path pem) throws Exception {
    try (var in = Files.newInputStream(pem)) {
      return CertificateFactory.getInstance("X.509").generateCertificate(in).getEncoded();
    }
  }

  @Test
  void thereIsNoReflectionUnlessItIsAskedFor() throws Exception {
    try (var standard = running.another("standard", Map.of("/reflection", false))) {
      var channel =
          NettyChannelBuilder.forAddress("localhost", standard.cryptoPort())
              .sslContext(
                  GrpcSslContexts.forClient().trustManager(running.demo.ca().toFile()).build())
              .build();
      try {
        assertRefused(
            Status.Code.UNIMPLEMENTED,
            channel,
            "authorization",
            "Bearer " + running.token(RunningGateway.MANAGER));
      } finally {
        channel.shutdownNow();
      }
    }
  }

  private static void assertRefused(Status.Code code, ManagedChannel channel, String... headers) {
    assertThatThrownBy(() -> services(channel, headers))
        .isInstanceOfSatisfying(
            StatusRuntimeException.class,
            refusal -> assertThat(refusal.getStatus().getCode()).isEqualTo(code));
  }
}
