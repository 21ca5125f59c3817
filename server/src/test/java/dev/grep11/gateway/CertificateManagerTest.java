package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.ISSUER;
import static dev.grep11.gateway.TestAdministrator.ed25519;
import static dev.grep11.gateway.TestAdministrator.p256;
import static dev.grep11.gateway.TestAdministrator.sha256;
import static dev.grep11.gateway.TestAdministrator.signature;
import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnknownFieldSet;
import dev.grep11.gateway.certmgr.Administration;
import dev.grep11.gateway.certmgr.CommandRefusedException;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.store.ReplicaRecord;
import dev.grep11.gateway.store.Subject;
import dev.grep11.gateway.tls.DemoCa;
import dev.grep11.proto.GetMechanismListRequest;
import dev.grep11.proto.certmgr.CertificateManagerGrpc;
import dev.grep11.proto.certmgr.CertificateManagerGrpc.CertificateManagerBlockingStub;
import dev.grep11.proto.certmgr.CheckCertificateRequest;
import dev.grep11.proto.certmgr.Command;
import dev.grep11.proto.certmgr.CommandResult;
import dev.grep11.proto.certmgr.Countersign;
import dev.grep11.proto.certmgr.DeleteAdminKey;
import dev.grep11.proto.certmgr.DeleteCertificate;
import dev.grep11.proto.certmgr.GetAdminKeyRequest;
import dev.grep11.proto.certmgr.GetCertificateRequest;
import dev.grep11.proto.certmgr.SignedCommand;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.spec.ECGenParameterSpec;
import java.sql.DriverManager;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The properties S1 to S16 of signed administration, over gRPC, TLS and the real store. */
class CertificateManagerTest {
  private static final Map<String, Object> INVITED =
      Map.of(
          "/enrolment", "invited",
          "/limits/administrativeCallsPerMinute", 1_000_000,
          "/store/leaseSeconds", 5);

  private static final Set<String> PROMISED_REASONS = promisedReasons();

