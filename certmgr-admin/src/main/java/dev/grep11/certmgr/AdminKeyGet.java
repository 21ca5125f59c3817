package dev.grep11.certmgr;

import dev.grep11.client.certmgr.CertificateManagerClient;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import picocli.CommandLine.Command;

@Command(name = "get", description = "Shows your registered public key; none is no error.")
final class AdminKeyGet extends ServiceCommand {
  AdminKeyGet(Surroundings surroundings) {
    super(surroundings);
  }

  @Override
  int run(CertificateManagerClient manager, Printout printout) {
    var key = manager.administratorKey();
    var publicKey = Base64.getEncoder().encodeToString(key.publicKey());
    printout.table(List.of("PROPERTIES", "VALUES"), List.of(List.of("PublicKey", publicKey)));
    var fields = new LinkedHashMap<String, Object>();
    fields.put("publicKey", publicKey);
    fields.put("fingerprint", key.isRegistered() ? Fingerprint.ofPublicKey(key.publicKey()) : "");
    fields.put("issuer", key.issuer());
    fields.put("subject", key.subject());
    fields.put("generation", key.generation());
    printout.completed(fields);
    return 0;
  }
}
