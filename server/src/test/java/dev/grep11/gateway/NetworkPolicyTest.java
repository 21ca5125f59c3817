package dev.grep11.gateway;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.grep11.gateway.config.ConfigException;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.GenerateRandomRequest;
import dev.grep11.proto.Grep11Error;
import dev.grep11.proto.certmgr.CertificateManagerGrpc;
import dev.grep11.proto.certmgr.GetAdminKeyRequest;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.handler.ssl.util.InsecureTrustManagerFactory;
import java.io.IOException;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Who reaches an instance: by which address of the gateway, and from which of his own. */
@Timeout(value = 120, unit = TimeUnit.SECONDS)
class NetworkPolicyTest {
  private static final String PUBLIC = "127.0.0.1";
  private static final String PRIVATE = "127.0.0.2";
  private static final GenerateRandomRequest RANDOM =
      GenerateRandomRequest.newBuilder().setLen(16).build();

  private static Map<String, Object> settings(Map<String, Object> network) {
    var settings = new HashMap<String, Object>();
    settings.put("/listen/host", PUBLIC);
    settings.put("/listen/private", Map.of("host", PRIVATE, "portBase", 0));
    settings.put("/network", network);
    return settings;
  }

  /** A client at an address of this host. */
  private static void with(
      RunningGateway running, String host, int port, String from, Consumer<ManagedChannel> use)
      throws Exception {
    var channel =
        NettyChannelBuilder.forAddress(new InetSocketAddress(host, port))
            .overrideAuthority("localhost")
            .localSocketPicker(
                new io.grpc.netty.NettyChannelBuilder.LocalSocketPicker() {
                  @Override
                  public java.net.SocketAddress createSocketAddress(
                      java.net.SocketAddress remote, io.grpc.Attributes attributes) {
                    return new InetSocketAddress(from, 0);
                  }
                })
            .sslContext(
                GrpcSslContexts.forClient()
                    .trustManager(InsecureTrustManagerFactory.INSTANCE)
                    .build())
            .intercept(
                RunningGateway.headers(
                    "authorization", "Bearer " + running.token(RunningGateway.MANAGER)))
            .build();
    try {
      use.accept(channel);
    } finally {
      channel.shutdownNow();
      channel.awaitTermination(10, TimeUnit.SECONDS);
    }
  }

  private static Status crypto(ManagedChannel channel) {
    try {
      var _ = CryptoGrpc.newBlockingStub(channel).generateRandom(RANDOM);
      return Status.OK;
    } catch (StatusRuntimeException e) {
      if (e.getStatus().getCode() == Status.Code.PERMISSION_DENIED) {
        Grep11Error detail = RunningGateway.detail(e);
        return e.getStatus().withDescription(detail.getDetail());
      }
      return e.getStatus();
    }
  }

  /** What is asked needs a role that the caller does not have: that is not what is looked at. */
  private static String administration(ManagedChannel channel) {
    try {
      var _ =
          CertificateManagerGrpc.newBlockingStub(channel)
              .getAdminKey(GetAdminKeyRequest.getDefaultInstance());
      return "";
    } catch (StatusRuntimeException e) {
      return e.getStatus().getCode() + " " + e.getStatus().getDescription();
    }
  }

  @Test
  void underPrivateOnlyThePrivateListenerServesAndThePublicOneRefusesAll(@TempDir Path directory)
      throws Exception {
    try (var running =
        RunningGateway.start(directory, settings(Map.of("policy", "private-only")))) {
      var gateway = running.gateway;
      assertThat(gateway.privateCryptoPort()).isPresent();
      with(
          running,
          PUBLIC,
          gateway.cryptoPort(),
          PUBLIC,
          channel -> {
            var refusal = crypto(channel);
            assertThat(refusal.getCode()).isEqualTo(Status.Code.PERMISSION_DENIED);
            assertThat(refusal.getDescription()).contains("over the private network only");
          });
      with(
          running,
          PRIVATE,
          gateway.privateCryptoPort().orElseThrow(),
          PUBLIC,
          channel -> assertThat(crypto(channel)).isEqualTo(Status.OK));
      with(
          running,
          PUBLIC,
          gateway.certificateManagerPort(),
          PUBLIC,
          channel ->
              assertThat(administration(channel))
                  .contains("PERMISSION_DENIED", "over the private network only"));
      with(
          running,
          PRIVATE,
          gateway.privateCertificateManagerPort().orElseThrow(),
          PUBLIC,
          channel ->
              assertThat(administration(channel)).doesNotContain("over the private network only"));

      var events = running.events("over the private network only");
      assertThat(events).hasSizeGreaterThanOrEqualTo(2);
      for (var event : events) {
        assertThat(event.at("/reason/reasonCode").asInt()).isEqualTo(403);
        assertThat(event.at("/severity").asText()).isEqualTo("critical");
      }
    }
  }

