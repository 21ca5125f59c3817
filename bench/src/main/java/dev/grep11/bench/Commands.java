package dev.grep11.bench;

import picocli.CommandLine;

/** How the programs run: exit 0 done, 1 failed, 2 wrong use; one line on stderr says why. */
public final class Commands {
  public static void run(Object command, String... arguments) {
    System.exit(
        new CommandLine(command)
            .setCaseInsensitiveEnumValuesAllowed(true)
            .setParameterExceptionHandler((failure, given) -> {
              var name = failure.getCommandLine().getCommandName();
              System.err.println(
                  name + ": " + failure.getMessage() + "; --help says what it takes");
              return CommandLine.ExitCode.USAGE;
            })
            .setExecutionExceptionHandler((failure, line, parsed) -> {
              System.err.println(line.getCommandName() + ": " + Failures.describe(failure));
              return CommandLine.ExitCode.SOFTWARE;
            })
            .execute(arguments));
  }

  private Commands() {}
}
