package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.ISSUER;
import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnknownFieldSet;
import dev.grep11.gateway.certmgr.Administration;
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
import dev.grep11.proto.certmgr.ListCertificatesRequest;
import dev.grep11.proto.certmgr.SetAdminKey;
import dev.grep11.proto.certmgr.SetCertificate;
import dev.grep11.proto.certmgr.SignedCommand;
import dev.grep11.proto.certmgr.UpdateAdminKey;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.MessageDigest;
import java.security.Signature;
import java.security.spec.ECGenParameterSpec;
import java.sql.DriverManager;
import java.time.Duration;
import java.time.Instant;
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
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The properties S1 to S16 of signed administration, over gRPC, TLS and the real store. */
class CertificateManagerTest {
  private static final String ROLE = "Certificate Manager";
  private static final Map<String, Object> INVITED =
      Map.of(
          "/enrolment", "invited",
          "/limits/administrativeCallsPerMinute", 1_000_000,
          "/store/leaseSeconds", 5);

  @TempDir Path directory = Path.of("");

  private final List<ManagedChannel> channels = new ArrayList<>();
  private final List<Gateway> others = new ArrayList<>();
  private @Nullable RunningGateway started;

  @AfterEach
  void stop() {
    channels.forEach(ManagedChannel::shutdownNow);
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
    var replaced = new HashMap<String, Object>();
    replaced.put("/listen/portBase", 0);
    replaced.put("/store/pollMillis", 100);
    replaced.put("/audit/file", name + ".jsonl");
    replaced.put(
        "/issuers",
        List.of(
            Map.of(
                "issuer", ISSUER, "jwksFile", "jwks.json", "audience", RunningGateway.AUDIENCE)));
    replaced.putAll(settings);
    var other = Gateway.start(GatewayConfig.read(running().demo.config(), replaced));
    others.add(other);
    return other;
  }

  private CertificateManagerBlockingStub client(Gateway gateway, String... headers)
      throws Exception {
    var channel =
        NettyChannelBuilder.forAddress("localhost", gateway.certificateManagerPort())
            .sslContext(
                GrpcSslContexts.forClient().trustManager(running().demo.ca().toFile()).build())
            .build();
    channels.add(channel);
    return CertificateManagerGrpc.newBlockingStub(channel)
        .withInterceptors(RunningGateway.headers(headers))
        .withDeadlineAfter(60, TimeUnit.SECONDS);
  }