  @Test
  void anAllowListAdmitsItsAddressesAndChecksThemBeforeTheToken(@TempDir Path directory)
      throws Exception {
    var network =
        Map.<String, Object>of(
            "crypto", List.of("127.0.0.8/30", "2001:db8::/32"),
            "certificateManager", List.of("127.0.0.16"));
    try (var running = RunningGateway.start(directory, settings(network))) {
      var gateway = running.gateway;
      var privately = gateway.privateCryptoPort().orElseThrow();
      with(
          running,
          PUBLIC,
          gateway.cryptoPort(),
          "127.0.0.9",
          channel -> assertThat(crypto(channel)).isEqualTo(Status.OK));
      with(
          running,
          PRIVATE,
          privately,
          "127.0.0.11",
          channel -> assertThat(crypto(channel)).isEqualTo(Status.OK));
      for (var outside : List.of("127.0.0.12", "127.0.0.1", "127.0.0.16")) {
        with(
            running,
            PUBLIC,
            gateway.cryptoPort(),
            outside,
            channel ->
                assertThat(crypto(channel).getDescription())
                    .contains("does not allow this address"));
        with(
            running,
            PRIVATE,
            privately,
            outside,
            channel ->
                assertThat(crypto(channel).getDescription())
                    .contains("does not allow this address"));
      }
      with(
          running,
          PUBLIC,
          gateway.certificateManagerPort(),
          "127.0.0.16",
          channel ->
              assertThat(administration(channel)).doesNotContain("does not allow this address"));
      with(
          running,
          PUBLIC,
          gateway.certificateManagerPort(),
          "127.0.0.9",
          channel ->
              assertThat(administration(channel))
                  .contains("PERMISSION_DENIED", "does not allow this address"));

      // Nobody outside learns whether a token is good.
      assertThatThrownBy(
              () -> running.client("authorization", "Bearer no.token.atall").generateRandom(RANDOM))
          .isInstanceOfSatisfying(
              StatusRuntimeException.class,
              refusal ->
                  assertThat(refusal.getStatus().getCode())
                      .isEqualTo(Status.Code.PERMISSION_DENIED));
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "private-only |           |             |                 | /network/policy: private-only without listen.private",
        "             | []        |             |                 | allows no address",
        "             | [10.0.0.1/8] |          |                 | did you mean 10.0.0.0/8?",
        "             | [office]  |             |                 | no address range",
        "             |           | 127.0.0.1   | 9876            | are not told apart",
        "             |           | 0.0.0.0     | 9878            | no private one",
        "             |           | 127.0.0.1   | 0               | are not told apart",
        "             |           | 127.0.0.2   | 9876            | ''",
        "             |           | 0.0.0.0     | 9976            | no private one",
        "private-only |           | 127.0.0.2   | 9976            | ''",
      })
  void aConfigurationThatLeavesNoWayInIsRefused(
      String policy,
      String crypto,
      String host,
      Integer portBase,
      String problem,
      @TempDir Path directory)
      throws Exception {
    var demo = dev.grep11.gateway.command.DemoData.open(directory);
    var replaced = new HashMap<String, Object>();
    replaced.put("/listen/portBase", 9876);
    if (policy != null) {
      replaced.put("/network/policy", policy);
    }
    if (crypto != null) {
      var text = crypto.substring(1, crypto.length() - 1);
      replaced.put("/network/crypto", text.isEmpty() ? List.of() : List.of(text));
    }
    if (host != null) {
      replaced.put("/listen/private", Map.of("host", host, "portBase", portBase));
    }
    if (problem.isEmpty()) {
      var config = GatewayConfig.read(demo.config(), replaced);
      assertThat(config.cryptoAddresses().privately()).isPresent();
    } else {
      assertThatThrownBy(() -> GatewayConfig.read(demo.config(), replaced))
          .isInstanceOf(ConfigException.class)
          .hasMessageContaining(problem.replace("/network/policy", "network.policy"));
    }
  }

  @Test
  void theHealthPortListensWhereOnlyTheMonitoringReachesIt(@TempDir Path directory)
      throws Exception {
    // A stranger's port of the same number may listen at the public address: not three times.
    for (var strangers = 0; ; strangers++) {
      var own = Files.createDirectory(directory.resolve("gateway" + strangers));
      try (var running = RunningGateway.start(own, Map.of("/listen/healthHost", PRIVATE))) {
        var health = running.gateway.healthPort();
        assertThat(listens(PRIVATE, health)).isTrue();
        assertThat(running.client().generateRandom(RANDOM).getRnd().size()).isEqualTo(16);
        if (!listens(PUBLIC, health)) {
          return;
        }
        assertThat(strangers).as("gateways found at %s as well", PUBLIC).isLessThan(2);
      }
    }
  }

  private static boolean listens(String address, int port) throws IOException {
    try (var socket = new Socket(InetAddress.ofLiteral(address), port)) {
      return socket.isConnected();
    } catch (ConnectException _) {
      return false;
    }
  }

  @Test
  void aPolicyOfAnInstanceTakesWhatItLeavesOutFromTheStandard(@TempDir Path directory)
      throws Exception {
    var demo = dev.grep11.gateway.command.DemoData.open(directory);
    var first = UUID.randomUUID();
    var replaced = new HashMap<String, Object>();
    replaced.put("/listen/private", Map.of("host", PRIVATE));
    replaced.put("/network/crypto", List.of("10.0.0.0/8"));
    replaced.put(
        "/network/instances",
        List.of(Map.of("instance", first.toString(), "policy", "private-only")));

    assertThatThrownBy(() -> GatewayConfig.read(demo.config(), replaced))
        .isInstanceOf(ConfigException.class)
        .hasMessageContaining("is not the instance that this gateway serves");
    replaced.put("/multiInstance", true);
    replaced.put("/instance", null);
    var policies = GatewayConfig.read(demo.config(), replaced).network();

    assertThat(policies.of(first).reach())
        .isEqualTo(dev.grep11.gateway.rpc.NetworkPolicy.Reach.PRIVATE_ONLY);
    assertThat(policies.of(first).crypto()).isEqualTo(policies.standard().crypto()).isPresent();
    assertThat(policies.of(UUID.randomUUID())).isEqualTo(policies.standard());
  }
}
