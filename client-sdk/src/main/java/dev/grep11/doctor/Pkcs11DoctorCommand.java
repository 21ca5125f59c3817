package dev.grep11.doctor;

import dev.grep11.agent.AgentCommand;
import dev.grep11.doctor.Pkcs11Doctor.Pin;
import dev.grep11.findings.Findings;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.InstantSource;
import java.util.Arrays;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code grep11 doctor --pkcs11 FILE}. */
@Command(
    name = "doctor --pkcs11",
    mixinStandardHelpOptions = true,
    sortOptions = false,
    description = {
      "Looks at everything between a PKCS #11 application and its keys: a grep11client.yaml, its"
          + " certificates, gateway, token service, users, keystores, and the agent of this host.",
      "",
      "One line for each finding: good, warning or bad, and what to do. Nothing is changed."
    },
    footer = {
      "",
      "The API key of user 1 is taken from GREP11_APIKEY, unless it is given otherwise.",
      "What a gateway itself needs: grep11 doctor --config FILE; see grep11 doctor --help.",
      "Exit codes: 0 nothing is bad, 1 something is, 2 wrong use."
    })
public final class Pkcs11DoctorCommand implements Callable<Integer> {
  @Option(
      names = "--pkcs11",
      paramLabel = "FILE",
      required = true,
      description = "the grep11client.yaml")
  private Path file = Path.of("");

  @Option(
      names = "--apikey-file",
      paramLabel = "FILE",
      description = "the API key of user 1, in a file")
  private @Nullable Path apiKeyFile;

  @Option(
      names = "--ask",
      interactive = true,
      description = "ask for the API key of user 1 on the terminal")
  private char @Nullable [] asked;

  @Option(
      names = "--socket",
      paramLabel = "PATH",
      description = "the agent's, if it is not where applications look for it")
  private @Nullable Path socket;

  @Option(names = "--output", paramLabel = "text|json", description = "text is the default")
  private Findings.Format output = Findings.Format.TEXT;

  private final Map<String, String> environment;

  private Pkcs11DoctorCommand(Map<String, String> environment) {
    this.environment = environment;
  }

  /** Ends the process with the command's exit code. */
  public static void main(String[] arguments) {
    System.exit(
        new CommandLine(new Pkcs11DoctorCommand(System.getenv()))
            .setCaseInsensitiveEnumValuesAllowed(true)
            .execute(arguments));
  }

  @Override
  public Integer call() {
    Optional<Pin> pin;
    try {
      pin = pin();
    } catch (IOException e) {
      System.err.println("grep11: " + e.getMessage());
      return 1;
    }
    var module =
        Optional.ofNullable(environment.get("GREP11_MODULE"))
            .filter(name -> name.endsWith("pkcs11-grep11.so"))
            .map(Path::of);
    var local =
        new LocalParts(
            socket == null ? AgentCommand.socket(environment) : socket,
            module,
            LocalParts.ofTheDistribution());
    var findings = new Pkcs11Doctor(file, pin, local, InstantSource.system()).examine();
    System.out.println(findings.as(output));
    return findings.exitCode();
  }

  private Optional<Pin> pin() throws IOException {
    if (apiKeyFile != null) {
      try {
        return Optional.of(new Pin(Files.readString(apiKeyFile).strip()));
      } catch (IOException e) {
        throw new IOException(
            "--apikey-file %s cannot be read: %s".formatted(apiKeyFile, e.getMessage()), e);
      }
    }
    if (asked != null) {
      var pin = new Pin(new String(asked));
      Arrays.fill(asked, '\0');
      return Optional.of(pin);
    }
    return Optional.ofNullable(environment.get("GREP11_APIKEY"))
        .filter(key -> !key.isBlank())
        .map(Pin::new);
  }
}
