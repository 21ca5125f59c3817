package dev.grep11.certmgr;

import dev.grep11.client.certmgr.AdministratorKeyPair;
import dev.grep11.client.certmgr.CertificateManagerClient;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
    name = "delete",
    description = "Removes your registered key; refused while you manage certificates.")
final class AdminKeyDelete extends ServiceCommand {
  @Mixin private final KeyOptions key = new KeyOptions();

  @Option(
      names = "--force",
      description = "also while you manage certificates, which another administrator then gets")
  private boolean force;

  private @Nullable AdministratorKeyPair pair;

  AdminKeyDelete(Surroundings surroundings) {
    super(surroundings);
  }

  @Override
  void prepare() {
    pair = key.read(surroundings);
  }

  @Override
  int run(CertificateManagerClient manager, Printout printout) {
    var signer = Objects.requireNonNull(pair, "prepared");
    var seen = registered(manager, signer, key);
    var change = manager.execute(manager.signedBy(signer, seen).deleteAdministratorKey(force));
    tellAside(change, printout);
    printout.completed(fields(change));
    return 0;
  }
}
