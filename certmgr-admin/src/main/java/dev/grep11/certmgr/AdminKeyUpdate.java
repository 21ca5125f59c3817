package dev.grep11.certmgr;

import dev.grep11.client.certmgr.AdministratorKeyPair;
import dev.grep11.client.certmgr.CertificateManagerClient;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
    name = "update",
    description = {
      "Makes a new signature key pair and registers it in place of the current one.",
      "The old files stay; a passphrase of the current key is the new one's too."
    })
final class AdminKeyUpdate extends ServiceCommand {
  @Mixin private final KeyOptions key = new KeyOptions();

  @Option(
      names = "--key-type",
      paramLabel = "p256|ed25519",
      defaultValue = "p256",
      description = "of the new key; default: ${DEFAULT-VALUE}")
  private AdministratorKeyPair.Type type = AdministratorKeyPair.Type.P256;

  private @Nullable UnlockedKey current;

  AdminKeyUpdate(Surroundings surroundings) {
    super(surroundings);
  }

  @Override
  void prepare() {
    current = key.unlock(surroundings);
  }

  @Override
  int run(CertificateManagerClient manager, Printout printout) {
    var old = Objects.requireNonNull(current, "prepared");
    registered(manager, old.pair(), key);
    var next = AdministratorKeyPair.generate(type);
    var files = AdministratorKeyFiles.create(next, old.passphrase(), surroundings);
    new KeyRegistration(manager, next, files, files.privateKey().toString())
        .complete(
            () ->
                Repeat.onceIfOutdated(() ->
                    manager.execute(manager.signedBy(old.pair()).updateAdministratorKey(next))),
            () -> {
              throw new IllegalStateException("a registered administrator needs nobody's leave");
            })
        .ifPresent(change -> tellAside(change, printout));
    files.print(printout);
    printout.completed(files.fields(next));
    return 0;
  }
}