  private static KeyPair p256() {
    try {
      var generator = KeyPairGenerator.getInstance("EC");
      generator.initialize(new ECGenParameterSpec("secp256r1"));
      return generator.generateKeyPair();
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }

  private static KeyPair ed25519() {
    try {
      return KeyPairGenerator.getInstance("Ed25519").generateKeyPair();
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }

  private static ByteString signature(KeyPair pair, String context, byte[] payload) {
    try {
      var signer =
          Signature.getInstance(
              pair.getPublic().getAlgorithm().equals("EC") ? "SHA256withECDSA" : "Ed25519");
      signer.initSign(pair.getPrivate());
      signer.update(context.getBytes(US_ASCII));
      signer.update((byte) 0);
      signer.update(payload);
      return ByteString.copyFrom(signer.sign());
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }

  private static byte[] sha256(byte[] data) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(data);
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }

  /** An administrator: a subject with the role, a key, and what the registry says. */
  private final class Admin {
    final String subject;
    final CertificateManagerBlockingStub client;
    KeyPair pair;

    Admin(String subject, KeyPair pair) throws Exception {
      this(subject, pair, running().gateway);
      assertThat(running().grant(subject, ROLE)).isTrue();
      await()
          .atMost(Duration.ofSeconds(10))
          .ignoreExceptions()
          .until(() -> !state().getCrn().isEmpty());
    }

    Admin(String subject, KeyPair pair, Gateway through) throws Exception {
      this.subject = subject;
      this.pair = pair;
      this.client = client(through, "authorization", "Bearer " + running().token(subject));
    }

    Admin through(Gateway gateway) throws Exception {
      return new Admin(subject, pair, gateway);
    }

    dev.grep11.proto.certmgr.AdminKey state() {
      return client.getAdminKey(
          GetAdminKeyRequest.newBuilder().setInstance(running().instance.toString()).build());
    }

    Command.Builder command() {
      var state = state();
      return Command.newBuilder()
          .setVersion(1)
          .setInstance(running().instance.toString())
          .setIssuer(state.getIssuer())
          .setSubject(state.getSubject())
          .setKeyId(ByteString.copyFrom(sha256(pair.getPublic().getEncoded())))
          .setCounter(state.getLastCounter() + 1)
          .setExpectedGeneration(state.getGeneration())
          .setTimeMillis(System.currentTimeMillis());
    }

    SignedCommand sign(byte[] payload) {
      return SignedCommand.newBuilder()
          .setPayload(ByteString.copyFrom(payload))
          .setSignature(signature(pair, Administration.COMMAND_CONTEXT, payload))
          .build();
    }

    SignedCommand sign(Command.Builder command) {
      return sign(command.build().toByteArray());
    }

    CommandResult execute(Command.Builder command) {
      return client.execute(sign(command));
    }

    Command.Builder setKey(String invitation) {
      return command()
          .setSetAdminKey(
              SetAdminKey.newBuilder()
                  .setPublicKey(ByteString.copyFrom(pair.getPublic().getEncoded()))
                  .setInvitation(invitation));
    }

    Admin enrolled() {
      execute(setKey(invite(subject)));
      return this;
    }

    SignedCommand update(KeyPair next) {
      var payload =
          command()
              .setUpdateAdminKey(
                  UpdateAdminKey.newBuilder()
                      .setPublicKey(ByteString.copyFrom(next.getPublic().getEncoded())))
              .build()
              .toByteArray();
      return sign(payload).toBuilder()
          .setNewKeySignature(signature(next, Administration.NEW_KEY_CONTEXT, payload))
          .build();
    }

    Command.Builder set(String id, byte[] certificate) {
      return command()
          .setSetCertificate(
              SetCertificate.newBuilder()
                  .setId(id)
                  .setCertificate(ByteString.copyFrom(certificate)));
    }

    Command.Builder delete(String id) {
      return command().setDeleteCertificate(DeleteCertificate.newBuilder().setId(id));
    }

    dev.grep11.proto.certmgr.CertificateList list() {
      return client.listCertificates(
          ListCertificatesRequest.newBuilder().setInstance(running().instance.toString()).build());
    }
  }

  private String invite(String subject) {
    try (var host = Host.open(running().config)) {
      return new String(
          host.administrators()
              .invite(running().instance, new Subject(ISSUER, subject), Duration.ofHours(1))
              .code()
              .chars());
    }
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
            });
  }

  @Test
  void s1EveryFieldOfThePayloadIsSigned() throws Exception {
    start(INVITED);
    var admin = new Admin("admin", p256()).enrolled();
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
    var admin = new Admin("admin", p256()).enrolled();
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
    var admin = new Admin("admin", p256()).enrolled();
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
    var admin = new Admin("admin", p256()).enrolled();
    var late = admin.sign(admin.set("a", ca()).setCounter(50));
    admin.execute(admin.set("a", ca()));
    admin.execute(admin.delete("a"));
    refused(Status.Code.ABORTED, "the registry changed", () -> admin.client.execute(late));
    assertThat(admin.list().getLocked()).isFalse();
  }

  @Test
  void s5AFirstKeyNeedsInvitationAndProofAndNeverReplacesAnother() throws Exception {
    start(INVITED);
    var admin = new Admin("admin", p256());
    assertThat(admin.state().getPublicKey().isEmpty()).isTrue();
    refused(
        Status.Code.PERMISSION_DENIED,
        "no valid invitation",
        () -> admin.execute(admin.setKey("")));
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
    var admin = new Admin("admin", ed25519());
    assertThat(admin.execute(admin.setKey("")).getGeneration()).isOne();
  }

  @Test
  void s5InModeCountersignedAnotherAdministratorVouchesForTheKey() throws Exception {
    var settings = new HashMap<>(INVITED);
    settings.put("/enrolment", "countersigned");
    start(settings);
    var first = new Admin("first", p256()).enrolled();
    var second = new Admin("second", p256());
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
    refused(
        Status.Code.PERMISSION_DENIED,
        "must countersign",
        () -> another.execute(another.setKey("")));
    second.execute(second.setKey(""));
  }

