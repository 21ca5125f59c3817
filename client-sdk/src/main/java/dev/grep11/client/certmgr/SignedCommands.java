package dev.grep11.client.certmgr;

import com.google.protobuf.ByteString;
import dev.grep11.proto.certmgr.Command;
import dev.grep11.proto.certmgr.Countersign;
import dev.grep11.proto.certmgr.DeleteAdminKey;
import dev.grep11.proto.certmgr.DeleteCertificate;
import dev.grep11.proto.certmgr.SetAdminKey;
import dev.grep11.proto.certmgr.SetCertificate;
import dev.grep11.proto.certmgr.SignedCommand;
import dev.grep11.proto.certmgr.UpdateAdminKey;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.security.cert.X509Certificate;
import java.time.InstantSource;
import java.util.List;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * Changes, signed by an administrator's key.
 *
 * <p>The signature is over a context string, a zero byte and the encoded {@code Command}, which
 * names the instance, the administrator, the key, a counter and the registry's generation: no
 * command can be used for another instance, by another administrator, twice, or later.
 */
public final class SignedCommands {
  private static final String COMMAND = "grep11-gateway certificate manager command v1";
  private static final String NEW_KEY = "grep11-gateway certificate manager new key v1";
  private static final int VERSION = 1;

  private final UUID instance;
  private final AdministratorKey seen;
  private final AdministratorKeyPair key;
  private final InstantSource clock;

  /**
   * @param seen what {@link CertificateManagerClient#administratorKey()} answered
   * @param key the registered key; for {@link #setAdministratorKey} the one to be registered
   */
  public SignedCommands(
      UUID instance, AdministratorKey seen, AdministratorKeyPair key, InstantSource clock) {
    this.instance = instance;
    this.seen = seen;
    this.key = key;
    this.clock = clock;
  }

  /**
   * Registers the caller's first key, which signs to prove that the caller has it.
   *
   * @param invitation the code, where one is needed
   */
  public SignedCommand setAdministratorKey(@Nullable String invitation) {
    var action = SetAdminKey.newBuilder().setPublicKey(bytes(key.publicKey()));
    if (invitation != null) {
      action.setInvitation(invitation);
    }
    return signed(command().setSetAdminKey(action)).build();
  }

  /** Replaces the caller's key; the new one signs as well. */
  public SignedCommand updateAdministratorKey(AdministratorKeyPair next) {
    var signed =
        signed(
            command()
                .setUpdateAdminKey(
                    UpdateAdminKey.newBuilder().setPublicKey(bytes(next.publicKey()))));
    return signed
        .setNewKeySignature(bytes(next.sign(message(NEW_KEY, signed.getPayload()))))
        .build();
  }

  /**
   * Removes the caller's key.
   *
   * @param force also while the caller manages client CAs, which another administrator then gets
   */
  public SignedCommand deleteAdministratorKey(boolean force) {
    return signed(command().setDeleteAdminKey(DeleteAdminKey.newBuilder().setForce(force))).build();
  }

  /**
   * Allows somebody else to register a first key.
   *
   * @param fingerprint SHA-256 of the SubjectPublicKeyInfo of that key
   */
  public SignedCommand countersign(String issuer, String subject, byte[] fingerprint) {
    return signed(
            command()
                .setCountersign(
                    Countersign.newBuilder()
                        .setIssuer(issuer)
                        .setSubject(subject)
                        .setKeyFingerprint(bytes(fingerprint))))
        .build();
  }

  /**
   * Registers a client CA, or replaces the one of that id.
   *
   * @param allowPublicRoot also if the gateway's system trusts this CA for the public Internet
   * @param requiredClient leaf first: nothing changes unless this client would be accepted
   *     afterwards; empty for no such condition
   */
  public SignedCommand setCertificate(
      String id,
      X509Certificate certificate,
      boolean allowPublicRoot,
      List<X509Certificate> requiredClient) {
    var action =
        SetCertificate.newBuilder()
            .setId(id)
            .setCertificate(bytes(CertificatePem.der(certificate)))
            .setAllowPublicRoot(allowPublicRoot);
    requiredClient.forEach(
        member -> action.addRequiredClientChain(bytes(CertificatePem.der(member))));
    return signed(command().setSetCertificate(action)).build();
  }

  /** Removes a client CA. */
  public SignedCommand deleteCertificate(String id) {
    return signed(command().setDeleteCertificate(DeleteCertificate.newBuilder().setId(id))).build();
  }

  private Command.Builder command() {
    return Command.newBuilder()
        .setVersion(VERSION)
        .setInstance(instance.toString())
        .setIssuer(seen.issuer())
        .setSubject(seen.subject())
        .setKeyId(bytes(key.fingerprint()))
        .setCounter(seen.lastCounter() + 1)
        .setExpectedGeneration(seen.generation())
        .setTimeMillis(clock.millis());
  }

  private SignedCommand.Builder signed(Command.Builder command) {
    var payload = command.build().toByteString();
    return SignedCommand.newBuilder()
        .setPayload(payload)
        .setSignature(bytes(key.sign(message(COMMAND, payload))));
  }

  private static byte[] message(String context, ByteString payload) {
    var message = new ByteArrayOutputStream(context.length() + 1 + payload.size());
    message.writeBytes(context.getBytes(StandardCharsets.US_ASCII));
    message.write(0);
    message.writeBytes(payload.toByteArray());
    return message.toByteArray();
  }

  private static ByteString bytes(byte[] value) {
    return ByteString.copyFrom(value);
  }
}
