package dev.grep11.certmgr;

import dev.grep11.client.certmgr.AdministratorKeyPair;
import dev.grep11.client.certmgr.CertificateManagerClient;
import dev.grep11.client.certmgr.CertificateManagerException;
import dev.grep11.client.certmgr.Change;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

@Command(
    name = "delete",
    description = {
      "Removes a client CA; its clients lose access at once.",
      "Without the last one of the instance, no client needs a certificate any more."
    })
final class CertDelete extends ServiceCommand {
  @Mixin private final KeyOptions key = new KeyOptions();
  @Mixin private final CertificateIdOption id = new CertificateIdOption();

  private @Nullable AdministratorKeyPair pair;

  CertDelete(Surroundings surroundings) {
    super(surroundings);
  }

  @Override
  void prepare() {
    id.checked();
    pair = key.read(surroundings);
  }

  @Override
  int run(CertificateManagerClient manager, Printout printout) {
    var change = delete(manager, Objects.requireNonNull(pair, "prepared"));
    tellAside(change, printout);
    printout.text(lock(change.others(), change.locked()));
    printout.completed(fields(change));
    return 0;
  }

  private Change delete(CertificateManagerClient manager, AdministratorKeyPair signer) {
    var seen = registered(manager, signer, key);
    try {
      return manager.execute(manager.signedBy(signer, seen).deleteCertificate(id.checked()));
    } catch (CertificateManagerException e) {
      throw named(e, id.checked());
    }
  }
}
