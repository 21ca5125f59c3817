package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.ISSUER;
import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import dev.grep11.gateway.certmgr.Administration;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.store.Subject;
import dev.grep11.proto.certmgr.AdminKey;
import dev.grep11.proto.certmgr.CertificateList;
import dev.grep11.proto.certmgr.CertificateManagerGrpc.CertificateManagerBlockingStub;
import dev.grep11.proto.certmgr.Command;
import dev.grep11.proto.certmgr.CommandResult;
import dev.grep11.proto.certmgr.DeleteCertificate;
import dev.grep11.proto.certmgr.GetAdminKeyRequest;
import dev.grep11.proto.certmgr.ListCertificatesRequest;
import dev.grep11.proto.certmgr.SetAdminKey;
import dev.grep11.proto.certmgr.SetCertificate;
import dev.grep11.proto.certmgr.SignedCommand;
import dev.grep11.proto.certmgr.UpdateAdminKey;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.MessageDigest;
import java.security.Signature;
import java.security.spec.ECGenParameterSpec;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * A certificate administrator by the wire alone: a subject with the role, a key, and what the
 * registry says. Nothing here is the SDK's, so that what both get wrong is not right.
 */
final class TestAdministrator {
  private static final String ROLE = "Certificate Manager";

  private final RunningGateway running;
  final String subject;
  final CertificateManagerBlockingStub client;
  KeyPair pair;

  /** Correlation ids of the commands that were acknowledged, as audit events have them. */
  final List<String> acknowledged = new CopyOnWriteArrayList<>();

  TestAdministrator(RunningGateway running, String subject, KeyPair pair, Gateway through)
      throws Exception {
    this.running = running;
    this.subject = subject;
    this.pair = pair;
    this.client =
        running.certificateManager(through, "authorization", "Bearer " + running.token(subject));
  }

  /** Whether it is carried out; what is refused for a fault is always said to be unknown. */
  boolean acknowledged(SignedCommand command) {
    try {
      var _ = execute(command);
      return true;
    } catch (StatusRuntimeException e) {
      assertThat(e.getStatus().getCode()).as("%s", e).isEqualTo(Status.Code.UNAVAILABLE);
      assertThat(e.getStatus().getDescription()).contains("look before you repeat");
      return false;
    }
  }

  /** The names of the client CAs. */
  Set<String> registered() {
    var ids = new TreeSet<String>();
    list().getCertificatesList().forEach(each -> ids.add(each.getId()));
    return ids;
  }

  /** One with the role, by now known to the gateway, and without a registered key. */
  static TestAdministrator granted(RunningGateway running, String subject, KeyPair pair)
      throws Exception {
    return granted(running, subject, pair, running.gateway);
  }

  /** As {@link #granted(RunningGateway, String, KeyPair)}, by another gateway. */
  static TestAdministrator granted(
      RunningGateway running, String subject, KeyPair pair, Gateway through) throws Exception {
    var administrator = new TestAdministrator(running, subject, pair, through);
    assertThat(running.grant(subject, ROLE)).isTrue();
    await()
        .atMost(Duration.ofSeconds(10))
        .ignoreExceptions()
        .until(() -> !administrator.state().getCrn().isEmpty());
    return administrator;
  }

  /** The same, by another gateway. */
  TestAdministrator through(Gateway gateway) throws Exception {
    return new TestAdministrator(running, subject, pair, gateway);
  }

  /** The same, by a gateway that was started again. */
  TestAdministrator through(RunningGateway again) throws Exception {
    return new TestAdministrator(again, subject, pair, again.gateway);
  }

  static KeyPair p256() {
    try {
      var generator = KeyPairGenerator.getInstance("EC");
      generator.initialize(new ECGenParameterSpec("secp256r1"));
      return generator.generateKeyPair();
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }

  static KeyPair ed25519() {
    try {
      return KeyPairGenerator.getInstance("Ed25519").generateKeyPair();
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }

  static ByteString signature(KeyPair pair, String context, byte[] payload) {
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

  static byte[] sha256(byte[] data) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(data);
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }

  /** A code by which the subject may register a key, as the host command gives it. */
  static String invite(RunningGateway running, String subject) {
    try (var host = Host.open(running.config)) {
      return new String(
          host.administrators()
              .invite(running.instance, new Subject(ISSUER, subject), Duration.ofHours(1))
              .code()
              .chars());
    }
  }

  AdminKey state() {
    return client.getAdminKey(
        GetAdminKeyRequest.newBuilder().setInstance(running.instance.toString()).build());
  }

  Command.Builder command() {
    var state = state();
    return Command.newBuilder()
        .setVersion(1)
        .setInstance(running.instance.toString())
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
    return execute(sign(command));
  }

  private CommandResult execute(SignedCommand command) {
    var correlationId = UUID.randomUUID().toString();
    var result =
        client.withInterceptors(RunningGateway.correlation(correlationId)).execute(command);
    acknowledged.add(correlationId);
    return result;
  }

  Command.Builder setKey(String invitation) {
    return command()
        .setSetAdminKey(
            SetAdminKey.newBuilder()
                .setPublicKey(ByteString.copyFrom(pair.getPublic().getEncoded()))
                .setInvitation(invitation));
  }

  /** With its key registered by invitation. */
  TestAdministrator enrolled() {
    execute(setKey(invite(running, subject)));
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
            SetCertificate.newBuilder().setId(id).setCertificate(ByteString.copyFrom(certificate)));
  }

  Command.Builder delete(String id) {
    return command().setDeleteCertificate(DeleteCertificate.newBuilder().setId(id));
  }

  CertificateList list() {
    return client.listCertificates(
        ListCertificatesRequest.newBuilder().setInstance(running.instance.toString()).build());
  }
}
