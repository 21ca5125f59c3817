package dev.grep11.gateway.command;

import dev.grep11.gateway.config.ConfigException;
import dev.grep11.gateway.hsm.HsmOpenException;
import dev.grep11.gateway.hsm.PinRefusedException;
import dev.grep11.gateway.key.SealingKeyException;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.store.StoreException;
import dev.grep11.gateway.tls.ServerTls;
import dev.grep11.gateway.token.StartException;
import dev.grep11.softhsm.SoftHsmUnavailableException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import org.slf4j.LoggerFactory;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/**
 * The program: {@code grep11 COMMAND}. Exit code 0 done, 1 refused or failed, 2 wrong use, 3 the
 * token refuses the PIN.
 */
@Command(
    name = "grep11",
    description = "A mutual-TLS gRPC gateway in front of any PKCS #11 HSM.",
    mixinStandardHelpOptions = true,
    versionProvider = Main.Version.class,
    synopsisSubcommandLabel = "COMMAND")
public final class Main {
  private static final org.slf4j.Logger LOG = LoggerFactory.getLogger(Main.class);

  /**
   * Fits our descriptions, which are written in lines and would be broken twice at picocli's 80.
   */
  private static final int HELP_WIDTH = 110;

  /** In the order of the help. */
  private static final Map<String, Class<?>> COMMANDS = new LinkedHashMap<>();

  static {
    COMMANDS.put("serve", ServeCommand.class);
    COMMANDS.put("up", UpCommand.class);
    COMMANDS.put("instance", InstanceCommand.class);
    COMMANDS.put("apikey", ApiKeyCommand.class);
    COMMANDS.put("grant", GrantCommand.class);
    COMMANDS.put("masterkey", MasterKeyCommand.class);
    COMMANDS.put("admin", AdminCommand.class);
    COMMANDS.put("audit", AuditCommand.class);
    COMMANDS.put("backup", BackupCommand.class);
    COMMANDS.put("restore", RestoreCommand.class);
    COMMANDS.put("rehearse", RehearseCommand.class);
    COMMANDS.put("doctor", DoctorCommand.class);
    COMMANDS.put("health", HealthCommand.class);
    COMMANDS.put("help", CommandLine.HelpCommand.class);
  }

  private Main() {}

  public static void main(String[] arguments) {
    // Read once, when JSSE and tcnative are loaded: before anything else (security rules 5.1).
    if (System.getProperty(ServerTls.TICKETS_PROPERTY) == null) {
      System.setProperty(ServerTls.TICKETS_PROPERTY, "false");
    }
    System.exit(commandLine(arguments).execute(arguments));
  }

  /**
   * Knows the command that the arguments begin with, or all when they begin with none: reading the
   * annotations of each takes some 10 ms, of which a start needs one.
   */
  static CommandLine commandLine(String... arguments) {
    var line = new CommandLine(new Main());
    var asked = arguments.length == 0 ? null : COMMANDS.get(arguments[0]);
    if (asked == null || asked == CommandLine.HelpCommand.class) {
      COMMANDS.forEach(line::addSubcommand);
    } else {
      line.addSubcommand(arguments[0], asked);
    }
    return line.setCaseInsensitiveEnumValuesAllowed(true)
        .setUsageHelpWidth(HELP_WIDTH)
        .registerConverter(UUID.class, Main::uuid)
        .setParameterExceptionHandler((wrong, _) -> wrongUse(wrong))
        .setExecutionExceptionHandler((thrown, command, _) -> explain(thrown, command));
  }

  /** In one line, which is easier to find than a page of usage. */
  private static int wrongUse(CommandLine.ParameterException wrong) {
    var command = wrong.getCommandLine();
    var why =
        unknownCommand(wrong)
            .orElseGet(() ->
                String.valueOf(wrong.getMessage())
                    .lines()
                    .findFirst()
                    .orElse("wrong use")
                    .replaceFirst("^Error: ", ""));
    command
        .getErr()
        .println(
            "grep11: %s; see: %s --help".formatted(why, command.getCommandSpec().qualifiedName()));
    return CommandLine.ExitCode.USAGE;
  }

  /** Where a command was to follow, and none of that name does. */
  private static Optional<String> unknownCommand(CommandLine.ParameterException wrong) {
    var there = wrong.getCommandLine().getSubcommands().keySet();
    if (!(wrong instanceof CommandLine.UnmatchedArgumentException unmatched) || there.isEmpty()) {
      return Optional.empty();
    }
    return unmatched.getUnmatched().stream()
        .findFirst()
        .filter(name -> !name.startsWith("-"))
        .map(name ->
            "there is no %s %s, there are: %s"
                .formatted(
                    wrong.getCommandLine().getCommandSpec().qualifiedName(),
                    name,
                    String.join(", ", there)));
  }

  private static UUID uuid(String text) {
    try {
      var uuid = UUID.fromString(text);
      if (uuid.toString().equalsIgnoreCase(text)) {
        return uuid;
      }
    } catch (IllegalArgumentException e) {
      // Told below, as what Java would take beyond RFC 9562, 4 is.
    }
    throw new CommandLine.TypeConversionException(
        "'" + text + "' is no UUID such as 0b5f1a6e-43c1-4f0e-9d6c-2f1b7a90c3de");
  }

  private static int explain(Exception thrown, CommandLine command) {
    command.getErr().println("grep11: " + reason(thrown));
    return thrown instanceof PinRefusedException
        ? Commands.PIN_REFUSED
        : CommandLine.ExitCode.SOFTWARE;
  }

  /**
   * Exceptions that are messages to the operator; any other is a fault, with its trace in the log.
   */
  private static String reason(Exception thrown) {
    return switch (thrown) {
      case PinRefusedException refused -> refused.getMessage() + "; " + refused.remedy();
      case ConfigException _,
          StartException _,
          StoreException _,
          HsmOpenException _,
          SealingKeyException _,
          SoftHsmUnavailableException _,
          Pkcs11Exception _,
          IllegalArgumentException _ ->
          String.valueOf(thrown.getMessage());
      default -> {
        LOG.error("unexpected", thrown);
        yield "unexpected error: " + thrown.getClass().getSimpleName();
      }
    };
  }

  static final class Version implements CommandLine.IVersionProvider {
    @Override
    public String[] getVersion() {
      var version = Main.class.getPackage().getImplementationVersion();
      return new String[] {"grep11 " + (version == null ? "(development)" : version)};
    }
  }
}
