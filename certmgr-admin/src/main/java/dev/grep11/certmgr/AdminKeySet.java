package dev.grep11.certmgr;

import dev.grep11.client.certmgr.AdministratorKey;
import dev.grep11.client.certmgr.AdministratorKeyPair;
import dev.grep11.client.certmgr.CertificateManagerClient;
import dev.grep11.client.certmgr.Change;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

@Command(
    name = "set",
    description = "Makes a signature key pair and registers its public half for you.")
final class AdminKeySet extends ServiceCommand {
  @Option(
      names = "--key-type",
      paramLabel = "p256|ed25519",
      defaultValue = "p256",
      description = "of the new key; default: ${DEFAULT-VALUE}")
  private AdministratorKeyPair.Type type = AdministratorKeyPair.Type.P256;

  @Option(
      names = "--admin-priv-key",
      paramLabel = "ADMIN_PRIV_KEY",
      description = "registers this existing pair instead of a new one")
  private @Nullable Path existing;

  @Option(
      names = "--passphrase-file",
      paramLabel = "FILE",
      description =
          "file whose first line is the passphrase of the private key, - for standard input; a new"
              + " key is encrypted under it")
  private @Nullable String passphraseFile;

  @Option(
      names = "--invitation-file",
      paramLabel = "FILE",
      description =
          "file whose first line is the invitation code, - for standard input; else"
              + " CERTMGR_INVITATION; asked for on a terminal otherwise")
  private @Nullable String invitationFile;

  private @Nullable UnlockedKey given;
  private char @Nullable [] passphrase;
  private @Nullable String invitation;

  AdminKeySet(Surroundings surroundings) {
    super(surroundings);
  }

  @Override
  void prepare() {
    if ("-".equals(passphraseFile) && "-".equals(invitationFile)) {
      throw new CommandFailure(
          "--passphrase-file and --invitation-file cannot both be standard input");
    }
    if (existing != null) {
      given = UnlockedKey.read(existing, passphraseFile, surroundings);
    } else if (passphraseFile != null) {
      passphrase = surroundings.secretLine(passphraseFile, "passphrase");
      AdministratorKeyPair.requireUsable(passphrase);
    }
    invitation =
        invitationFile != null
            ? new String(surroundings.secretLine(invitationFile, "invitation code")).strip()
            : surroundings.variable("CERTMGR_INVITATION");
  }

  @Override
  int run(CertificateManagerClient manager, Printout printout) {
    var seen = manager.administratorKey();
    if (seen.isRegistered()) {
      throw new CommandFailure(
          "a key is registered for %s already (fingerprint %s); replace it with: %s adminkey update"
              .formatted(
                  seen.subject(), Fingerprint.ofPublicKey(seen.publicKey()), surroundings.name()));
    }
    var code = invitation != null ? invitation : askedInvitation();
    if (given != null) {
      var file = String.valueOf(existing);
      register(
          manager, new KeyRegistration(manager, given.pair(), null, file), seen, code, printout);
      printout.table(List.of("KEYTYPE", "FILE"), List.of(List.of("PrivateKey", file)));
      printout.completed(
          new TreeMap<>(
              Map.of("privateKeyFile", file, "fingerprint", Fingerprint.of(given.pair()))));
    } else {
      var pair = AdministratorKeyPair.generate(type);
      var files = AdministratorKeyFiles.create(pair, passphrase, surroundings);
      var registration = new KeyRegistration(manager, pair, files, files.privateKey().toString());
      register(manager, registration, seen, code, printout);
      files.print(printout);
      printout.completed(files.fields(pair));
    }
    return 0;
  }

  private void register(
      CertificateManagerClient manager,
      KeyRegistration registration,
      AdministratorKey seen,
      @Nullable String code,
      Printout printout) {
    registration
        .complete(
            () -> Repeat.onceIfOutdated(() -> setKey(manager, registration.pair(), code)),
            () -> countersigning(registration, seen))
        .ifPresent(change -> tellAside(change, printout));
  }

  private static Change setKey(
      CertificateManagerClient manager, AdministratorKeyPair pair, @Nullable String code) {
    return manager.execute(manager.signedBy(pair).setAdministratorKey(code));
  }

  /** Nothing but Enter: where the gateway needs no invitation. */
  private @Nullable String askedInvitation() {
    var terminal = surroundings.terminal();
    if (terminal == null) {
      return null;
    }
    char[] answer = terminal.apply("Invitation code (Enter if you have none): ");
    return answer == null || answer.length == 0 ? null : new String(answer).strip();
  }

  private String countersigning(KeyRegistration registration, AdministratorKey seen) {
    var name = surroundings.name();
    var crn = service.crn().text();
    return ("another administrator must countersign this key first: %s adminkey countersign --crn"
            + " %s --fingerprint %s --issuer %s --subject %s --admin-priv-key THEIR_KEY; then"
            + " repeat with the pair that is kept: %s adminkey set --crn %s --admin-priv-key %s")
        .formatted(
            name,
            Shown.word(crn),
            Fingerprint.of(registration.pair()),
            Shown.word(seen.issuer()),
            Shown.word(seen.subject()),
            name,
            Shown.word(crn),
            Shown.word(registration.keyFile()));
  }
}
