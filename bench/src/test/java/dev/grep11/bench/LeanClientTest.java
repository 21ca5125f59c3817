package dev.grep11.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import dev.grep11.gateway.tls.DemoCa;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.EncryptSingleRequest;
import dev.grep11.proto.EncryptSingleResponse;
import io.grpc.Grpc;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.TlsServerCredentials;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Against a server of grpc-java with TLS that asks for a certificate, and answers what it is sent.
 */
class LeanClientTest {
  private static final Duration WINDOW = Duration.ofMillis(300);

  private final AtomicLong calls = new AtomicLong();
  private final Set<String> tokens = ConcurrentHashMap.newKeySet();
  private volatile Status answer = Status.OK;
  private final ClientIdentity identity = ClientIdentity.create();
  private @Nullable Server server;
  @TempDir private Path directory = Path.of("");

  @BeforeEach
  void start() throws IOException {
    var ca = DemoCa.create();
    ca.write(directory);
    DemoCa.write(ca.server(), directory);
    server =
        Grpc.newServerBuilderForPort(
                0,
                TlsServerCredentials.newBuilder()
                    .keyManager(
                        directory.resolve("server.pem").toFile(),
                        directory.resolve("server.key").toFile())
                    .trustManager(identity.ca().toFile())
                    .clientAuth(TlsServerCredentials.ClientAuth.REQUIRE)
                    .build())
            .maxInboundMessageSize(8 << 20)
            .intercept(new Tokens())
            .addService(new Echo())
            .build()
            .start();
  }

  @AfterEach
  void stop() throws InterruptedException {
    if (server != null) {
      server.shutdownNow().awaitTermination();
    }
    identity.close();
  }

  private final class Tokens implements ServerInterceptor {
    @Override
    public <Q, A> ServerCall.Listener<Q> interceptCall(
        ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
      tokens.add(
          String.valueOf(
              headers.get(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER))));
      return next.startCall(call, headers);
    }
  }

  private final class Echo extends CryptoGrpc.CryptoImplBase {
    @Override
    public void encryptSingle(
        EncryptSingleRequest request, StreamObserver<EncryptSingleResponse> observer) {
      calls.incrementAndGet();
      if (!answer.isOk()) {
        observer.onError(answer.asRuntimeException());
        return;
      }
      observer.onNext(EncryptSingleResponse.newBuilder().setCiphered(request.getPlain()).build());
      observer.onCompleted();
    }
  }

  private Target target(Optional<ClientIdentity> shown) {
    int port = server == null ? 0 : server.getPort();
    return new Target(
        "localhost:" + port,
        "key",
        URI.create("https://localhost"),
        directory.resolve("ca.pem"),
        Optional.empty(),
        directory,
        shown);
  }

  private static PreparedCall echo(int bytes, byte[] expected) {
    var plain = new byte[bytes];
    new Random(bytes).nextBytes(plain);
    return PreparedCall.of(
        CryptoGrpc.getEncryptSingleMethod(),
        EncryptSingleRequest.newBuilder().setPlain(ByteString.copyFrom(plain)).build(),
        message ->
            Arrays.equals(
                EncryptSingleResponse.parseFrom(message).getCiphered().toByteArray(),
                expected.length == 0 ? plain : expected));
  }

  @ParameterizedTest
  @CsvSource({"1, 1, 1", "32, 64, 2", "16384, 16, 2", "1048576, 4, 2", "3000000, 4, 1"})
  void getsBackWhatItSentWhateverItsLength(int bytes, int inFlight, int connections) {
    try (var client = new LeanClient(target(Optional.of(identity)), "a".repeat(900), connections)) {
      var call = echo(bytes, new byte[0]);
      long counted = 0;
      // Frames of a MiB under a leak detector that looks at each take their time.
      for (int window = 0; counted < 3L * inFlight && window < 50; window++) {
        var sample =
            client.measure(List.of(call), inFlight, Duration.ZERO, WINDOW, Meter.OF_THIS_PROCESS);
        assertThat(sample.count()).isEqualTo(sample.latencies().count());
        counted += sample.count();
      }

      assertThat(counted).isGreaterThanOrEqualTo(3L * inFlight);
      assertThat(client.verified()).isPositive();
      assertThat(client.answered()).isEqualTo(calls.get());
      assertThat(tokens).containsExactly("Bearer " + "a".repeat(900));
    }
  }

  @Test
  void findsAWrongAnswer() {
    try (var client = new LeanClient(target(Optional.of(identity)), "token", 1)) {
      assertThatThrownBy(() ->
              client.measure(
                  List.of(echo(32, new byte[] {1})),
                  1,
                  Duration.ZERO,
                  WINDOW,
                  Meter.OF_THIS_PROCESS))
          .isInstanceOf(BenchException.class)
          .hasMessageContaining("a wrong answer to /grep11.Crypto/EncryptSingle");
    }
  }

  @Test
  void failsWhenACallFails() {
    answer = Status.RESOURCE_EXHAUSTED.withDescription("too many");
    try (var client = new LeanClient(target(Optional.of(identity)), "token", 1)) {
      assertThatThrownBy(() ->
              client.measure(
                  List.of(echo(32, new byte[0])), 4, Duration.ZERO, WINDOW, Meter.OF_THIS_PROCESS))
          .isInstanceOf(BenchException.class)
          .hasMessageContaining("gRPC status 8: too many");
    }
  }

  @Test
  void isRefusedWithoutACertificate() {
    assertThatThrownBy(
            () -> {
              try (var client = new LeanClient(target(Optional.empty()), "token", 1)) {
                client.measure(
                    List.of(echo(32, new byte[0])),
                    1,
                    Duration.ZERO,
                    WINDOW,
                    Meter.OF_THIS_PROCESS);
              }
            })
        .isInstanceOf(BenchException.class);
  }
}
