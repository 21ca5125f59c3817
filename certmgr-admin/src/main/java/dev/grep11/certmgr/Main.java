package dev.grep11.certmgr;

import dev.grep11.client.certmgr.CertificateManagerException;
import java.io.Console;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.security.cert.CertificateException;
import java.time.InstantSource;
import java.util.Optional;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.MissingParameterException;

/**
 * The program {@code certmgr COMMAND}, also called {@code hpcs-cert-mgr}. Exit code 0 done, 1
 * refused or failed, 2 wrong use; one line on standard error says why.
 */
public final class Main {
  /** Under which name the launcher was called. */
  private static final String NAME_PROPERTY = "certmgr.name";

  private static final String RIGHT_ADDRESS =
      "--server or CERTMGR_SERVER is what the gateway's ready line says as certmgr=HOST:PORT";

  private Main() {}

  public static void main(String[] arguments) {
    var surroundings =
        new Surroundings(
            System.getProperty(NAME_PROPERTY, "certmgr"),
            System.getenv(),
            System.in,
            new PrintWriter(System.out, false, StandardCharsets.UTF_8),
            new PrintWriter(System.err, true, StandardCharsets.UTF_8),
            terminal(),
            InstantSource.system());
    int status = run(surroundings, arguments);
    surroundings.out().flush();
    System.exit(status);
  }

  static int run(Surroundings surroundings, String... arguments) {
    return commandLine(surroundings).execute(arguments);
  }

  static CommandLine commandLine(Surroundings surroundings) {
    var adminKey =
        new CommandLine(new Group())
            .addSubcommand(new AdminKeySet(surroundings))
            .addSubcommand(new AdminKeyGet(surroundings))
            .addSubcommand(new AdminKeyUpdate(surroundings))
            .addSubcommand(new AdminKeyDelete(surroundings))
            .addSubcommand(new AdminKeyCountersign(surroundings));
    adminKey.getCommandSpec().usageMessage().description("Your signature key.");
    var certificate =
        new CommandLine(new Group())
            .addSubcommand(new CertSet(surroundings))
            .addSubcommand(new CertList(surroundings))
            .addSubcommand(new CertGet(surroundings))
            .addSubcommand(new CertDelete(surroundings))
            .addSubcommand(new CertCheck(surroundings))
            .addSubcommand(new CertExport(surroundings))
            .addSubcommand(new CertImport(surroundings));
    certificate
        .getCommandSpec()
        .usageMessage()
        .description("The client CAs that you manage: who may connect.");
    return new CommandLine(new Root())
        .addSubcommand("adminkey", adminKey)
        .addSubcommand("cert", certificate)
        .addSubcommand(new Completion(surroundings))
        .setCommandName(surroundings.name())
        .setCaseInsensitiveEnumValuesAllowed(true)
        .setUsageHelpAutoWidth(true)
        .setOut(surroundings.out())
        .setErr(surroundings.err())
        .setParameterExceptionHandler((wrong, given) -> wrongUse(wrong))
        .setExecutionExceptionHandler((thrown, command, parsed) -> explain(thrown, surroundings));
  }

  @Command(
      name = "certmgr",
      description = "Decides with signed commands which client certificates a gateway accepts.",
      synopsisSubcommandLabel = "COMMAND",
      versionProvider = Version.class,
      footer = {
        "",
        "Environment: CERTMGR_SERVER, CERTMGR_PRIVATE_SERVER, GREP11_CA, GREP11_IAMENDPOINT,",
        "  CERTMGR_APIKEY, CERTMGR_INVITATION. Keys are kept in ~/.hpcs-cert-mgr-cfg.",
        "Exit codes: 0 done, 1 refused or failed, 2 wrong use."
      })
  static final class Root extends Group {
    @CommandLine.Option(
        names = {"-V", "--version"},
        versionHelp = true,
        description = "the version")
    boolean version;
  }

