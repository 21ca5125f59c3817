package dev.grep11.certmgr;

import dev.grep11.client.certmgr.CertificateManagerClient;
import dev.grep11.client.certmgr.CertificatePem;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

@Command(
    name = "check",
    description = "Says whether a client certificate would be accepted, and if not, why.")
final class CertCheck extends ServiceCommand {
  @Option(
      names = "--cert",
      required = true,
      paramLabel = "CERT_FILE",
      description = "PEM of the client's certificate, its intermediates after it")
  private @Nullable Path file;

  @Option(
      names = "--with-cert",
      paramLabel = "CERT_FILE",
      description = "as if this client CA were registered too")
  private @Nullable Path with;

  private List<X509Certificate> chain = List.of();
  private @Nullable X509Certificate ca;

  CertCheck(Surroundings surroundings) {
    super(surroundings);
  }

  @Override
  void prepare() {
    chain = CertificatePem.readChain(Objects.requireNonNull(file, "required"));
    if (with != null) {
      ca = ClientCaFile.read(with, now());
    }
  }

  @Override
  int run(CertificateManagerClient manager, Printout printout) {
    var judgement = manager.check(chain, ca);
    var fields = new LinkedHashMap<String, Object>();
    fields.put("accepted", judgement.accepted());
    fields.put("locked", judgement.locked());
    // Then not for the certificate's sake: it has no CA and no end.
    boolean everybody = judgement.accepted() && !judgement.text().isEmpty();
    if (everybody) {
      fields.put("text", judgement.text());
      printout.body("accepted: " + judgement.text());
    } else if (judgement.accepted()) {
      fields.put("certificateId", judgement.certificateId());
      fields.put("until", judgement.until().toString());
      printout.body(
          "accepted until %s%s"
              .formatted(
                  judgement.until(),
                  judgement.certificateId().isEmpty()
                      ? ""
                      : ", by certificate \"" + judgement.certificateId() + "\""));
    } else {
      fields.put("reason", judgement.reason());
      fields.put("text", judgement.text());
      printout.body("refused: %s: %s".formatted(judgement.reason(), judgement.text()));
    }
    if (!judgement.locked() && !everybody) {
      printout.body("mutual TLS is off for this instance: no client certificate is asked for");
    }
    if (!judgement.accepted()) {
      printout.told(fields);
      throw new CommandFailure(
          "the certificate of %s would be refused: %s".formatted(file, judgement.reason()));
    }
    printout.completed(fields);
    return 0;
  }
}
