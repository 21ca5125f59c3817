package dev.grep11.gateway.command;

import dev.grep11.gateway.Host;
import dev.grep11.gateway.store.InstanceRecord;
import java.util.LinkedHashMap;
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
      description = {
        "Makes an instance: its sealing keys in the token and its records in the store.",
        "The first one also begins the store."
      })
  static final class Create implements Callable<Integer> {
    @Mixin private GatewayOption gateway = new GatewayOption();
    @Mixin private OutputOption output = new OutputOption();

    @Option(names = "--name", required = true, paramLabel = "NAME")
    private String name = "";

    @Option(names = "--account", defaultValue = "default", paramLabel = "ID")
    private String account = "";

    @Option(names = "--location", defaultValue = "local", paramLabel = "NAME")
    private String location = "";

    @Option(
        names = "--id",
        paramLabel = "UUID",
        description = "default: the configured instance, or a random one")
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

  @Command(name = "list", mixinStandardHelpOptions = true, description = "Lists all instances.")
  static final class ListAll implements Callable<Integer> {
    @Mixin private GatewayOption gateway = new GatewayOption();
    @Mixin private OutputOption output = new OutputOption();
    @Spec private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
      try (var host = Host.open(gateway.read())) {
        output.list(
            Commands.out(spec),
            host.store().instances().stream().map(InstanceCommand::fields).toList());
      }
      return 0;
    }
  }
}
