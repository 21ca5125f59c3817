package dev.grep11.certmgr;

import dev.grep11.client.certmgr.CertificateManagerClient;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

@Command(
    name = "export",
    description = "Writes the client CAs that you manage to a new directory, as a backup.")
final class CertExport extends ServiceCommand {
  @Parameters(paramLabel = "DIR", description = "new or empty; gets a PEM each and manifest.json")
  private @Nullable Path directory;

  CertExport(Surroundings surroundings) {
    super(surroundings);
  }

  @Override
  void prepare() {
    CertificateBackup.requireRoom(Objects.requireNonNull(directory, "required"));
  }

  @Override
  int run(CertificateManagerClient manager, Printout printout) {
    var target = Objects.requireNonNull(directory, "required");
    var list = manager.certificates();
    CertificateBackup.write(target, service.crn(), list, now());
    int count = list.own().size();
    printout.body(
        "exported %d certificate%s to %s".formatted(count, count == 1 ? "" : "s", target));
    var fields = new LinkedHashMap<String, Object>();
    fields.put("directory", target.toString());
    fields.put("certificates", list.own().stream().map(own -> own.id()).toList());
    printout.completed(fields);
    return 0;
  }
}
