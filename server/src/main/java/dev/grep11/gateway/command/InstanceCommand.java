package dev.grep11.gateway.command;

import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.store.InstanceRecord;
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
import picocli.CommandLine.Spec;

@Command(
    name = "instance",
    mixinStandardHelpOptions = true,
    synopsisSubcommandLabel = "COMMAND",
    description = "Makes and lists instances.",
    subcommands = {InstanceCommand.Create.class, InstanceCommand.ListAll.class})
final class InstanceCommand {

  private static final List<String> COLUMNS = List.of("id", "name", "crn");

  private static Map<String, String> fields(InstanceRecord instance) {
    var fields = new LinkedHashMap<String, String>();
    fields.put("id", instance.id().toString());
    fields.put("name", instance.name());
    fields.put("crn", instance.crn());
    return fields;
  }

  @Command(
      name = "create",
      mixinStandardHelpOptions = true,
      footer = {
        "",
        "Example: grep11 instance create --config gateway.yaml --name payments",
        Commands.EXIT_CODES
      },
      description = {
        "Makes an instance: its sealing keys in the token and its records in the store.",
        "The first one also begins the store. The instance's CRN is",
        "crn:v1:grep11:public:hs-crypto:LOCATION:a/ACCOUNT:UUID::"
      })
  static final class Create implements Callable<Integer> {
    @Mixin private GatewayOption gateway = new GatewayOption();
    @Mixin private OutputOption output = new OutputOption();

    @Option(
        names = "--name",
        required = true,
        paramLabel = "NAME",
        description = "for people, in lists")
    private String name = "";

    @Option(
        names = "--account",
        defaultValue = "default",
        paramLabel = "ID",
        description =
            "ACCOUNT in that CRN: a name that your own tools may read and that opens nothing;"
                + " default: ${DEFAULT-VALUE}")
    private String account = "";

    @Option(
        names = "--location",
        defaultValue = "local",
        paramLabel = "NAME",
        description = "LOCATION in that CRN, likewise; default: ${DEFAULT-VALUE}")
    private String location = "";

    @Option(
        names = "--id",
        paramLabel = "UUID",
        description = "the instance's UUID; default: the configured one, or a random one")
    private @Nullable UUID id;

    @Spec private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
      var config = gateway.read();
      try (var host = Host.openOrBegin(config)) {
        var chosen = Optional.ofNullable(id).or(config::instance).orElseGet(UUID::randomUUID);
        output.one(
            Commands.out(spec), fields(host.createInstance(chosen, name, account, location)));
      }
      return 0;
    }
  }

  @Command(
      name = "list",
      mixinStandardHelpOptions = true,
      footer = {"", "Example: grep11 instance list --config gateway.yaml", Commands.EXIT_CODES},
      description = "Lists all instances.")
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
            host.store().instances().stream().map(InstanceCommand::fields).toList());
      }
      return 0;
    }
  }
}
