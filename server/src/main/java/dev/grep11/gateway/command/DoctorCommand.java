package dev.grep11.gateway.command;

import dev.grep11.gateway.ConfigException;
import dev.grep11.gateway.GatewayConfig;
import dev.grep11.gateway.Preflight;
import dev.grep11.gateway.Preflight.Finding;
import dev.grep11.gateway.Preflight.Result;
import dev.grep11.gateway.StartException;
import dev.grep11.gateway.tls.ServerTls;
import dev.grep11.softhsm.SoftHsmToken;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

@Command(
    name = "doctor",
    mixinStandardHelpOptions = true,
    description =
        "Checks what a gateway needs on this machine, and a configuration if one is given.")
final class DoctorCommand implements Callable<Integer> {
  private static final int OLDEST_JDK = 25;
  private static final List<String> COLUMNS = List.of("check", "result", "detail");

  @Mixin private OutputOption output = new OutputOption();

  @Option(
      names = "--config",
      paramLabel = "FILE",
      description = "the configuration to check; without it, only what every gateway needs")
  private @Nullable Path config;

  @Spec private @Nullable CommandSpec spec;

  private final List<Finding> findings = new ArrayList<>();

  @Override
  public Integer call() {
    check("java", DoctorCommand::java);
    check(
        "tls",
        () -> {
          ServerTls.requireNoResumption();
          return "BoringSSL is there, sessions are not resumed";
        });
    if (config == null) {
      check("softhsm", () -> SoftHsmToken.findModule().toString());
    } else {
      configured(config);
    }
    output.list(Commands.out(spec), COLUMNS, findings.stream().map(DoctorCommand::fields).toList());
    return findings.stream().anyMatch(finding -> finding.result() == Result.FAILED) ? 1 : 0;
  }

  private void configured(Path file) {
    try {
      var read = GatewayConfig.read(file);
      findings.add(new Finding("configuration", Result.OK, read.mode() + ", no problem found"));
      findings.addAll(Preflight.look(read));
    } catch (ConfigException e) {
      e.problems()
          .forEach(problem -> findings.add(new Finding("configuration", Result.FAILED, problem)));
      findings.add(
          new Finding("everything else", Result.NOT_CHECKED, "the configuration cannot be used"));
    }
  }

  private void check(String what, Supplier<String> look) {
    try {
      findings.add(new Finding(what, Result.OK, look.get()));
    } catch (RuntimeException e) {
      findings.add(new Finding(what, Result.FAILED, String.valueOf(e.getMessage())));
    }
  }

  private static Map<String, String> fields(Finding finding) {
    var fields = new LinkedHashMap<String, String>();
    fields.put("check", finding.check());
    fields.put(
        "result",
        switch (finding.result()) {
          case OK -> "ok";
          case WARNING -> "WARNING";
          case FAILED -> "FAILED";
          case NOT_CHECKED -> "not checked";
        });
    fields.put("detail", finding.detail());
    return fields;
  }

  private static String java() {
    var version = Runtime.version();
    if (version.feature() < OLDEST_JDK) {
      throw new StartException("Java " + version + "; " + OLDEST_JDK + " or later is needed");
    }
    return "Java " + version;
  }
}
