package dev.grep11.gateway.command;

import dev.grep11.findings.Findings;
import dev.grep11.gateway.doctor.Doctor;
import dev.grep11.gateway.doctor.Surroundings;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

@Command(
    name = "doctor",
    mixinStandardHelpOptions = true,
    sortOptions = false,
    customSynopsis = {
      "grep11 doctor [--output text|json]",
      "       grep11 doctor --config FILE [--try-pin] [--output text|json]",
      "       grep11 doctor --pkcs11 FILE [OPTIONS]"
    },
    description = {
      "Looks at what a gateway needs on this machine; with --config also at everything that a",
      "configuration names: certificate, token, PIN, keys, database, audit file, ports, clocks.",
      "With --pkcs11 at what is between PKCS #11 applications and their keys instead; its own help:",
      "grep11 doctor --pkcs11 FILE --help.",
      "",
      "One line for each finding: good, warning or bad, and what to do. Nothing is changed, and a",
      "gateway may run meanwhile. The PIN is tried once, and not at all where the token says that a",
      "wrong one was tried before."
    },
    footer = {
      "",
      "Example: grep11 doctor --config gateway.yaml",
      "Exit codes: 0 nothing is bad, 1 something is, 2 wrong use."
    })
final class DoctorCommand implements Callable<Integer> {
  @Option(
      names = "--config",
      paramLabel = "FILE",
      description = "the gateway's configuration; ask as the gateway's user")
  private @Nullable Path config;

  @Option(
      names = "--pkcs11",
      paramLabel = "FILE",
      description = "a grep11client.yaml; the launcher ./grep11 hands this to the agent's program")
  private @Nullable Path client;

  @Option(
      names = "--try-pin",
      description =
          "try the PIN although a wrong one was tried since the last right one; never where one"
              + " more would lock the token")
  private boolean tryPin;

  @Option(names = "--output", paramLabel = "text|json", description = "text is the default")
  private Findings.Format output = Findings.Format.TEXT;

  @Spec private @Nullable CommandSpec spec;

  @Override
  public Integer call() {
    if (client != null) {
      throw new IllegalArgumentException("--pkcs11 is of the launcher: ./grep11 doctor --pkcs11");
    }
    var doctor = new Doctor(Surroundings.ofThisProcess(Main.class), tryPin);
    var findings = config == null ? doctor.examine() : doctor.examine(config);
    var out = Commands.out(spec);
    out.println(findings.as(output));
    out.flush();
    return findings.exitCode();
  }
}