  /** A command that is one only with another behind it. */
  @Command(synopsisSubcommandLabel = "COMMAND")
  static class Group implements Runnable {
    @CommandLine.Spec private CommandLine.Model.@Nullable CommandSpec spec;

    @CommandLine.Option(
        names = {"-h", "--help"},
        usageHelp = true,
        description = "this text")
    boolean help;

    @Override
    public void run() {
      if (spec == null) {
        throw new IllegalStateException("picocli sets it");
      }
      throw new CommandLine.ParameterException(
          spec.commandLine(),
          "a command is missing: " + String.join(", ", spec.subcommands().keySet()));
    }
  }

  private static int wrongUse(CommandLine.ParameterException wrong) {
    var command = wrong.getCommandLine();
    var message = String.valueOf(wrong.getMessage()).lines().findFirst().orElse("wrong use");
    if (wrong instanceof MissingParameterException && message.contains("--crn")) {
      message += "; the CRN has the form " + Crn.FORM;
    }
    command
        .getErr()
        .println(
            "%s: %s; see: %s --help"
                .formatted(
                    root(command).getCommandName(),
                    Shown.line(message),
                    command.getCommandSpec().qualifiedName()));
    return CommandLine.ExitCode.USAGE;
  }

  private static CommandLine root(CommandLine command) {
    var root = command;
    while (root.getParent() != null) {
      root = root.getParent();
    }
    return root;
  }

  private static int explain(Exception thrown, Surroundings surroundings) {
    if (thrown instanceof CommandLine.ParameterException wrong) {
      return wrongUse(wrong);
    }
    surroundings.err().println(surroundings.name() + ": " + reason(thrown));
    return CommandLine.ExitCode.SOFTWARE;
  }

  private static String reason(Exception thrown) {
    var message =
        switch (thrown) {
          case CertificateManagerException refused -> reason(refused);
          case CommandFailure failure -> String.valueOf(failure.getMessage());
          // How the SDK refuses what it is given.
          case IllegalArgumentException refused -> String.valueOf(refused.getMessage());
          default -> "unexpected error: " + thrown;
        };
    return Shown.line(message.replaceAll("\\s*\\R\\s*", " "));
  }

  private static String reason(CertificateManagerException refused) {
    var message = String.valueOf(refused.getMessage());
    return switch (refused.kind()) {
      case NOT_LOGGED_IN ->
          // The gateway answers alike whether the token or the role is not good (rules 6.5).
          refused.reasonWord().equals("not-authorised")
              ? message
                  + "; the API key (CERTMGR_APIKEY or --apikey-file) must be a good one with the"
                  + " role Certificate Manager"
              : "not logged in: "
                  + message
                  + "; check the API key (CERTMGR_APIKEY or --apikey-file)";
      case OUTDATED -> message + "; nothing was changed";
      case UNCERTAIN ->
          message + "; if this was a change, look whether it was made before repeating it";
      case WRONG_ADDRESS -> message + "; nothing was changed; " + RIGHT_ADDRESS;
      case UNREACHABLE ->
          distrusted(refused) ? message : message + "; does the gateway run? " + RIGHT_ADDRESS;
      case NOT_AUTHORISED, NOT_FOUND, REFUSED -> message;
    };
  }

  /** Then the message says what was presented and what was trusted. */
  private static boolean distrusted(Throwable refused) {
    for (var cause = refused; cause != null; cause = cause.getCause()) {
      if (cause instanceof CertificateException) {
        return true;
      }
    }
    return false;
  }

  private static @Nullable Function<String, char @Nullable []> terminal() {
    var terminal = Optional.ofNullable(System.console()).filter(Console::isTerminal).orElse(null);
    return terminal == null ? null : prompt -> terminal.readPassword("%s", prompt);
  }

  static final class Version implements IVersionProvider {
    @Override
    public String[] getVersion() {
      var version = Main.class.getPackage().getImplementationVersion();
      return new String[] {"certmgr " + (version == null ? "(development)" : version)};
    }
  }
}