  private static Command.Builder countersigning(Admin signer, Admin newcomer) {
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
    var signer = new Admin("signer", p256()).enrolled();
    var newcomer = new Admin("newcomer", p256());
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
  void leaveToEnrolCanBeWithdrawnOnTheHost() throws Exception {
    start(INVITED);
    var newcomer = new Admin("newcomer", p256());
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
    assertThat(running().grant("admin", ROLE)).isTrue();
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
    var admin = new Admin("admin", p256(), running().gateway);
    admin.execute(admin.setKey(invite("admin")));
    var template = admin.command();

    // A thief has the token and not the key.
    var thief = new Admin("admin", p256(), running().gateway);
    var stolen =
        thief.sign(
            template
                .clone()
                .setKeyId(ByteString.copyFrom(sha256(thief.pair.getPublic().getEncoded())))
                .setSetCertificate(SetCertificate.newBuilder().setId("x")));
    int tooMany = 0;
    for (int i = 0; i < 20; i++) {
      try {
        thief.client.execute(stolen);
      } catch (StatusRuntimeException e) {
        tooMany += e.getStatus().getCode() == Status.Code.RESOURCE_EXHAUSTED ? 1 : 0;
      }
    }
    assertThat(tooMany).isPositive();
    var result =
        admin.execute(
            template.setSetCertificate(
                SetCertificate.newBuilder().setId("a").setCertificate(ByteString.copyFrom(ca()))));
    assertThat(result.getLocked()).isTrue();

    channels.forEach(ManagedChannel::shutdownNow);
    running().gateway.close();
    assertThat(running().events("hs-crypto.mtlscert.attempts"))
        .singleElement()
        .satisfies(event ->
            assertThat(event.at("/reason/reasonForFailure").asText()).contains("more calls"));
  }

  @Test
  void s6AnUpdateIsSignedByBothKeysAndTheOldOneEndsAtOnce() throws Exception {
    start(INVITED);
    var admin = new Admin("admin", p256()).enrolled();
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
    var first = new Admin("first", p256()).enrolled();
    var second = new Admin("second", p256()).enrolled();
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
        "still hold 1",
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
    var admin = new Admin("admin", p256());
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
    var admin = new Admin("admin", p256()).enrolled();
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
    var pem = "-----BEGIN CERTIFICATE-----\n".getBytes(US_ASCII);
    refused(Status.Code.INVALID_ARGUMENT, "certificate", () -> admin.execute(admin.set("a", pem)));
    assertThat(admin.list().getCertificatesCount()).isZero();
  }

  @Test
  void s11IdsAndCertificatesHaveLimits() throws Exception {
    start(INVITED);
    var admin = new Admin("admin", p256()).enrolled();
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
    var admin = new Admin("admin", p256()).enrolled();
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
    var admin = new Admin("admin", p256());
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
    var admin = new Admin("admin", p256()).enrolled();
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
    var admin = new Admin("admin", p256()).enrolled();
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
    var admin = new Admin("admin", p256()).enrolled();
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

  @Test
  void rolesAreApart() throws Exception {
    start(INVITED);
    var admin = new Admin("admin", p256()).enrolled();
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
    var admin = new Admin("admin", p256()).enrolled();
    admin.execute(admin.set("a", ca()));
    refused(
        Status.Code.FAILED_PRECONDITION, "last client CA", () -> admin.execute(admin.delete("a")));
    admin.execute(admin.set("b", ca()));
    assertThat(admin.execute(admin.delete("a")).getLocked()).isTrue();
  }

  @Test
  void theAnswerNamesTheGatewaysThatActOnTheChange() throws Exception {
    start(INVITED);
    var admin = new Admin("admin", p256()).enrolled();
    another("other", INVITED);
    var result = admin.execute(admin.set("a", ca()));
    assertThat(result.getConfirmedList()).hasSize(2);
    assertThat(result.getOutstandingList()).isEmpty();
    assertThat(result.getBindingMillis()).isLessThanOrEqualTo(System.currentTimeMillis());
  }

  @Test
  void aGatewayThatDoesNotAnswerIsNamedWithTheTimeItsLeaseEnds() throws Exception {
    start(INVITED);
    var admin = new Admin("admin", p256()).enrolled();
    var command = admin.set("a", ca());
    var now = Instant.now();
    try (var host = Host.open(running().config)) {
      host.store()
          .change(change -> {
            change.put(
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
        .isBetween(now.plusSeconds(5), answered.plusSeconds(5));
  }
}
