package dev.grep11.gateway.command;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.protobuf.ByteString;
import dev.grep11.client.Cka;
import dev.grep11.client.Cko;
import dev.grep11.client.Curve;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.Template;
import dev.grep11.client.Templates;
import dev.grep11.gateway.RunningGateway;
import dev.grep11.gateway.audit.AuditVerification;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.Grep11Error;
import dev.grep11.proto.Mechanism;
import dev.grep11.proto.SignSingleRequest;
import dev.grep11.proto.keystore.KeyStoresGrpc;
import dev.grep11.proto.keystore.ListKeystoresByIdsRequest;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A gateway process whose audit file finds no room gives out no signature, no word of a keystore
 * and no token, and goes on by itself when there is room again. Commands of administrators are in
 * {@link AdministrationProcessTest}.
 */
class FullDiskTest {
  private static final Duration PATIENCE = Duration.ofSeconds(30);
  private static final byte[] MESSAGE = "to be signed".getBytes(UTF_8);

  /** Of what else the gateway writes, so that nothing but the audit file meets the limit. */
  private static final long ROOM_OF_THE_STORE = 300_000;

  @TempDir Path parent = Path.of("");
  private final List<String> answered = new ArrayList<>();
  private final List<String> refused = new ArrayList<>();
  private Path directory = Path.of("");
  private int base;

  @Test
  void nothingIsGivenOutThatCannotBeRecorded() throws Exception {
    directory = parent.resolve("demo");
    var demo = DemoData.open(directory);
    base = GatewayProcess.freePorts();
    try (var process =
        GatewayProcess.start(
            parent, "up", "--data", directory.toString(), "--port-base", Integer.toString(base))) {
      var ready = process.awaitReady();
      var channel =
          NettyChannelBuilder.forTarget(ready.getOrDefault("grep11", ""))
              .sslContext(GrpcSslContexts.forClient().trustManager(demo.ca().toFile()).build())
              .build();
      try (var web = RunningGateway.web(demo.ca());
          var client =
              Grep11Client.builder(ready.getOrDefault("grep11", ""))
                  .trustedCa(demo.ca())
                  .apiKey(directory.resolve("apikey"), URI.create(ready.getOrDefault("iam", "")))
                  .build()) {
        refusesWithoutRoom(process, ready, channel, web, client);
      } finally {
        channel.shutdownNow();
      }
      process.terminate();
      assertThat(process.awaitExit()).isZero();
    }
    assertThat(AuditVerification.verify(audit(), Optional.empty(), List.of(), _ -> {}).findings())
        .isEmpty();
    var events = Files.readAllLines(audit());
    assertThat(answered).allSatisfy(id -> assertThat(successes(events, id)).isOne());
    assertThat(refused).allSatisfy(id -> assertThat(successes(events, id)).isZero());
  }

  private void refusesWithoutRoom(
      GatewayProcess process,
      Map<String, String> ready,
      ManagedChannel channel,
      HttpClient web,
      Grep11Client client)
      throws Exception {
    var first = token(web, ready);
    assertThat(first.statusCode()).isEqualTo(200);
    var token = new ObjectMapper().readTree(first.body()).get("access_token").asText();
    var key = client.generateKeyPair(Templates.ecPair(Curve.P256)).privateKey();
    var keystore = client.keystores().create(UUID.randomUUID(), "some keys");
    Work sign =
        id -> {
          var signature =
              CryptoGrpc.newBlockingStub(channel)
                  .withInterceptors(headers(token, id))
                  .withDeadlineAfter(PATIENCE.toSeconds(), TimeUnit.SECONDS)
                  .signSingle(
                      SignSingleRequest.newBuilder()
                          .setMech(Mechanism.newBuilder().setMechanism(Ckm.CKM_ECDSA_SHA256))
                          .setPrivKeyBytes(ByteString.copyFrom(key.bytes()))
                          .setData(ByteString.copyFrom(MESSAGE))
                          .build())
                  .getSignature();
          assertThat(signature.size()).isPositive();
        };
    Work list =
        id ->
            assertThat(
                    KeyStoresGrpc.newBlockingStub(channel)
                        .withInterceptors(headers(token, id))
                        .withDeadlineAfter(PATIENCE.toSeconds(), TimeUnit.SECONDS)
                        .listKeystoresByIds(
                            ListKeystoresByIdsRequest.newBuilder()
                                .addKeystores(bytes(keystore.id()))
                                .build())
                        .getKeystoresCount())
                .isOne();
    while (Files.size(audit()) < sizeOfTheStore() + ROOM_OF_THE_STORE) {
      assertThat(answers(sign)).isTrue();
    }
    assertThat(answers(list)).isTrue();

    limitFiles(process, Long.toString(Files.size(audit()) + 100));
    // What was taken before the writer met the limit is answered, and written later.
    await().atMost(PATIENCE).until(() -> !answers(sign));
    for (int i = 0; i < 3; i++) {
      assertThat(answers(sign)).as("a signature").isFalse();
      assertThat(answers(list)).as("a word of a keystore").isFalse();
      var none = token(web, ready);
      assertThat(none.statusCode()).isEqualTo(503);
      assertThat(none.body()).contains("GREP11-AUDIT-UNAVAILABLE").doesNotContain("access_token");
    }
    var unwanted = Template.empty().with(Cka.CKA_LABEL, "x").with(Cka.CKA_CLASS, Cko.CKO_DATA);
    assertThatThrownBy(() -> keystore.store(unwanted)).isInstanceOf(Grep11Exception.class);

    limitFiles(process, "unlimited");
    await().atMost(PATIENCE).until(() -> answers(sign));
    assertThat(answers(list)).isTrue();
    assertThat(token(web, ready).statusCode()).isEqualTo(200);
    assertThat(keystore.find(Template.empty())).as("stored while it was refused").isEmpty();
  }

