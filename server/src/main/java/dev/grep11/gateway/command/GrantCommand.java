package dev.grep11.gateway.command;

import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.iam.IssuerSettings;
import dev.grep11.gateway.iam.TokenServiceSettings;
import dev.grep11.gateway.store.Entitlement;
import dev.grep11.gateway.store.Grant;
import dev.grep11.gateway.store.Subject;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

@Command(
    name = "grant",
    mixinStandardHelpOptions = true,
    synopsisSubcommandLabel = "COMMAND",
    description = "Gives, lists and takes away grants.",
    subcommands = {GrantCommand.Add.class, GrantCommand.ListAll.class, GrantCommand.Remove.class})
final class GrantCommand {

  private static final List<String> COLUMNS =
      List.of("issuer", "subject", "instance", "entitlement", "resource");

  private static Map<String, String> fields(Grant grant) {
    var fields = new LinkedHashMap<String, String>();
    fields.put("issuer", grant.subject().issuer());
    fields.put("subject", grant.subject().id());
    fields.put("instance", grant.instance().toString());
    fields.put(
        "entitlement",
        switch (grant.entitlement()) {
          case Entitlement.Role(var name) -> name;
          case Entitlement.Actions(var names) -> String.join(",", names);
        });
    grant.resource().ifPresent(resource -> fields.put("resource", resource));
    return fields;
  }

  /** What names a grant. */
  static final class GrantOption {
    @Option(
        names = "--issuer",
        required = true,
        paramLabel = "ISS",
        description = "the iss of the subject's tokens, exactly as it is configured")
    private String issuer = "";

    @Option(
        names = "--subject",
        required = true,
        paramLabel = "SUB",
        description = "the iam_id of the subject's tokens, or the sub of tokens that have none")
    private String subject = "";

    @Mixin private InstanceOption instance = new InstanceOption();

    @ArgGroup(multiplicity = "1")
    private What what = new What();

    @Option(
        names = "--resource",
        paramLabel = "key|keystore|keystore:UUID",
        description = "what it counts for: key, keystore or keystore:UUID; default: everything")
    private @Nullable String resource;

    private static final class What {
      @Option(
          names = "--role",
          paramLabel = "ROLE",
          completionCandidates = RoleNames.class,
          description = "one of: ${COMPLETION-CANDIDATES}")
      private @Nullable String role;

      @Option(
          names = "--action",
          paramLabel = "ACTION",
          split = ",",
          completionCandidates = ActionNames.class,
          description = {
            "instead of a role, some of the actions below, with commas between them; every call of"
                + " the crypto service also needs hs-crypto.ep11.use.",
            "${COMPLETION-CANDIDATES}"
          })
      private @Nullable Set<String> actions;
    }

    Grant grant(GatewayConfig config) {
      return new Grant(
          new Subject(issuer, subject),
          instance.chosen(config),
          what.role == null
              ? new Entitlement.Actions(what.actions == null ? Set.of() : what.actions)
              : new Entitlement.Role(what.role),
          Optional.ofNullable(resource));
    }
  }

  @Command(
      name = "add",
      mixinStandardHelpOptions = true,
      footer = {
        "",
        "Example: grep11 grant add --config gateway.yaml --issuer https://idp.example --subject app1 --role Writer",
        Commands.EXIT_CODES
      },
      description = "Gives a grant.")
  static final class Add implements Callable<Integer> {
    @Mixin private GatewayOption gateway = new GatewayOption();
    @Mixin private GrantOption grant = new GrantOption();
    @Spec private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
      var config = gateway.read();
      try (var host = Host.open(config)) {
        host.access().add(grant.grant(config));
      }
      warnOfUnknownIssuer(config);
      return 0;
    }

    /** No refusal: an issuer may be configured later, or for another replica of this store. */
    private void warnOfUnknownIssuer(GatewayConfig config) {
      var known =
          Stream.concat(
                  config.issuers().stream().map(IssuerSettings::issuer),
                  config.tokenService().stream().map(TokenServiceSettings::issuer))
              .toList();
      if (!known.contains(grant.issuer)) {
        Commands.err(spec)
            .println(
                "grep11: warning: the grant is made, and opens nothing until issuer \"%s\" is configured; there are %s"
                    .formatted(grant.issuer, String.join(", ", known)));
      }
    }
  }

  @Command(
      name = "list",
      mixinStandardHelpOptions = true,
      footer = {"", "Example: grep11 grant list --config gateway.yaml", Commands.EXIT_CODES},
      description = "Lists all grants.")
  static final class ListAll implements Callable<Integer> {
    @Mixin private GatewayOption gateway = new GatewayOption();
    @Mixin private OutputOption output = new OutputOption();
    @Spec private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
      try (var host = Host.open(gateway.read())) {
        output.list(
            Commands.out(spec),
            COLUMNS,
            host.store().grants().stream().map(GrantCommand::fields).toList());
      }
      return 0;
    }
  }

  @Command(
      name = "remove",
      mixinStandardHelpOptions = true,
      footer = {
        "",
        "Example: grep11 grant remove --config gateway.yaml --issuer https://idp.example --subject app1 --role Writer",
        Commands.EXIT_CODES
      },
      description = {
        "Takes a grant away.",
        "It binds at the gateways' next look at the store (store.pollMillis: 250 unless"
            + " set, 30 s at most), for tokens already given too."
      })
  static final class Remove implements Callable<Integer> {
    @Mixin private GatewayOption gateway = new GatewayOption();
    @Mixin private GrantOption grant = new GrantOption();

    @Override
    public Integer call() {
      var config = gateway.read();
      try (var host = Host.open(config)) {
        host.access().remove(grant.grant(config));
      }
      return 0;
    }
  }
}
