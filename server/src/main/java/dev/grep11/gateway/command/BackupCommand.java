package dev.grep11.gateway.command;

import dev.grep11.gateway.command.OutputOption.Value;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.store.BackupManifest;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

@Command(
    name = "backup",
    mixinStandardHelpOptions = true,
    footer = {
      "",
      "Example: grep11 backup --config gateway.yaml --to /backup/grep11-2026-11-22",
      Commands.EXIT_CODES
    },
    description = {
      "Writes the whole store, keystores too, as it is at this moment to one file; gateways serve on.",
      "It is encrypted, and authenticated as a whole, by the store key in the token: it can be",
      "restored with this token, or one that has its keys, and no other. The token's own keys are",
      "not in it: back them up as your HSM does, at the same time."
    })
final class BackupCommand implements Callable<Integer> {
  @Mixin private GatewayOption gateway = new GatewayOption();
  @Mixin private OutputOption output = new OutputOption();

  @Option(
      names = "--to",
      required = true,
      paramLabel = "FILE",
      description = "the backup; mode 0600, there whole or not at all")
  private @Nullable Path to;

  @Option(names = "--overwrite", description = "put it in the place of a file that is there")
  private boolean overwrite;

  @Spec private @Nullable CommandSpec spec;

  @Override
  public Integer call() {
    try (var host = Host.open(gateway.read())) {
      var made = host.backups().backUp(Objects.requireNonNull(to), overwrite);
      var fields = new LinkedHashMap<String, Object>();
      fields.put("file", made.file().toString());
      fields.put("bytes", made.bytes());
      fields.put("samples", made.samples());
      fields.putAll(fields(made.manifest()));
      output.one(Commands.out(spec), fields);
    }
    return 0;
  }

  /** What a backup says of itself. */
  static Map<String, Object> fields(BackupManifest manifest) {
    var token = manifest.token();
    var fields = new LinkedHashMap<String, Object>();
    fields.put("made", manifest.made());
    fields.put("generation", manifest.generation());
    fields.put("granted-in", manifest.granted());
    fields.put(
        "token",
        new Value(
            Map.of("label", token.label(), "serial", token.serial()),
            "\"%s\" (serial %s, %s %s)"
                .formatted(token.label(), token.serial(), token.manufacturer(), token.model())));
    fields.put("store-key", token.storeKey());
    fields.put(
        "master-keys",
        new Value(
            manifest.instances(),
            String.join(
                ", ", manifest.instances().stream().map(BackupCommand::masterKeys).toList())));
    fields.put("rows", new Value(manifest.rows(), rows(manifest.rows())));
    return fields;
  }

  private static String masterKeys(BackupManifest.Instance instance) {
    return "instance %s: %s"
        .formatted(
            instance.id(),
            String.join(
                ", ",
                instance.masterKeys().stream()
                    .map(each -> each.id() + " " + each.state().name().toLowerCase(Locale.ROOT))
                    .toList()));
  }

  private static String rows(Map<String, Long> rows) {
    List<String> some =
        rows.entrySet().stream()
            .filter(each -> each.getValue() > 0)
            .map(each -> each.getValue() + " " + each.getKey())
            .toList();
    return String.join(", ", some);
  }
}
