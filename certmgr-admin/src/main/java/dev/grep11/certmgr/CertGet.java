package dev.grep11.certmgr;

import dev.grep11.client.certmgr.CertificateManagerClient;
import dev.grep11.client.certmgr.CertificateManagerException;
import dev.grep11.client.certmgr.CertificatePem;
import dev.grep11.client.certmgr.RegisteredCertificate;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(name = "get", description = "Shows one of the client CAs that you manage.")
final class CertGet extends ServiceCommand {
  @Mixin private final CertificateIdOption id = new CertificateIdOption();

  @Option(
      names = "--cert-store-file",
      paramLabel = "CERT_FILE",
      description = "also writes the certificate to this new file")
  private @Nullable Path file;

  @Option(names = "--overwrite", description = "also where --cert-store-file exists")
  private boolean overwrite;

  CertGet(Surroundings surroundings) {
    super(surroundings);
  }

  @Override
  void prepare() {
    id.checked();
    if (file != null) {
      NewFile.requireRoom(file, overwrite);
    }
  }

  @Override
  int run(CertificateManagerClient manager, Printout printout) {
    var registered = get(manager);
    var pem = CertificatePem.write(registered.certificate());
    if (file != null) {
      NewFile.write(file, pem, overwrite);
    }
    printout.body("------------------ The returned certification ------------------");
    printout.body(pem);
    printout.completed(CertList.fields(registered));
    return 0;
  }

  private RegisteredCertificate get(CertificateManagerClient manager) {
    try {
      return manager.certificate(id.checked());
    } catch (CertificateManagerException e) {
      throw named(e, id.checked());
    }
  }
}
