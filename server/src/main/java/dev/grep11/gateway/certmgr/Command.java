package dev.grep11.gateway.certmgr;

import dev.grep11.gateway.audit.AdministrativeAction;
import dev.grep11.gateway.store.Subject;
import java.time.Instant;
import java.util.List;
import java.util.UUID;
import java.util.regex.Pattern;

/**
 * What an administrator signed, decoded. It says for whom, by which key and at which state of the
 * registry; none of it is believed before {@link Administration} has compared it.
 *
 * @param keyId SHA-256 of the SubjectPublicKeyInfo of the key that signs
 * @param counter above that of the administrator's last command
 * @param expectedGeneration of the registry, as the administrator saw it
 * @param time by the administrator's clock; informs, does not decide
 */
@SuppressWarnings("ArrayRecordComponent") // Read once and dropped, never compared as a whole.
public record Command(
    UUID instance,
    Subject administrator,
    byte[] keyId,
    long counter,
    long expectedGeneration,
    Instant time,
    Action action) {

  public Command {
    if (keyId.length != AdministratorKey.FINGERPRINT_LENGTH) {
      throw new IllegalArgumentException("a key id is a SHA-256");
    }
    if (counter < 1) {
      throw new IllegalArgumentException("the counter begins with 1 and stays below 2^63");
    }
    if (expectedGeneration < 0) {
      throw new IllegalArgumentException("the generation stays below 2^63");
    }
  }

  /** What is to be done. */
  public sealed interface Action {
    /** What it is in the audit log. */
    AdministrativeAction event();

    /** The action that must be granted. */
    default String grant() {
      return event().eventName();
    }
  }

  /**
   * Registers the first key of the administrator.
   *
   * @param invitation code, empty when there is none
   */
  @SuppressWarnings("ArrayRecordComponent")
  public record SetAdminKey(byte[] publicKey, String invitation) implements Action {
    @Override
    public AdministrativeAction event() {
      return AdministrativeAction.ADMIN_KEY_CREATE;
    }

    /** Without the code, which is a secret until it is used. */
    @Override
    public String toString() {
      return "SetAdminKey[]";
    }
  }

  /** Puts another key in the place of the registered one, which signs. */
  @SuppressWarnings("ArrayRecordComponent")
  public record UpdateAdminKey(byte[] publicKey) implements Action {
    @Override
    public AdministrativeAction event() {
      return AdministrativeAction.ADMIN_KEY_UPDATE;
    }
  }

  /**
   * Removes the key.
   *
   * @param force hands certificates over to another administrator
   */
  public record DeleteAdminKey(boolean force) implements Action {
    @Override
    public AdministrativeAction event() {
      return AdministrativeAction.ADMIN_KEY_DELETE;
    }
  }

  /**
   * Gives another subject leave to register one key.
   *
   * @param keyFingerprint SHA-256 of its SubjectPublicKeyInfo
   */
  @SuppressWarnings("ArrayRecordComponent")
  public record Countersign(Subject subject, byte[] keyFingerprint) implements Action {
    public Countersign {
      if (keyFingerprint.length != AdministratorKey.FINGERPRINT_LENGTH) {
        throw new IllegalArgumentException("a fingerprint is a SHA-256");
      }
    }

    @Override
    public AdministrativeAction event() {
      return AdministrativeAction.ADMIN_KEY_COUNTERSIGN;
    }

    /** Whoever may register a key may vouch for one. */
    @Override
    public String grant() {
      return AdministrativeAction.ADMIN_KEY_CREATE.eventName();
    }
  }

  /**
   * Registers a client CA, or another certificate under an id that the administrator uses already.
   *
   * @param certificate DER
   * @param allowPublicRoot also if everybody trusts this CA
   * @param requiredClientChain DER, leaf first: nothing changes unless this client is accepted
   *     afterwards; empty asks for nothing
   */
  @SuppressWarnings("ArrayRecordComponent")
  public record SetCertificate(
      String id, byte[] certificate, boolean allowPublicRoot, List<byte[]> requiredClientChain)
      implements Action {
    public SetCertificate {
      requireId(id);
      requiredClientChain = List.copyOf(requiredClientChain);
    }

    @Override
    public AdministrativeAction event() {
      return AdministrativeAction.CERT_SET;
    }
  }

  /** Removes a client CA of the administrator's own. */
  public record DeleteCertificate(String id) implements Action {
    public DeleteCertificate {
      requireId(id);
    }

    @Override
    public AdministrativeAction event() {
      return AdministrativeAction.CERT_DELETE;
    }
  }

  private static final Pattern ID = Pattern.compile("[A-Za-z0-9._-]{1,64}");

  /**
   * @throws IllegalArgumentException when no certificate can have this id
   */
  static void requireId(String id) {
    if (!ID.matcher(id).matches()) {
      throw new IllegalArgumentException(
          "a certificate id has 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-'");
    }
  }
}
