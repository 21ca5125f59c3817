package dev.grep11.certmgr;

import java.util.Objects;
import org.jspecify.annotations.Nullable;
import picocli.AutoComplete;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

@Command(
    name = "completion",
    description = {
      "Prints a script that completes commands and options.",
      "bash and zsh: source <(certmgr completion bash); fish: certmgr completion fish | source"
    })
final class Completion implements Runnable {
  private enum Shell {
    BASH,
    ZSH,
    FISH
  }

  @Parameters(paramLabel = "bash|zsh|fish", description = "the shell")
  private @Nullable Shell shell;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "this text")
  boolean help;

  @Spec private @Nullable CommandSpec spec;

  private final Surroundings surroundings;

  Completion(Surroundings surroundings) {
    this.surroundings = surroundings;
  }

  @Override
  public void run() {
    var root = Objects.requireNonNull(spec, "picocli sets it").root().commandLine();
    var name = surroundings.name().contains(" ") ? "certmgr" : surroundings.name();
    surroundings
        .out()
        .print(
            switch (Objects.requireNonNull(shell, "required")) {
              // The script of picocli makes itself at home in zsh.
              case BASH, ZSH -> AutoComplete.bash(name, root);
              case FISH -> fish(name, root);
            });
    surroundings.out().flush();
  }

  private static String fish(String name, CommandLine root) {
    var script = new StringBuilder("complete -c " + name + " -f\n");
    root.getSubcommands()
        .forEach((group, command) -> {
          line(script, name, "__fish_use_subcommand", "-a " + group, command.getCommandSpec());
          command
              .getSubcommands()
              .forEach((verb, leaf) -> {
                var inGroup = "__fish_seen_subcommand_from " + group;
                var noVerb =
                    "not __fish_seen_subcommand_from "
                        + String.join(" ", command.getSubcommands().keySet());
                line(
                    script, name, inGroup + "; and " + noVerb, "-a " + verb, leaf.getCommandSpec());
                var inVerb = inGroup + "; and __fish_seen_subcommand_from " + verb;
                leaf.getCommandSpec()
                    .options()
                    .forEach(option -> line(script, name, inVerb, option));
              });
        });
    return script.toString();
  }

  private static void line(
      StringBuilder script, String name, String condition, String what, CommandSpec described) {
    script
        .append("complete -c %s -n '%s' %s -d '".formatted(name, condition, what))
        .append(quoted(String.join(" ", described.usageMessage().description())))
        .append("'\n");
  }

  private static void line(StringBuilder script, String name, String condition, OptionSpec option) {
    // A file name follows where a value does; -r takes it, -F lets fish offer files.
    script
        .append(
            "complete -c %s -n '%s' -l %s"
                .formatted(name, condition, option.longestName().replaceFirst("^--", "")))
        .append(option.arity().max() > 0 ? " -r -F" : "")
        .append(" -d '")
        .append(quoted(String.join(" ", option.description())))
        .append("'\n");
  }

  private static String quoted(String text) {
    return text.replace("\\", "\\\\").replace("'", "\\'").replace("${DEFAULT-VALUE}", "");
  }
}
