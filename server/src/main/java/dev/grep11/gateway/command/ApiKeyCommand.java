package dev.grep11.gateway.command;

import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.iam.ApiKeys;
import dev.grep11.gateway.iam.Roles;
import dev.grep11.gateway.store.ApiKeyRecord;
import dev.grep11.gateway.token.StartException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

@Command(
    name = "apikey",
    mixinStandardHelpOptions = true,
    synopsisSubcommandLabel = "COMMAND",
    description = "Makes, lists, confirms and deletes API keys of the embedded token service.",
    subcommands = {
      ApiKeyCommand.Create.class,
      ApiKeyCommand.ListAll.class,
      ApiKeyCommand.Confirm.class,
      ApiKeyCommand.Delete.class
    })
final class ApiKeyCommand {

  private static final List<String> COLUMNS = List.of("id", "name", "subject", "created", "state");

  private static Map<String, String> fields(ApiKeyRecord key) {
    var fields = new LinkedHashMap<String, String>();
    fields.put("id", key.id().toString());
    fields.put("name", key.name());
    fields.put("subject", key.subject().id());
    fields.put("created", key.created().toString());
    fields.put("state", key.disabled().isPresent() ? "disabled" : "enabled");
    return fields;
  }

  private static ApiKeys keys(GatewayConfig config, Host host) {
    return new ApiKeys(
        host.store(),
        Roles.standard(),
        config
            .tokenService()
            .orElseThrow(() ->
                new StartException(
                    "tokenService is not configured, so it has no API keys; configure it, or give subjects of your issuers rights by: grep11 grant add"))
            .issuer());
  }

  @Command(
      name = "create",
      mixinStandardHelpOptions = true,
      footer = {
        "",
        "Example: grep11 apikey create --config gateway.yaml --name app1 --role Writer",
        Commands.EXIT_CODES
      },
      description = "Makes a subject, its grants and an API key, and prints the key once.")
  static final class Create implements Callable<Integer> {
    @Mixin private GatewayOption gateway = new GatewayOption();
    @Mixin private OutputOption output = new OutputOption();

    @Mixin private InstanceOption instance = new InstanceOption();

    @Option(
        names = "--name",
        required = true,
        paramLabel = "NAME",
        description = "of the key and of its subject, unique; what the key is deleted by")
    private String name = "";

    @Option(
        names = "--role",
        required = true,
        paramLabel = "ROLE",
        completionCandidates = RoleNames.class,
        description = "what the key may do; may be repeated. One of: ${COMPLETION-CANDIDATES}")
    private List<String> roles = List.of();

    @Option(
        names = "--keystore",
        paramLabel = "UUID",
        description = "the one keystore that the roles count for; default: the whole instance")
    private @Nullable UUID keystore;

    @Spec private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
      var config = gateway.read();
      var chosen = instance.chosen(config);
      try (var host = Host.open(config)) {
        var created =
            host.access()
                .createKey(keys(config, host), name, chosen, roles, Optional.ofNullable(keystore));
        try (var secret = created.secret()) {
          var fields = fields(created.record());
          fields.put("apikey", new String(secret.chars()));
          output.one(Commands.out(spec), fields);
        }
      }
      return 0;
    }
  }

  @Command(
      name = "list",
      mixinStandardHelpOptions = true,
      footer = {"", "Example: grep11 apikey list --config gateway.yaml", Commands.EXIT_CODES},
      description = "Lists all API keys.")
  static final class ListAll implements Callable<Integer> {
    @Mixin private GatewayOption gateway = new GatewayOption();
    @Mixin private OutputOption output = new OutputOption();
    @Spec private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
      var config = gateway.read();
      try (var host = Host.open(config)) {
        output.list(
            Commands.out(spec),
            COLUMNS,
            keys(config, host).list().stream().map(ApiKeyCommand::fields).toList());
      }
      return 0;
    }
  }

  @Command(
      name = "confirm",
      mixinStandardHelpOptions = true,
      footer = {
        "",
        "Example: grep11 apikey confirm app1 --config gateway.yaml",
        Commands.EXIT_CODES
      },
      description = "Lets an API key count again that is disabled since the store was restored.")
  static final class Confirm implements Callable<Integer> {
    @Mixin private GatewayOption gateway = new GatewayOption();
    @Mixin private OutputOption output = new OutputOption();

    @Parameters(paramLabel = "ID|NAME", description = "the key's id or its name, see: apikey list")
    private String key = "";

    @Spec private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
      var config = gateway.read();
      try (var host = Host.open(config)) {
        output.one(Commands.out(spec), fields(host.access().confirmKey(keys(config, host), key)));
      }
      return 0;
    }
  }

  @Command(
      name = "delete",
      mixinStandardHelpOptions = true,
      footer = {
        "",
        "Example: grep11 apikey delete app1 --config gateway.yaml",
        Commands.EXIT_CODES
      },
      description = {
        "Deletes an API key and its grants.",
        "Tokens given for it stop at the gateways' next look at the store (store.pollMillis: 250"
            + " unless set, 30 s at most)."
      })
  static final class Delete implements Callable<Integer> {
    @Mixin private GatewayOption gateway = new GatewayOption();

    @Parameters(paramLabel = "ID|NAME", description = "the key's id or its name, see: apikey list")
    private String key = "";

    @Override
    public Integer call() {
      var config = gateway.read();
      try (var host = Host.open(config)) {
        host.access().deleteKey(keys(config, host), key);
      }
      return 0;
    }
  }
}
