package dev.grep11.certmgr;

import dev.grep11.client.certmgr.CertificateManagerClient;
import dev.grep11.client.certmgr.CertificatePem;
import dev.grep11.client.certmgr.RegisteredCertificate;
import java.util.LinkedHashMap;
import java.util.Map;
import picocli.CommandLine.Command;

@Command(name = "list", description = "Shows the client CAs that you manage.")
final class CertList extends ServiceCommand {
  CertList(Surroundings surroundings) {
    super(surroundings);
  }

  @Override
  int run(CertificateManagerClient manager, Printout printout) {
    var list = manager.certificates();
    var texts = new LinkedHashMap<String, String>();
    for (var own : list.own()) {
      texts.put(own.id(), CertificatePem.write(own.certificate()));
      ExpiryWarnings.of(own.id(), own.certificate(), now()).ifPresent(printout::aside);
    }
    if (texts.isEmpty()) {
      printout.text(lock(list.others(), list.locked()));
    } else {
      printout.tableOfTexts("CERTID", "CERT", texts);
    }
    var fields = new LinkedHashMap<String, Object>();
    fields.put("certificates", list.own().stream().map(CertList::fields).toList());
    fields.put("otherCertificates", list.others());
    fields.put("locked", list.locked());
    fields.put("generation", list.generation());
    printout.completed(fields);
    return 0;
  }

  static Map<String, Object> fields(RegisteredCertificate registered) {
    var certificate = registered.certificate();
    var fields = new LinkedHashMap<String, Object>();
    fields.put("id", registered.id());
    fields.put("subject", certificate.getSubjectX500Principal().getName());
    fields.put("notAfter", certificate.getNotAfter().toInstant().toString());
    fields.put("fingerprint", Fingerprint.of(certificate));
    fields.put("registered", registered.registered().toString());
    fields.put("certificate", CertificatePem.write(certificate));
    return fields;
  }
}
