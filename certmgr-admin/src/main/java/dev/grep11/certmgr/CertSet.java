package dev.grep11.certmgr;

import dev.grep11.client.certmgr.AdministratorKeyPair;
import dev.grep11.client.certmgr.CertificateManagerClient;
import dev.grep11.client.certmgr.CertificatePem;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
    name = "set",
    description = {
      "Registers a client CA under an id, or replaces the one of that id.",
      "From the first one on, every client of the instance needs a certificate."
    })
final class CertSet extends ServiceCommand {
  @Mixin private final KeyOptions key = new KeyOptions();
  @Mixin private final CertificateIdOption id = new CertificateIdOption();

  @Option(
      names = "--cert",
      required = true,
      paramLabel = "CERT_FILE",
      description = "PEM of the CA that issues the clients' certificates: one certificate")
  private @Nullable Path file;

  @Option(
      names = "--require-client-cert",
      paramLabel = "FILE",
      description =
          "PEM of a client's certificate and its intermediates: nothing is changed unless this"
              + " client would be accepted afterwards")
  private @Nullable Path client;

  @Option(
      names = "--allow-public-root",
      description = "also a CA that the gateway's system trusts for the public Internet")
  private boolean allowPublicRoot;

  private @Nullable AdministratorKeyPair pair;
  private @Nullable X509Certificate certificate;
  private List<X509Certificate> required = List.of();

  CertSet(Surroundings surroundings) {
    super(surroundings);
  }

  @Override
  void prepare() {
    id.checked();
    certificate = ClientCaFile.read(Objects.requireNonNull(file, "required"), now());
    if (client != null) {
      required = CertificatePem.readChain(client);
    }
    pair = key.read(surroundings);
  }

  @Override
  int run(CertificateManagerClient manager, Printout printout) {
    var signer = Objects.requireNonNull(pair, "prepared");
    var ca = Objects.requireNonNull(certificate, "prepared");
    var change =
        Repeat.onceIfOutdated(() -> {
          var seen = registered(manager, signer, key);
          if (!required.isEmpty()) {
            requireAccepted(manager, ca);
          }
          return manager.execute(
              manager
                  .signedBy(signer, seen)
                  .setCertificate(id.checked(), ca, allowPublicRoot, required));
        });
    tellAside(change, printout);
    ExpiryWarnings.of(id.checked(), ca, now()).ifPresent(printout::aside);
    printout.completed(fields(change));
    return 0;
  }

  private void requireAccepted(CertificateManagerClient manager, X509Certificate ca) {
    var judgement = manager.check(required, ca);
    if (!judgement.accepted()) {
      throw new CommandFailure(
          "the client certificate of %s would be refused (%s: %s); nothing was changed"
              .formatted(client, judgement.reason(), judgement.text()));
    }
  }
}