  private static ByteString bytes(UUID id) {
    return ByteString.copyFrom(
        ByteBuffer.allocate(16)
            .putLong(id.getMostSignificantBits())
            .putLong(id.getLeastSignificantBits())
            .array());
  }

  private interface Work {
    void as(String correlationId);
  }

  /** Whether it is; a refusal has to be for want of a record. */
  private boolean answers(Work work) {
    var id = UUID.randomUUID().toString();
    var refusal = catchThrowableOfType(StatusRuntimeException.class, () -> work.as(id));
    if (refusal == null) {
      answered.add(id);
      return true;
    }
    refused.add(id);
    assertThat(refusal.getStatus().getCode()).isEqualTo(Status.Code.UNAVAILABLE);
    assertThat(StatusProto.fromThrowable(refusal))
        .isNotNull()
        .extracting(status -> detail(status.getDetails(0)))
        .isEqualTo("calls cannot be recorded at present");
    return false;
  }

  private static String detail(com.google.protobuf.Any detail) {
    try {
      return detail.unpack(Grep11Error.class).getDetail();
    } catch (com.google.protobuf.InvalidProtocolBufferException e) {
      throw new AssertionError(e);
    }
  }

  private static io.grpc.ClientInterceptor headers(String token, String correlationId) {
    return RunningGateway.headers(
        "authorization", "Bearer " + token, "x-correlation-id", correlationId);
  }

  private HttpResponse<String> token(HttpClient web, Map<String, String> ready) throws Exception {
    return web.send(
        HttpRequest.newBuilder(URI.create(ready.getOrDefault("iam", "") + "/identity/token"))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .POST(
                HttpRequest.BodyPublishers.ofString(
                    "grant_type=urn:ibm:params:oauth:grant-type:apikey&apikey="
                        + Files.readString(directory.resolve("apikey"))))
            .build(),
        HttpResponse.BodyHandlers.ofString());
  }

  private Path audit() {
    return directory.resolve("audit-" + base + ".jsonl");
  }

  private long sizeOfTheStore() throws IOException {
    try (var files = Files.list(directory.resolve("store"))) {
      long largest = 0;
      for (var file : files.toList()) {
        largest = Math.max(largest, Files.size(file));
      }
      return largest;
    }
  }

  private static long successes(List<String> events, String id) {
    return events.stream()
        .filter(line -> line.contains("\"" + id + "\"") && line.contains("\"outcome\":\"success\""))
        .count();
  }

  /** A limit on the size of files stands for a full disk. */
  private static void limitFiles(GatewayProcess process, String bytes) throws Exception {
    var limited =
        new ProcessBuilder(
                "prlimit", "--pid", Long.toString(process.pid()), "--fsize=" + bytes + ":")
            .inheritIO()
            .start();
    assertThat(limited.waitFor()).isZero();
  }
}
