package dev.grep11.demo;

import dev.grep11.client.Grep11Client;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.certmgr.AdministratorKeyPair;
import dev.grep11.client.certmgr.CertificateManagerClient;
import dev.grep11.client.certmgr.CertificateManagerException;
import dev.grep11.client.certmgr.CertificatePem;
import dev.grep11.client.certmgr.Change;
import io.grpc.Status;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;

/**
 * The second lock, from an administrator's first key to their last: it closes, and opens again.
 * What it registers goes, also when a step fails.
 */
final class SecondLock {
  private static final String CERTIFICATE_ID = "demo";

  private final Setting setting;
  private final Setting.Administration administration;
  private final CertificateManagerClient manager;
  private final Steps steps;
  private final ClientCa clientCa;
  private final AdministratorKeyPair pair =
      AdministratorKeyPair.generate(AdministratorKeyPair.Type.P256);

  private SecondLock(
      Setting setting,
      Setting.Administration administration,
      CertificateManagerClient manager,
      Steps steps,
      ClientCa clientCa) {
    this.setting = setting;
    this.administration = administration;
    this.manager = manager;
    this.steps = steps;
    this.clientCa = clientCa;
  }

  /**
   * Tells the story, unless somebody administers the instance already.
   *
   * @param open a client without a certificate, whose connection is open
   */
  static void tell(Setting setting, Steps steps, Grep11Client open) {
    steps.chapter("The second lock: administrators decide, by signed commands, who may connect");
    var administration = setting.administration();
    if (administration == null) {
      steps.step(
          "find the certificate manager",
          () -> "left out: HPCS_CRN, CERTMGR_SERVER and CERTMGR_APIKEY are not all set");
      return;
    }
    try (var manager = setting.certificateManager(administration);
        var directory = TemporaryDirectory.create()) {
      if (inUse(manager, steps)) {
        return;
      }
      var clientCa = ClientCa.in(directory.path());
      var lock = new SecondLock(setting, administration, manager, steps, clientCa);
      try {
        lock.enrol();
        lock.closes(open);
        lock.opens();
      } finally {
        lock.leaveNothing();
      }
    } catch (Exception e) {
      steps.step(
          "prepare the second lock",
          () -> {
            throw e;
          });
    }
  }

  /** What others registered is neither changed nor taken away. */
  private static boolean inUse(CertificateManagerClient manager, Steps steps) {
    boolean inUse = manager.administratorKey().isRegistered() || manager.certificates().locked();
    if (inUse) {
      steps.step("find the lock open", () -> "left out: the instance is administered already");
    }
    return inUse;
  }

  private void enrol() {
    steps.step(
        "enrol an administrator: a new key signs for itself",
        () -> {
          manager.execute(manager.signedBy(pair).setAdministratorKey(null));
          require(manager.administratorKey().is(pair), "another key is registered");
          return "P-256, " + HexFormat.of().formatHex(pair.fingerprint()).substring(0, 16) + "...";
        });
    steps.refusal(
        "an administrator uses keys",
        Grep11Exception.class,
        e -> e.status() == Status.Code.PERMISSION_DENIED,
        () -> {
          try (var administrator = setting.authenticatedAs(administration).build()) {
            return administrator.generateRandom(1).length + " byte";
          }
        });
    steps.refusal(
        "a client CA in a command that another key signed",
        CertificateManagerException.class,
        e -> e.reasonWord().equals("signature-rejected"),
        () -> {
          var thief = AdministratorKeyPair.generate(AdministratorKeyPair.Type.P256);
          return told(register(thief));
        });
  }

  private void closes(Grep11Client open) {
    steps.step(
        "register the first client CA: the lock closes",
        () -> {
          var change = register(pair);
          require(change.locked(), "the lock is open");
          return told(change);
        });
    steps.refusal(
        "a call without certificate, connection open before",
        Grep11Exception.class,
        SecondLock::isShut,
        () -> open.generateRandom(1).length + " byte");
    steps.refusal(
        "a call without certificate, new connection",
        Grep11Exception.class,
        SecondLock::isShut,
        this::withoutCertificate);
    steps.step(
        "the same call with a certificate of that CA",
        () -> {
          try (var client =
              setting
                  .authenticated()
                  .clientCertificate(clientCa.clientCertificate(), clientCa.clientKey())
                  .build()) {
            return client.generateRandom(16).length + " random bytes";
          }
        });
  }

  private void opens() {
    steps.step(
        "delete the last client CA: the lock opens",
        () -> {
          var change = manager.execute(manager.signedBy(pair).deleteCertificate(CERTIFICATE_ID));
          require(!change.locked(), "the lock is still closed");
          return told(change);
        });
    steps.step("a call without certificate", this::withoutCertificate);
    steps.step(
        "delete the administrator's key",
        () -> {
          manager.execute(manager.signedBy(pair).deleteAdministratorKey(false));
          require(!manager.administratorKey().isRegistered(), "a key is registered");
          return "the instance is as it was found";
        });
  }

  /** Quiet where every step did what it should. */
  private void leaveNothing() {
    if (!manager.administratorKey().is(pair)) {
      return;
    }
    steps.step(
        "take away what a failed step left",
        () -> {
          for (var certificate : manager.certificates().own()) {
            manager.execute(manager.signedBy(pair).deleteCertificate(certificate.id()));
          }
          manager.execute(manager.signedBy(pair).deleteAdministratorKey(false));
          return "the instance is as it was found";
        });
  }

  private Change register(AdministratorKeyPair signer) {
    return manager.execute(
        manager
            .signedBy(signer)
            .setCertificate(
                CERTIFICATE_ID, CertificatePem.readOne(clientCa.ca()), false, List.of()));
  }

  private String withoutCertificate() {
    try (var client = setting.authenticated().deadline(Duration.ofSeconds(2)).build()) {
      return client.generateRandom(16).length + " random bytes";
    }
  }

  /**
   * A connection that was open hears it as an answer, until the gateway closes it; a new one at its
   * handshake (RFC 8446, 6.2). gRPC chooses which of the two a call gets.
   */
  private static boolean isShut(Grep11Exception e) {
    return switch (e.status()) {
      case UNAUTHENTICATED -> e.answered();
      case UNAVAILABLE ->
          String.valueOf(e.getMessage()).toLowerCase(Locale.ROOT).contains("certificate_required");
      default -> false;
    };
  }

  private static String told(Change change) {
    return "%s, generation %d, binding on %d of %d gateways"
        .formatted(
            change.locked() ? "locked" : "open",
            change.generation(),
            change.confirmed().size(),
            change.confirmed().size() + change.outstanding().size());
  }

  private static void require(boolean condition, String otherwise) {
    if (!condition) {
      throw new IllegalStateException(otherwise);
    }
  }
}
