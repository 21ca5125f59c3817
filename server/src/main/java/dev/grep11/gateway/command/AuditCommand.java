package dev.grep11.gateway.command;

import dev.grep11.gateway.audit.AuditVerification;
import dev.grep11.gateway.audit.AuditVerification.Report;
import dev.grep11.gateway.command.OutputOption.Value;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.token.StartException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

@Command(
    name = "audit",
    mixinStandardHelpOptions = true,
    synopsisSubcommandLabel = "COMMAND",
    description = "Looks at audit files.",
    subcommands = AuditCommand.Verify.class)
final class AuditCommand {
  private static final long PROGRESS_EVERY = 1_000_000;

  @Command(
      name = "verify",
      mixinStandardHelpOptions = true,
      footer = {
        "",
        "Example: grep11 audit verify audit.jsonl --config gateway.yaml",
        "Exit codes: 0 intact, 1 not intact or not readable" + Commands.OR_PIN_REFUSED
      },
      description = {
        "Tells whether an audit file is as gateways wrote it.",
        "No line may be changed, removed, inserted or moved, and none missing at its end. By --config",
        "or --data the gateway that wrote it, or another on the same store, is named; without, only",
        "the hash chain is checked, which somebody who can write the file could have made anew."
      })
  static final class Verify implements Callable<Integer> {
    @Parameters(
        paramLabel = "FILE",
        description = "the audit file, or that of host commands (FILE.commands)")
    private @Nullable Path file;

    @ArgGroup private GatewayOption.@Nullable Choice gateway;

    @Mixin private OutputOption output = new OutputOption();
    @Spec private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
      var path = file;
      if (path == null) {
        throw new IllegalStateException("picocli requires it");
      }
      if (!Files.isRegularFile(path)) {
        throw new StartException(
            "%s is %s; name an audit file, such as that of audit.file in the configuration"
                .formatted(path, Files.exists(path) ? "no file" : "not there"));
      }
      var report = verify(path);
      output.one(Commands.out(spec), fields(report));
      for (var finding : report.findings()) {
        Commands.err(spec)
            .println(
                finding.line() == 0
                    ? "grep11: %s: %s".formatted(path, finding.what())
                    : "grep11: %s: line %d: %s".formatted(path, finding.line(), finding.what()));
      }
      Commands.err(spec).flush();
      return report.findings().isEmpty() ? 0 : 1;
    }

    private Report verify(Path path) {
      LongConsumer progress =
          lines -> {
            if (lines % PROGRESS_EVERY == 0) {
              Commands.err(spec).println("grep11: %,d lines".formatted(lines));
              Commands.err(spec).flush();
            }
          };
      try {
        if (gateway == null) {
          return AuditVerification.verify(path, Optional.empty(), List.of(), progress);
        }
        try (var host = Host.open(gateway.read())) {
          return host.verifyAudit(path, progress);
        }
      } catch (IOException e) {
        throw new StartException(path + " cannot be read: " + e.getMessage(), e);
      }
    }

    private Map<String, Object> fields(Report report) {
      var fields = new LinkedHashMap<String, Object>();
      fields.put("result", report.findings().isEmpty() ? "intact" : "not intact");
      fields.put("lines", report.lines());
      fields.put("findings", report.findings().size());
      for (int i = 0; i < report.findings().size(); i++) {
        var finding = report.findings().get(i);
        fields.put(
            "finding-" + (i + 1),
            finding.line() == 0
                ? finding.what()
                : "line " + finding.line() + ": " + finding.what());
      }
      fields.put("checkpoints", report.checkpoints());
      fields.put("checkpoints-verified", new Value(report.checkpointsVerified(), verified(report)));
      fields.put(
          "last-checkpoint",
          report
              .lastCheckpoint()
              .map(time -> new Value(time.toString(), time.toString()))
              .orElse(new Value(null, "none")));
      fields.put("end", end(report));
      fields.put("closed", report.closed());
      fields.put("lines-after-checkpoint", report.linesAfterCheckpoint());
      fields.put(
          "begins-with-chain",
          report
              .previous()
              .map(chain -> new Value(chain, chain))
              .orElse(new Value(null, "unknown")));
      fields.put("ends-with-chain", report.chain());
      return fields;
    }

    private String verified(Report report) {
      if (report.checkpointsVerified()) {
        return "yes, with the token and the store";
      }
      return gateway == null
          ? "no: name the gateway by --config or --data"
          : "no: they are not of the gateway that was named";
    }

    private static String end(Report report) {
      if (report.closed()) {
        return "a closing checkpoint";
      }
      return "no closing checkpoint: a gateway writes it, or ended without; the last %d line(s) are covered by the chain only%s"
          .formatted(
              report.linesAfterCheckpoint(), report.torn() ? ", and the very last is torn" : "");
    }
  }
}
