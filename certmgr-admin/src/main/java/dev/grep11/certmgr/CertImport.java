package dev.grep11.certmgr;

import dev.grep11.client.certmgr.AdministratorKeyPair;
import dev.grep11.client.certmgr.CertificateManagerClient;
import dev.grep11.client.certmgr.CertificateManagerException;
import dev.grep11.client.certmgr.RegisteredCertificate;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "import",
    description = {
      "Registers the client CAs of a backup, one signed command each.",
      "What is registered already is left alone; what expired meanwhile is left out."
    })
final class CertImport extends ServiceCommand {
  @Mixin private final KeyOptions key = new KeyOptions();

  @Parameters(paramLabel = "DIR", description = "as cert export wrote it")
  private @Nullable Path directory;

  @Option(
      names = "--overwrite",
      description = "also where another certificate is registered under the same id")
  private boolean overwrite;

  @Option(
      names = "--allow-public-root",
      description = "also a CA that the gateway's system trusts for the public Internet")
  private boolean allowPublicRoot;

  private @Nullable AdministratorKeyPair pair;
  private Map<String, X509Certificate> backup = Map.of();

  CertImport(Surroundings surroundings) {
    super(surroundings);
  }

  @Override
  void prepare() {
    backup = CertificateBackup.read(Objects.requireNonNull(directory, "required"));
    pair = key.read(surroundings);
  }

  @Override
  int run(CertificateManagerClient manager, Printout printout) {
    var signer = Objects.requireNonNull(pair, "prepared");
    registered(manager, signer, key);
    var present =
        manager.certificates().own().stream()
            .collect(
                Collectors.toMap(RegisteredCertificate::id, RegisteredCertificate::certificate));
    refuseReplacements(present);
    var imported = new ArrayList<String>();
    var unchanged = new ArrayList<String>();
    var expired = new ArrayList<String>();
    for (var entry : backup.entrySet()) {
      var id = entry.getKey();
      var certificate = entry.getValue();
      if (certificate.equals(present.get(id))) {
        unchanged.add(id);
      } else if (now().isAfter(certificate.getNotAfter().toInstant())) {
        expired.add(id);
        printout.aside(
            "warning: certificate \"%s\" expired %s and was left out"
                .formatted(id, certificate.getNotAfter().toInstant()));
      } else {
        register(manager, signer, id, certificate, imported);
        imported.add(id);
        ExpiryWarnings.of(id, certificate, now()).ifPresent(printout::aside);
      }
    }
    printout.body(
        "imported %d, unchanged %d, expired %d of %d"
            .formatted(imported.size(), unchanged.size(), expired.size(), backup.size()));
    var fields = new LinkedHashMap<String, Object>();
    fields.put("imported", imported);
    fields.put("unchanged", unchanged);
    fields.put("expired", expired);
    printout.completed(fields);
    return 0;
  }

  /** Before the first change, so that a refusal leaves everything as it was. */
  private void refuseReplacements(Map<String, X509Certificate> present) {
    if (overwrite) {
      return;
    }
    var replaced =
        backup.entrySet().stream()
            .filter(entry -> {
              var registered = present.get(entry.getKey());
              return registered != null && !registered.equals(entry.getValue());
            })
            .map(Map.Entry::getKey)
            .toList();
    if (!replaced.isEmpty()) {
      throw new CommandFailure(
          "other certificates are registered under %s; give --overwrite to replace them; nothing"
                  .formatted(String.join(", ", replaced))
              + " was changed");
    }
  }

  private void register(
      CertificateManagerClient manager,
      AdministratorKeyPair signer,
      String id,
      X509Certificate certificate,
      List<String> before) {
    try {
      var _ =
          Repeat.onceIfOutdated(() ->
              manager.execute(
                  manager
                      .signedBy(signer)
                      .setCertificate(id, certificate, allowPublicRoot, List.of())));
    } catch (CertificateManagerException e) {
      throw new CommandFailure(
          "certificate \"%s\": %s; imported before it: %s"
              .formatted(id, e.getMessage(), before.isEmpty() ? "none" : String.join(", ", before)),
          e);
    }
  }
}
