package dev.grep11.gateway.command;

import dev.grep11.gateway.command.OutputOption.Value;
import dev.grep11.gateway.config.IoCause;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.token.RestoredKeys;
import dev.grep11.gateway.token.StartException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

@Command(
    name = "rehearse",
    mixinStandardHelpOptions = true,
    footer = {
      "",
      "Example: grep11 rehearse --config gateway.yaml",
      "Exit codes: 0 good, 1 not good" + Commands.OR_PIN_REFUSED
    },
    description = {
      "Restores the last backup on trial, into a store that is removed again, and uses what it holds: every",
      "row and keystore is verified, every master key opens a sample that was sealed under it when the",
      "backup was made, and some keys of keystores are loaded into the token and sign or encrypt. The",
      "token is only used: nothing in it is made or changed. Gateways serve on. The time of the last",
      "rehearsal that went well is a metric."
    })
final class RehearseCommand implements Callable<Integer> {
  private static final int LONGEST_BLOB = 1 << 20;

  @Mixin private GatewayOption gateway = new GatewayOption();
  @Mixin private OutputOption output = new OutputOption();

  @Option(
      names = "--from",
      paramLabel = "FILE",
      description =
          "the backup; default: the one that was made last, where it was put on this host. One that is"
              + " older than that does not count for the metric")
  private @Nullable Path from;

  @Option(
      names = "--blob",
      paramLabel = "FILE",
      description =
          "a key blob that a client kept, as it came from GenerateKey: is to work too. Blobs that"
              + " clients keep are in no backup of the store")
  private @Nullable Path blob;

  @Option(
      names = "--scratch",
      paramLabel = "DIR",
      description =
          "a directory with room for a store, which is removed again; default: that of the store, or"
              + " with PostgreSQL the one for temporary files")
  private @Nullable Path scratch;

  @Spec private @Nullable CommandSpec spec;

  @Override
  public Integer call() {
    var given = Optional.ofNullable(blob).map(RehearseCommand::read);
    try (var host = Host.open(gateway.read())) {
      var room = Optional.ofNullable(scratch);
      var backups = host.backups().withTokenCopies(gateway.file());
      var done =
          from == null ? backups.rehearseLatest(given, room) : backups.rehearse(from, given, room);
      var findings = done.findings();
      var fields = new LinkedHashMap<String, Object>();
      fields.put("result", "good");
      fields.put("file", done.file().toString());
      fields.put("made", done.manifest().made());
      fields.put("generation", done.manifest().generation());
      fields.put("rehearsed", done.time().toString());
      fields.put(
          "token",
          done.onCopy()
              ? new Value("copy", "a copy of it, and the live one")
              : new Value("live", "the live one: no copy of it can be made"));
      fields.put("instances", findings.instances());
      fields.put("master-keys", findings.masterKeys());
      fields.put("keystores", findings.keystores());
      fields.put("keys", findings.keys());
      fields.put("keys-with-password", findings.keysWithPassword());
      fields.put(
          "samples",
          done.samples()
              .<Object>map(opened -> opened)
              .orElseGet(() -> new Value(0, "this backup holds no samples")));
      var worked = new ArrayList<>(findings.worked());
      done.blob().ifPresent(worked::add);
      fields.put(
          "keys-used",
          new Value(worked.stream().map(RehearseCommand::fields).toList(), text(worked)));
      fields.put("counts", counts(done.uncounted()));
      output.one(Commands.out(spec), fields);
    }
    return 0;
  }

  private static Value counts(Optional<String> uncounted) {
    return new Value(uncounted.isEmpty(), uncounted.map(why -> "no: " + why).orElse("yes"));
  }

  private static byte[] read(Path file) {
    try {
      if (Files.size(file) > LONGEST_BLOB) {
        throw new StartException(file + " is too long for a key blob");
      }
      return Files.readAllBytes(file);
    } catch (IOException e) {
      throw new StartException(
          "the blob cannot be read: " + IoCause.of(e) + "; name the file that holds it by --blob",
          e);
    }
  }

  private static Map<String, Object> fields(RestoredKeys.Worked worked) {
    var fields = new LinkedHashMap<String, Object>();
    fields.put("instance", worked.instance().toString());
    worked.key().ifPresent(key -> fields.put("key", key.toString()));
    fields.put("use", worked.use());
    return fields;
  }

  private static String text(List<RestoredKeys.Worked> worked) {
    return worked.isEmpty()
        ? "none: no keystore without a password holds one; give a client's by --blob FILE"
        : String.join(
            ", ",
            worked.stream()
                .map(each -> each.key().map(Object::toString).orElse("the blob") + " " + each.use())
                .toList());
  }
}