  private static Set<String> promisedReasons() {
    try (var lines =
        Files.lines(Path.of("..", "proto", "src", "main", "protobuf", "grep11", "certmgr.proto"))) {
      return lines
          .takeWhile(line -> line.startsWith("//"))
          .flatMap(line -> Stream.of(line.split("[^a-z-]+", -1)))
          .collect(Collectors.toUnmodifiableSet());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @TempDir Path directory = Path.of("");

  private final List<Gateway> others = new ArrayList<>();
  private @Nullable RunningGateway started;

  @AfterEach
  void stop() {
    others.forEach(Gateway::close);
    if (started != null) {
      started.close();
    }
  }

  private RunningGateway running() {
    return Objects.requireNonNull(started);
  }

  private void start(Map<String, Object> settings) throws Exception {
    started = RunningGateway.start(directory.resolve("gateway"), settings);
  }

  /** Another gateway on the same store and token. */
  private Gateway another(String name, Map<String, Object> settings) {
    var other = running().another(name, settings);
    others.add(other);
    return other;
  }

  private CertificateManagerBlockingStub client(Gateway gateway, String... headers)
      throws Exception {
    return running().certificateManager(gateway, headers);
  }

  private TestAdministrator admin(String subject, KeyPair pair) throws Exception {
    return TestAdministrator.granted(running(), subject, pair);
  }

  private String invite(String subject) {
    return TestAdministrator.invite(running(), subject);
  }

  private static byte[] ca() throws Exception {
    return DemoCa.create().certificate().getEncoded();
  }

  private static void refused(Status.Code code, String message, Supplier<?> call) {
    assertThatThrownBy(call::get)
        .isInstanceOfSatisfying(
            StatusRuntimeException.class,
            refusal -> {
              assertThat(refusal.getStatus().getCode())
                  .as(refusal.getStatus().toString())
                  .isEqualTo(code);
              assertThat(refusal.getStatus().getDescription()).contains(message);
              assertThat(PROMISED_REASONS).contains(reason(refusal));
            });
  }

  private static String reason(StatusRuntimeException refusal) {
    var trailers = Objects.requireNonNull(refusal.getTrailers());
    return String.valueOf(
        trailers.get(Metadata.Key.of("grep11-reason", Metadata.ASCII_STRING_MARSHALLER)));
  }

  @Test
  void everyReasonOfARefusalIsPromisedInTheProto() {
    assertThat(PROMISED_REASONS)
        .containsAll(
            Stream.of(CommandRefusedException.Reason.values())
                .map(CommandRefusedException.Reason::word)
                .toList());
  }

  @Test
  void s1EveryFieldOfThePayloadIsSigned() throws Exception {
    start(INVITED);
    var admin = admin("admin", p256()).enrolled();
    var good = admin.set("a", ca());
    var signed = admin.sign(good);
    List<Consumer<Command.Builder>> changes =
        List.of(
            c -> c.setInstance(UUID.randomUUID().toString()),
            c -> c.setIssuer("https://other.test"),
            c -> c.setSubject("other"),
            c -> c.setKeyId(ByteString.copyFrom(new byte[32])),
            c -> c.setCounter(c.getCounter() + 1),
            c -> c.setExpectedGeneration(c.getExpectedGeneration() + 1),
            c -> c.setTimeMillis(c.getTimeMillis() + 1),
            c -> c.getSetCertificateBuilder().setId("b"),
            c -> c.getSetCertificateBuilder().setAllowPublicRoot(true),
            c -> c.getSetCertificateBuilder().addRequiredClientChain(ByteString.copyFromUtf8("x")),
            c -> c.setDeleteCertificate(DeleteCertificate.newBuilder().setId("a")));

    for (var change : changes) {
      var changed = good.clone();
      change.accept(changed);
      refused(
          Status.Code.PERMISSION_DENIED,
          "signature rejected",
          () ->
              admin.client.execute(
                  signed.toBuilder().setPayload(changed.build().toByteString()).build()));
    }
    refused(
        Status.Code.INVALID_ARGUMENT, "version", () -> admin.execute(good.clone().setVersion(2)));
    // Signed for another purpose.
    var payload = good.build().toByteArray();
    refused(
        Status.Code.PERMISSION_DENIED,
        "signature rejected",
        () ->
            admin.client.execute(
                SignedCommand.newBuilder()
                    .setPayload(ByteString.copyFrom(payload))
                    .setSignature(signature(admin.pair, Administration.NEW_KEY_CONTEXT, payload))
                    .build()));
    assertThat(admin.list().getCertificatesCount()).isZero();
    assertThat(admin.client.execute(signed).getLocked()).isTrue();
  }

  @Test
  void s2ACommandForOneInstanceIsInvalidOnAnother() throws Exception {
    start(INVITED);
    var admin = admin("admin", p256()).enrolled();
    var elsewhere = admin.set("a", ca()).setInstance(UUID.randomUUID().toString());
    refused(Status.Code.PERMISSION_DENIED, "signature rejected", () -> admin.execute(elsewhere));
    refused(
        Status.Code.INVALID_ARGUMENT,
        "names another",
        () ->
            admin.client.getAdminKey(
                GetAdminKeyRequest.newBuilder().setInstance(UUID.randomUUID().toString()).build()));
  }

  @Test
  void s3AReplayIsRefusedAtOnceAfterARestartAndThroughAnotherGateway() throws Exception {
    start(INVITED);
    var admin = admin("admin", p256()).enrolled();
    var signed = admin.sign(admin.set("a", ca()));
    admin.client.execute(signed);

    refused(Status.Code.ABORTED, "the registry changed", () -> admin.client.execute(signed));
    var other = admin.through(another("other", INVITED));
    refused(Status.Code.ABORTED, "the registry changed", () -> other.client.execute(signed));
    // The generation of the time, and the counter of then.
    var used = admin.set("b", ca()).setCounter(signedCounter(signed));
    refused(Status.Code.ABORTED, "counter", () -> admin.execute(used));
    running().gateway.close();
    var again = admin.through(another("again", INVITED));
    refused(Status.Code.ABORTED, "the registry changed", () -> again.client.execute(signed));
    assertThat(again.list().getCertificatesCount()).isOne();
  }

  private static long signedCounter(SignedCommand signed) throws Exception {
    return Command.parseFrom(signed.getPayload()).getCounter();
  }

  @Test
  void s4AnOldCommandDeliveredLateUndoesNothing() throws Exception {
    start(INVITED);
    var admin = admin("admin", p256()).enrolled();
    var late = admin.sign(admin.set("a", ca()).setCounter(50));
    admin.execute(admin.set("a", ca()));
    admin.execute(admin.delete("a"));
    refused(Status.Code.ABORTED, "the registry changed", () -> admin.client.execute(late));
    assertThat(admin.list().getLocked()).isFalse();
  }

  @Test
  void s5AFirstKeyNeedsInvitationAndProofAndNeverReplacesAnother() throws Exception {
    start(INVITED);
    var admin = admin("admin", p256());
    assertThat(admin.state().getPublicKey().isEmpty()).isTrue();
    refused(
        Status.Code.PERMISSION_DENIED,
        "no valid invitation",
        () -> admin.execute(admin.setKey("")));
    assertThat(running().grant("somebody-else", "Certificate Manager")).isTrue();
    var foreign = invite("somebody-else");
    refused(
        Status.Code.PERMISSION_DENIED,
        "no valid invitation",
        () -> admin.execute(admin.setKey(foreign)));
    var code = invite("admin");
    var unproven = admin.setKey(code).build().toByteArray();
    refused(
        Status.Code.PERMISSION_DENIED,
        "signature rejected",
        () ->
            admin.client.execute(
                SignedCommand.newBuilder()
                    .setPayload(ByteString.copyFrom(unproven))
                    .setSignature(signature(p256(), Administration.COMMAND_CONTEXT, unproven))
                    .build()));
    admin.execute(admin.setKey(code));
    assertThat(admin.state().getPublicKey().toByteArray())
        .isEqualTo(admin.pair.getPublic().getEncoded());

    var thief = admin.through(running().gateway);
    thief.pair = p256();
    refused(Status.Code.ALREADY_EXISTS, "adminkey update", () -> thief.execute(thief.setKey(code)));
    // The code was for once.
    admin.execute(admin.command().setDeleteAdminKey(DeleteAdminKey.getDefaultInstance()));
    refused(
        Status.Code.PERMISSION_DENIED,
        "no valid invitation",
        () -> thief.execute(thief.setKey(code)));
  }

  @Test
  void s5InModeOpenATokenAndAProofAreEnough() throws Exception {
    start(Map.of());
    var admin = admin("admin", ed25519());
    assertThat(admin.execute(admin.setKey("")).getGeneration()).isOne();
  }

  @Test
  void s5InModeCountersignedAnotherAdministratorVouchesForTheKey() throws Exception {
    var settings = new HashMap<>(INVITED);
    settings.put("/enrolment", "countersigned");
    start(settings);
    var first = admin("first", p256()).enrolled();
    var second = admin("second", p256());
    refused(
        Status.Code.PERMISSION_DENIED,
        "must countersign",
        () -> second.execute(second.setKey(invite("second"))));
    first.execute(
        first
            .command()
            .setCountersign(
                Countersign.newBuilder()
                    .setIssuer(ISSUER)
                    .setSubject("second")
                    .setKeyFingerprint(
                        ByteString.copyFrom(sha256(second.pair.getPublic().getEncoded())))));
    var another = second.through(running().gateway);
    another.pair = p256();
    assertThatThrownBy(() -> another.execute(another.setKey("")))
        .isInstanceOfSatisfying(
            StatusRuntimeException.class,
            refusal -> assertThat(reason(refusal)).isEqualTo("countersignature-needed"));
    second.execute(second.setKey(""));
  }

  private static Command.Builder countersigning(
      TestAdministrator signer, TestAdministrator newcomer) {
    return signer
        .command()
        .setCountersign(
            Countersign.newBuilder()
                .setIssuer(ISSUER)
                .setSubject(newcomer.subject)
                .setKeyFingerprint(
                    ByteString.copyFrom(sha256(newcomer.pair.getPublic().getEncoded()))));
  }

  @Test
  void aCountersignatureEndsWithTheKeyThatGaveIt() throws Exception {
    var settings = new HashMap<>(INVITED);
    settings.put("/enrolment", "countersigned");
    start(settings);
    var signer = admin("signer", p256()).enrolled();
    var newcomer = admin("newcomer", p256());
    signer.execute(countersigning(signer, newcomer));
    var next = p256();
    assertThat(signer.client.execute(signer.update(next)).getNotesList())
        .anySatisfy(note -> assertThat(note).contains("newcomer"));
    signer.pair = next;
    refused(
        Status.Code.PERMISSION_DENIED,
        "must countersign",
        () -> newcomer.execute(newcomer.setKey("")));

    signer.execute(countersigning(signer, newcomer));
    try (var host = Host.open(running().config)) {
      var administrators = host.administrators();
      assertThat(administrators.leaves(running().instance))
          .singleElement()
          .satisfies(leave -> {
            assertThat(leave.subject().id()).isEqualTo("newcomer");
            assertThat(leave.by()).contains(new Subject(ISSUER, "signer"));
          });
      administrators
          .recover(
              running().instance,
              new Subject(ISSUER, "signer"),
              administrators.list(running().instance).getFirst().fingerprint(),
              Duration.ofHours(1))
          .code()
          .close();
      assertThat(administrators.leaves(running().instance))
          .singleElement()
          .satisfies(leave -> assertThat(leave.subject().id()).isEqualTo("signer"));
    }
  }

  @Test
  void theHostHandsTheCasOfAnAdministratorWhoIsGoneToAnother() throws Exception {
    start(INVITED);
    var gone = admin("gone", p256()).enrolled();
    var heir = admin("heir", p256()).enrolled();
    gone.execute(gone.set("a", ca()));
    try (var host = Host.open(running().config)) {
      var administrators = host.administrators();
      var from = new Subject(ISSUER, "gone");
      var to = new Subject(ISSUER, "heir");
      assertThatThrownBy(() ->
              administrators.handOver(running().instance, from, new Subject(ISSUER, "nobody")))
          .hasMessageContaining("no other administrator");
      assertThat(administrators.handOver(running().instance, from, to)).isOne();
      assertThat(administrators.ownersWithoutKey(running().instance)).isEmpty();
      assertThatThrownBy(() -> administrators.handOver(running().instance, from, to))
          .hasMessageContaining("no client CA");
    }
    await().atMost(Duration.ofSeconds(10)).until(() -> heir.list().getCertificatesCount() == 1);
    refused(
        Status.Code.FAILED_PRECONDITION, "not registered", () -> gone.execute(gone.delete("a")));
    assertThat(heir.execute(heir.delete("a")).getLocked()).isFalse();
    await()
        .atMost(Duration.ofSeconds(10))
        .untilAsserted(
            () -> assertThat(running().events("registered certificate a: sha256 ")).hasSize(1));
    assertThat(running().events("removed certificate a: sha256 "))
        .singleElement()
        .satisfies(event -> {
          assertThat(event.at("/initiator/id").asText()).isEqualTo("heir");
          assertThat(event.at("/initiator/credential/authority").asText()).isEqualTo(ISSUER);
          // That of the token, which has none.
          assertThat(event.at("/initiator/name").isMissingNode()).isTrue();
        });
  }

  @Test
  void onlyWhoHasTheRoleIsInvitedWhereTokensBringNone() throws Exception {
    start(INVITED);
    running().grant("reader", "Reader");
    var instance = running().instance;
    try (var host = Host.open(running().config)) {
      var administrators = host.administrators();
      for (var subject : List.of("reader", "nobody", RunningGateway.MANAGER)) {
        assertThatThrownBy(() ->
                administrators.invite(instance, new Subject(ISSUER, subject), Duration.ofHours(1)))
            .hasMessageContaining(subject + " of " + ISSUER + " has not the role")
            .hasMessageContaining("grep11 grant add");
      }
      assertThat(administrators.leaves(instance)).isEmpty();
    }
    var rolesInTokens =
        GatewayConfig.read(
            running().demo.config(),
            Map.of(
                "/audit/file",
                "other.jsonl",
                "/issuers",
                List.of(
                    Map.of(
                        "issuer", ISSUER,
                        "jwksFile", "jwks.json",
                        "audience", RunningGateway.AUDIENCE,
                        "instanceClaim", "instance",
                        "rolesClaim", "roles"))));
    try (var host = Host.open(rolesInTokens);
        var code =
            host.administrators()
                .invite(instance, new Subject(ISSUER, "nobody"), Duration.ofHours(1))
                .code()) {
      assertThat(code.chars()).isNotEmpty();
    }
  }

  @Test
  void leaveToEnrolCanBeWithdrawnOnTheHost() throws Exception {
    start(INVITED);
    var newcomer = admin("newcomer", p256());
    var code = invite("newcomer");
    try (var host = Host.open(running().config)) {
      var administrators = host.administrators();
      var subject = new Subject(ISSUER, "newcomer");
      administrators.withdraw(running().instance, subject);
      assertThat(administrators.leaves(running().instance)).isEmpty();
      assertThatThrownBy(() -> administrators.withdraw(running().instance, subject))
          .hasMessageContaining("no leave");
    }
    refused(
        Status.Code.PERMISSION_DENIED,
        "no valid invitation",
        () -> newcomer.execute(newcomer.setKey(code)));
  }

  @Test
  void neitherAStrangerNorTheThiefOfATokenLocksAnAdministratorOut() throws Exception {
    var settings = new HashMap<>(INVITED);
    settings.put("/limits/administrativeCallsPerMinute", 10);
    start(settings);
    var instance = running().instance.toString();
    assertThat(running().grant("admin", "Certificate Manager")).isTrue();
    var stranger = client(running().gateway);
    var calls = new ArrayList<com.google.common.util.concurrent.ListenableFuture<?>>();
    var async = CertificateManagerGrpc.newFutureStub(stranger.getChannel());
    for (int i = 0; i < 40; i++) {
      calls.add(async.getAdminKey(GetAdminKeyRequest.newBuilder().setInstance(instance).build()));
    }
    for (var call : calls) {
      assertThatThrownBy(call::get).hasMessageContaining("UNAUTHENTICATED");
    }
    // From the same address, at once.
    var admin = new TestAdministrator(running(), "admin", p256(), running().gateway);
    admin.execute(admin.setKey(invite("admin")));
    var template = admin.command();

    // A thief has the token and not the key.
    var thief = new TestAdministrator(running(), "admin", p256(), running().gateway);
    var stolen =
        thief.sign(
            template
                .clone()
                .setKeyId(ByteString.copyFrom(sha256(thief.pair.getPublic().getEncoded())))
                .setSetCertificate(
                    dev.grep11.proto.certmgr.SetCertificate.newBuilder().setId("x")));
    // At once: past the limit of an address each refusal is answered a second late.
    var thefts = CertificateManagerGrpc.newFutureStub(thief.client.getChannel());
    var attempts = Stream.generate(() -> thefts.execute(stolen)).limit(20).toList();
    var refusals =
        attempts.stream().map(theft -> catchThrowable(theft::get)).map(Status::fromThrowable);
    assertThat(refusals.map(Status::getCode))
        .containsOnly(Status.Code.PERMISSION_DENIED, Status.Code.RESOURCE_EXHAUSTED);
    var result =
        admin.execute(
            template.setSetCertificate(
                dev.grep11.proto.certmgr.SetCertificate.newBuilder()
                    .setId("a")
                    .setCertificate(ByteString.copyFrom(ca()))));
    assertThat(result.getLocked()).isTrue();

    running().gateway.close();
    assertThat(running().events("hs-crypto.mtlscert.attempts"))
        .singleElement()
        .satisfies(event ->
            assertThat(event.at("/reason/reasonForFailure").asText()).contains("more calls"));
  }

  @Test
  void s6AnUpdateIsSignedByBothKeysAndTheOldOneEndsAtOnce() throws Exception {
    start(INVITED);
    var admin = admin("admin", p256()).enrolled();
    var next = ed25519();
    var update = admin.update(next);
    refused(
        Status.Code.PERMISSION_DENIED,
        "signature rejected",
        () -> admin.client.execute(update.toBuilder().clearNewKeySignature().build()));
    var old = admin.pair;
    admin.client.execute(update);
    var counter = admin.state().getLastCounter();
    assertThat(counter).isEqualTo(2);
    refused(
        Status.Code.PERMISSION_DENIED,
        "signature rejected",
        () -> admin.execute(admin.set("a", bytes(CertificateManagerTest::ca))));
    admin.pair = next;
    admin.execute(admin.set("a", ca()));
    assertThat(admin.pair).isNotEqualTo(old);
  }

  private interface Making {
    byte[] make() throws Exception;
  }

  private static byte[] bytes(Making making) {
    try {
      return making.make();
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }

  @Test
  void s7AnAdministratorSignsForNobodyElseAndTouchesNobodyElsesCertificates() throws Exception {
    start(INVITED);
    var first = admin("first", p256()).enrolled();
    var second = admin("second", p256()).enrolled();
    first.execute(first.set("a", ca()));
    refused(Status.Code.NOT_FOUND, "no certificate", () -> second.execute(second.delete("a")));
    refused(
        Status.Code.NOT_FOUND,
        "no certificate",
        () ->
            second.client.getCertificate(
                GetCertificateRequest.newBuilder()
                    .setInstance(running().instance.toString())
                    .setId("a")
                    .build()));
    assertThat(second.list().getCertificatesCount()).isZero();
    assertThat(second.list().getOtherCertificates()).isOne();
    // What one signed does not pass under the other's token, nor does one sign as the other.
    var signed = first.sign(first.delete("a"));
    refused(
        Status.Code.PERMISSION_DENIED, "signature rejected", () -> second.client.execute(signed));
    var asFirst = first.delete("a").build().toByteArray();
    refused(
        Status.Code.PERMISSION_DENIED,
        "signature rejected",
        () -> first.client.execute(second.sign(asFirst)));
    // Own certificates under the same id, and a hand-over that would clash.
    second.execute(second.set("a", ca()));
    refused(
        Status.Code.FAILED_PRECONDITION,
        "still hold certificates (1)",
        () -> first.execute(first.command().setDeleteAdminKey(DeleteAdminKey.newBuilder())));
    var force = DeleteAdminKey.newBuilder().setForce(true);
    refused(
        Status.Code.FAILED_PRECONDITION,
        "same id",
        () -> first.execute(first.command().setDeleteAdminKey(force)));
    second.execute(second.delete("a"));
    assertThat(first.execute(first.command().setDeleteAdminKey(force)).getAdoptedBy())
        .isEqualTo("second");
    assertThat(second.list().getCertificatesCount()).isOne();
  }

  @Test
  void s8TheRegisteredKeyDecidesTheAlgorithm() throws Exception {
    start(INVITED);
    var generator = KeyPairGenerator.getInstance("EC");
    generator.initialize(new ECGenParameterSpec("secp384r1"));
    var p384 = generator.generateKeyPair();
    var rsa = KeyPairGenerator.getInstance("RSA");
    rsa.initialize(2048);
    var good = p256().getPublic().getEncoded();
    var offCurve = good.clone();
    offCurve[offCurve.length - 1] ^= 1;
    var trailing = java.util.Arrays.copyOf(good, good.length + 1);
    var small = ed25519().getPublic().getEncoded();
    java.util.Arrays.fill(small, 12, small.length, (byte) 0);
    var admin = admin("admin", p256());
    var code = invite("admin");
    for (var key :
        Stream.of(
                p384.getPublic().getEncoded(),
                rsa.generateKeyPair().getPublic().getEncoded(),
                offCurve,
                trailing,
                small,
                new byte[0])
            .toList()) {
      var command = admin.setKey(code);
      command.getSetAdminKeyBuilder().setPublicKey(ByteString.copyFrom(key));
      command.setKeyId(ByteString.copyFrom(sha256(key)));
      refused(Status.Code.INVALID_ARGUMENT, "public key", () -> admin.execute(command));
    }
    admin.execute(admin.setKey(code));
    // An Ed25519 signature for a P-256 key is none, whatever else fits.
    var payload = admin.set("a", ca()).build().toByteArray();
    refused(
        Status.Code.PERMISSION_DENIED,
        "signature rejected",
        () ->
            admin.client.execute(
                SignedCommand.newBuilder()
                    .setPayload(ByteString.copyFrom(payload))
                    .setSignature(signature(ed25519(), Administration.COMMAND_CONTEXT, payload))
                    .build()));
  }

  @Test
  void s9UntilTokenAndRoleAreGoodEveryRefusalIsTheSame() throws Exception {
    start(INVITED);
    running().grant("nobody-yet", "Reader");
    var answers = new ArrayList<String>();
    for (var header :
        List.of(
            "Bearer not-a-token",
            "Bearer " + running().token("never-seen"),
            "Bearer " + running().token("nobody-yet"),
            "Bearer " + running().token(RunningGateway.MANAGER),
            "Bearer " + running().token("x", c -> c.audience("other")),
            "Bearer "
                + running()
                    .token(
                        "x", c -> c.expirationTime(Date.from(Instant.now().minusSeconds(3600)))))) {
      var client =
          client(running().gateway, "authorization", header, "x-correlation-id", "the-same");
      for (Supplier<?> call :
          List.<Supplier<?>>of(
              () -> client.execute(SignedCommand.getDefaultInstance()),
              () -> client.getAdminKey(GetAdminKeyRequest.getDefaultInstance()),
              () -> client.checkCertificate(CheckCertificateRequest.getDefaultInstance()))) {
        assertThatThrownBy(call::get)
            .isInstanceOfSatisfying(
                StatusRuntimeException.class, refusal -> answers.add(everything(refusal)));
      }
    }
    assertThat(answers).hasSize(18);
    assertThat(answers.stream().distinct()).hasSize(1);
    assertThat(answers.getFirst()).contains("UNAUTHENTICATED").contains("not authorised");
    // The audit log knows what it was.
    assertThat(
            running().audited("the-same").stream()
                .map(event -> event.get("reason").toString())
                .distinct()
                .count())
        .isGreaterThan(3);
  }

  private static String everything(StatusRuntimeException refusal) {
    var trailers = refusal.getTrailers() == null ? new Metadata() : refusal.getTrailers();
    var text = new StringBuilder(refusal.getStatus().toString());
    for (var key : new java.util.TreeSet<>(trailers.keys())) {
      text.append('\n')
          .append(key)
          .append('=')
          .append(trailers.get(Metadata.Key.of(key, Metadata.ASCII_STRING_MARSHALLER)));
    }
    return text.toString();
  }

  @Test
  void s10APayloadCountsOnlyInItsOneEncoding() throws Exception {
    start(INVITED);
    var admin = admin("admin", p256()).enrolled();
    var command = admin.set("a", ca());
    var canonical = command.build().toByteString();
    var unknown =
        UnknownFieldSet.newBuilder()
            .addField(99, UnknownFieldSet.Field.newBuilder().addVarint(1).build())
            .build();
    var nested = command.clone();
    nested.getSetCertificateBuilder().setUnknownFields(unknown);
    for (var payload :
        List.of(
            // Unknown fields, outside and inside; a repeated one; a default spelled out; a cut.
            command.clone().setUnknownFields(unknown).build().toByteString(),
            nested.build().toByteString(),
            canonical.concat(Command.newBuilder().setVersion(1).build().toByteString()),
            ByteString.copyFrom(new byte[] {0x08, 0x01}).concat(canonical),
            canonical.concat(ByteString.copyFrom(new byte[] {0x50})),
            canonical.concat(ByteString.copyFrom(new byte[] {0})),
            canonical.substring(0, canonical.size() - 1),
            ByteString.EMPTY,
            Command.newBuilder(command.build()).clearAction().build().toByteString())) {
      refused(
          Status.Code.INVALID_ARGUMENT,
          "",
          () -> admin.client.execute(admin.sign(payload.toByteArray())));
    }
    var signed = admin.sign(command);
    refused(
        Status.Code.INVALID_ARGUMENT,
        "does not know",
        () -> admin.client.execute(signed.toBuilder().setUnknownFields(unknown).build()));
    // A second value for a field of the envelope, of which a parser takes the last.
    for (var twice :
        List.of(
            SignedCommand.newBuilder().setPayload(ByteString.copyFromUtf8("first")).build(),
            SignedCommand.newBuilder().setSignature(signed.getSignature()).build())) {
      refused(
          Status.Code.INVALID_ARGUMENT,
          "not a SignedCommand",
          () ->
              executeBytes(
                  admin.client.getChannel(), twice.toByteString().concat(signed.toByteString())));
    }
    var pem = "-----BEGIN CERTIFICATE-----\n".getBytes(US_ASCII);
    refused(Status.Code.INVALID_ARGUMENT, "certificate", () -> admin.execute(admin.set("a", pem)));
    assertThat(admin.list().getCertificatesCount()).isZero();
  }

  private static CommandResult executeBytes(Channel channel, ByteString bytes) {
    var marshaller =
        new MethodDescriptor.Marshaller<ByteString>() {
          @Override
          public InputStream stream(ByteString value) {
            return value.newInput();
          }

          @Override
          public ByteString parse(InputStream stream) {
            throw new UnsupportedOperationException("answers are parsed as what they are");
          }
        };
    var method = CertificateManagerGrpc.getExecuteMethod();
    return ClientCalls.blockingUnaryCall(
        channel,
        method.toBuilder(marshaller, method.getResponseMarshaller()).build(),
        CallOptions.DEFAULT.withDeadlineAfter(60, TimeUnit.SECONDS),
        bytes);
  }

  @Test
  void s11IdsAndCertificatesHaveLimits() throws Exception {
    start(INVITED);
    var admin = admin("admin", p256()).enrolled();
    var certificate = ca();
    for (var id : List.of("", "a b", "a/b", "ä", "a".repeat(65), "a\u0000")) {
      refused(
          Status.Code.INVALID_ARGUMENT,
          "certificate id",
          () -> admin.execute(admin.set(id, certificate)));
    }
    refused(
        Status.Code.INVALID_ARGUMENT,
        "16384 bytes",
        () -> admin.execute(admin.set("a", new byte[16 * 1024 + 1])));
    admin.execute(admin.set("A-z.0_9" + "a".repeat(57), certificate));
    assertThat(admin.list().getCertificates(0).getId()).hasSize(64);
  }

  @Test
  void s12TheCertificateManagerIsReachableWhileTheLockIsOn() throws Exception {
    start(INVITED);
    var admin = admin("admin", p256()).enrolled();
    var result = admin.execute(admin.set("a", ca()));
    assertThat(result.getLocked()).isTrue();
    assertThat(result.getNotesList()).anyMatch(note -> note.contains("now on"));
    assertThat(result.getConfirmedCount()).isOne();
    // On a new connection, without a certificate.
    var off = admin.through(running().gateway).execute(admin.delete("a"));
    assertThat(off.getLocked()).isFalse();
    assertThat(off.getNotesList()).anyMatch(note -> note.contains("now off"));
  }

  @Test
  void s13EveryAttemptIsAuditedAndNoSecretIs() throws Exception {
    start(INVITED);
    var admin = admin("admin", p256());
    var code = invite("admin");
    var signed = admin.sign(admin.setKey(code));
    var token = running().token("admin");
    client(running().gateway, "authorization", "Bearer " + token, "x-correlation-id", "first-key")
        .execute(signed);
    var refusedId = "second-time";
    refused(
        Status.Code.ALREADY_EXISTS,
        "",
        () ->
            bytesOf(() ->
                client(
                        running().gateway,
                        "authorization",
                        "Bearer " + token,
                        "x-correlation-id",
                        refusedId)
                    .execute(signed)));

    var done = running().audited("first-key").getFirst();
    assertThat(done.get("action").asText()).isEqualTo("hs-crypto.mtlscert-admin-key.create");
    assertThat(done.get("outcome").asText()).isEqualTo("success");
    assertThat(done.get("severity").asText()).isEqualTo("critical");
    assertThat(done.at("/initiator/id").asText()).isEqualTo("admin");
    assertThat(done.at("/requestData/accountId").asText()).isEqualTo("admin");
    var refusal = running().audited(refusedId).getFirst();
    assertThat(refusal.get("outcome").asText()).isEqualTo("failure");
    var all = Files.readString(running().directory.resolve("audit.jsonl"));
    assertThat(all).doesNotContain(code).doesNotContain(token);
    assertThat(all)
        .doesNotContain(
            java.util.Base64.getEncoder().encodeToString(signed.getSignature().toByteArray()));
  }

  private interface Calling {
    Object call() throws Exception;
  }

  private static Object bytesOf(Calling calling) {
    try {
      return calling.call();
    } catch (StatusRuntimeException e) {
      throw e;
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }

  @Test
  void s14EveryChangeMovesTheGenerationOfTheRegistry() throws Exception {
    start(INVITED);
    var admin = admin("admin", p256()).enrolled();
    assertThat(admin.state().getGeneration()).isEqualTo(1);
    assertThat(admin.execute(admin.set("a", ca())).getGeneration()).isEqualTo(2);
    var next = p256();
    assertThat(admin.client.execute(admin.update(next)).getGeneration()).isEqualTo(3);
    admin.pair = next;
    assertThat(admin.execute(admin.delete("a")).getGeneration()).isEqualTo(4);
    assertThat(
            admin
                .execute(admin.command().setDeleteAdminKey(DeleteAdminKey.getDefaultInstance()))
                .getGeneration())
        .isEqualTo(5);
  }

  @Test
  void s15ALostKeyIsTakenAwayOnTheHostAndItsCertificatesStay() throws Exception {
    start(INVITED);
    var admin = admin("admin", p256()).enrolled();
    admin.execute(admin.set("a", ca()));
    var subject = new Subject(ISSUER, "admin");
    String code;
    try (var host = Host.open(running().config)) {
      var administrators = host.administrators();
      var standing = administrators.list(running().instance).getFirst();
      assertThat(standing.certificates()).isOne();
      assertThatThrownBy(() ->
              administrators.recover(
                  running().instance, subject, "00".repeat(32), Duration.ofHours(1)))
          .hasMessageContaining(standing.fingerprint());
      code =
          new String(
              administrators
                  .recover(running().instance, subject, standing.fingerprint(), Duration.ofHours(1))
                  .code()
                  .chars());
    }
    refused(
        Status.Code.FAILED_PRECONDITION, "adminkey set", () -> admin.execute(admin.delete("a")));
    admin.pair = p256();
    admin.execute(admin.setKey(code));
    assertThat(admin.execute(admin.delete("a")).getLocked()).isFalse();
  }

  @Test
  void s16WhatCannotBeVerifiedRefuses() throws Exception {
    start(INVITED);
    var admin = admin("admin", p256()).enrolled();
    var before = admin.state().getGeneration();
    var set = admin.set("a", ca());
    set.getSetCertificateBuilder().addRequiredClientChain(ByteString.copyFrom(ca()));
    refused(Status.Code.FAILED_PRECONDITION, "nothing was changed", () -> admin.execute(set));
    assertThat(admin.state().getGeneration()).isEqualTo(before);
    assertThat(admin.list().getLocked()).isFalse();

    var signed = admin.sign(admin.set("a", ca()));
    spoilTheRegistry();
    refused(Status.Code.UNAVAILABLE, "", () -> admin.client.execute(signed));
    // No grant can be confirmed either: nobody is an administrator any more.
    refused(Status.Code.UNAVAILABLE, "", admin::list);
  }

  private void spoilTheRegistry() throws Exception {
    try (var files = Files.list(running().config.store())) {
      var database =
          files.filter(file -> file.toString().endsWith(".db")).findFirst().orElseThrow();
      try (var connection = DriverManager.getConnection("jdbc:sqlite:" + database);
          var statement = connection.createStatement()) {
        statement.execute("PRAGMA busy_timeout = 10000");
        statement.executeUpdate("UPDATE registry SET sealed = x'00'");
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"invited", "countersigned"})
  void aValidTokenOfANeverEnrolledSubjectChangesNothing(String enrolment) throws Exception {
    var settings = new HashMap<>(INVITED);
    settings.put("/enrolment", enrolment);
    start(settings);
    var enrolled = admin("enrolled", p256()).enrolled();
    enrolled.execute(enrolled.set("a", ca()));
    var before = enrolled.state();
    var stranger = admin("stranger", p256());

    var vouching =
        Countersign.newBuilder()
            .setIssuer(ISSUER)
            .setSubject("stranger")
            .setKeyFingerprint(ByteString.copyFrom(sha256(stranger.pair.getPublic().getEncoded())));
    var force = DeleteAdminKey.newBuilder().setForce(true);
    for (var command :
        List.of(
            stranger.setKey(""),
            stranger.setKey("guess"),
            stranger.set("a", ca()),
            stranger.delete("a"),
            stranger.command().setCountersign(vouching),
            stranger.command().setDeleteAdminKey(force),
            // In the name of who is enrolled, with a key of one's own and with the right key's id.
            stranger.delete("a").setSubject("enrolled"),
            stranger.delete("a").setSubject("enrolled").setKeyId(enrolled.command().getKeyId()))) {
      assertThatThrownBy(() -> stranger.execute(command))
          .isInstanceOf(StatusRuntimeException.class)
          .hasMessageMatching("(?s)(PERMISSION_DENIED|FAILED_PRECONDITION).*");
    }
    var next = p256();
    assertThatThrownBy(() -> stranger.client.execute(stranger.update(next)))
        .isInstanceOf(StatusRuntimeException.class);

    assertThat(enrolled.state()).isEqualTo(before);
    assertThat(stranger.state().getPublicKey().isEmpty()).isTrue();
    assertThat(enrolled.list().getCertificatesCount()).isOne();
    assertThat(enrolled.list().getOtherCertificates()).isZero();
  }

  @Test
  void rolesAreApart() throws Exception {
    start(INVITED);
    var admin = admin("admin", p256()).enrolled();
    assertThatThrownBy(() ->
            running()
                .client("authorization", "Bearer " + running().token(admin.subject))
                .getMechanismList(GetMechanismListRequest.getDefaultInstance()))
        .isInstanceOf(StatusRuntimeException.class)
        .hasMessageContaining("PERMISSION_DENIED");
  }

  @Test
  void whereTheOperatorRequiresCertificatesTheLastCaStays() throws Exception {
    var settings = new HashMap<>(INVITED);
    settings.put("/clientCertificates", "required");
    start(settings);
    var admin = admin("admin", p256()).enrolled();
    admin.execute(admin.set("a", ca()));
    refused(
        Status.Code.FAILED_PRECONDITION, "last client CA", () -> admin.execute(admin.delete("a")));
    admin.execute(admin.set("b", ca()));
    assertThat(admin.execute(admin.delete("a")).getLocked()).isTrue();
  }

  @Test
  void theLaxestGatewayDoesNotDecide() throws Exception {
    start(INVITED);
    var admin = admin("admin", p256()).enrolled();
    admin.execute(admin.set("a", ca()));
    var strict = new HashMap<>(INVITED);
    strict.put("/clientCertificates", "required");
    strict.put("/enrolment", "countersigned");
    var other = another("strict", strict);

    refused(
        Status.Code.FAILED_PRECONDITION, "last client CA", () -> admin.execute(admin.delete("a")));
    var second = admin("second", p256());
    refused(Status.Code.PERMISSION_DENIED, "must countersign", second::enrolled);

    others.remove(other);
    other.close();
    second.enrolled();
    assertThat(admin.execute(admin.delete("a")).getLocked()).isFalse();
  }

  @Test
  void theAnswerNamesTheGatewaysThatActOnTheChange() throws Exception {
    start(INVITED);
    var admin = admin("admin", p256()).enrolled();
    another("other", INVITED);
    var result = admin.execute(admin.set("a", ca()));
    assertThat(result.getConfirmedList()).hasSize(2);
    assertThat(result.getOutstandingList()).isEmpty();
    assertThat(result.getBindingMillis()).isLessThanOrEqualTo(System.currentTimeMillis());
  }

  @Test
  void aGatewayThatDoesNotAnswerIsNamedWithTheTimeItsLeaseEnds() throws Exception {
    start(INVITED);
    var admin = admin("admin", p256()).enrolled();
    var command = admin.set("a", ca());
    var now = Instant.now();
    try (var host = Host.open(running().config)) {
      host.store()
          .change(change -> {
            change.put(
                // Of another store.leaseSeconds than this gateway's.
                new ReplicaRecord(
                    UUID.randomUUID(),
                    "cut-off",
                    now,
                    now.plusSeconds(60),
                    Set.of(),
                    Set.of(),
                    Set.of()));
            return true;
          });
    }

    var result = admin.execute(command);

    var answered = Instant.now();
    assertThat(result.getOutstandingList()).containsExactly("cut-off");
    assertThat(result.getConfirmedList()).hasSize(1).doesNotContain("cut-off");
    assertThat(Duration.between(now, answered))
        .isBetween(Duration.ofSeconds(2), Duration.ofSeconds(20));
    assertThat(Instant.ofEpochMilli(result.getBindingMillis()))
        .isEqualTo(now.plusSeconds(60).truncatedTo(ChronoUnit.MILLIS));
  }
}
