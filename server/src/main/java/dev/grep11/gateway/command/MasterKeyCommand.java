package dev.grep11.gateway.command;

import static java.util.stream.Collectors.joining;

import dev.grep11.gateway.Host;
import dev.grep11.gateway.MasterKeys;
import dev.grep11.gateway.MasterKeys.Standing;
import dev.grep11.gateway.StartException;
import dev.grep11.gateway.store.ReplicaRecord;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.function.BiFunction;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

@Command(
    name = "masterkey",
    mixinStandardHelpOptions = true,
    synopsisSubcommandLabel = "COMMAND",
    description = {
      "Rotates the master key of an instance while gateways run:",
      "create-next, activate, clients re-wrap their blobs, retire, and at last destroy."
    },
    subcommands = {
      MasterKeyCommand.ListAll.class,
      MasterKeyCommand.CreateNext.class,
      MasterKeyCommand.Activate.class,
      MasterKeyCommand.Retire.class,
      MasterKeyCommand.Reinstate.class,
      MasterKeyCommand.Destroy.class
    })
final class MasterKeyCommand {
  private static final int KEYS = 5;

  private static final List<String> COLUMNS =
      List.of(
          "generation",
          "state",
          "created",
          "since",
          "uses",
          "last-used",
          "confirmed-by",
          "waiting-for",
          "token-objects");

  private static Map<String, String> fields(Standing standing) {
    var generation = standing.generation();
    var fields = new LinkedHashMap<String, String>();
    fields.put("generation", generation.id());
    fields.put("state", generation.state().name().toLowerCase(Locale.ROOT));
    fields.put("created", seconds(generation.created()));
    fields.put("since", seconds(generation.since()));
    fields.put("uses", Long.toString(standing.uses()));
    fields.put("last-used", standing.lastUsed().map(MasterKeyCommand::seconds).orElse("never"));
    fields.put("confirmed-by", names(standing.confirmed(), false));
    fields.put("waiting-for", names(standing.waiting(), true));
    fields.put("token-objects", standing.tokenObjects() + " of " + KEYS);
    return fields;
  }

  private static String seconds(Instant time) {
    return time.truncatedTo(ChronoUnit.SECONDS).toString();
  }

  private static String names(List<ReplicaRecord> replicas, boolean bound) {
    return replicas.isEmpty()
        ? "none"
        : replicas.stream()
            .map(replica ->
                bound
                    ? "%s until %s".formatted(replica.name(), seconds(replica.until()))
                    : replica.name())
            .collect(joining(", "));
  }

  /** Which instance, and how to answer. */
  static final class Common {
    @Mixin private GatewayOption gateway = new GatewayOption();
    @Mixin private OutputOption output = new OutputOption();

    @Option(
        names = "--instance",
        paramLabel = "UUID",
        description = "default: the configured instance")
    private @Nullable UUID instance;

    private <T> T with(BiFunction<MasterKeys, UUID, T> work) {
      var config = gateway.read();
      var chosen =
          Optional.ofNullable(instance)
              .or(config::instance)
              .orElseThrow(() -> new StartException("name an --instance: there are several"));
      try (var host = Host.open(config)) {
        return work.apply(host.masterKeys(), chosen);
      }
    }

    private int one(@Nullable CommandSpec spec, BiFunction<MasterKeys, UUID, Standing> work) {
      output.one(Commands.out(spec), fields(with(work)));
      return 0;
    }
  }

  /** Which generation. */
  static final class Generation {
    @Option(
        names = "--generation",
        paramLabel = "ID",
        description = "as listed, or its beginning; default: the only one that can be meant")
    private @Nullable String id;

    private Optional<String> named() {
      return Optional.ofNullable(id);
    }
  }

  @Command(
      name = "list",
      mixinStandardHelpOptions = true,
      description = "Lists all generations of an instance, oldest first.")
  static final class ListAll implements Callable<Integer> {
    @Mixin private Common common = new Common();
    @Spec private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
      common.output.list(
          Commands.out(spec),
          COLUMNS,
          common.with(MasterKeys::list).stream().map(MasterKeyCommand::fields).toList());
      return 0;
    }
  }

  @Command(
      name = "create-next",
      mixinStandardHelpOptions = true,
      description = "Makes the next generation; gateways open it, and clients may re-wrap blobs.")
  static final class CreateNext implements Callable<Integer> {
    @Mixin private Common common = new Common();
    @Spec private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
      return common.one(spec, MasterKeys::createNext);
    }
  }

  @Command(
      name = "activate",
      mixinStandardHelpOptions = true,
      description = "From now on the next generation seals; what older ones sealed still opens.")
  static final class Activate implements Callable<Integer> {
    @Mixin private Common common = new Common();
    @Mixin private Generation generation = new Generation();
    @Spec private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
      return common.one(spec, (keys, instance) -> keys.activate(instance, generation.named()));
    }
  }

  @Command(
      name = "retire",
      mixinStandardHelpOptions = true,
      description = "What a generation sealed is refused from now on; reinstate undoes it.")
  static final class Retire implements Callable<Integer> {
    @Mixin private Common common = new Common();
    @Mixin private Generation generation = new Generation();

    @Option(
        names = "--unused-for",
        paramLabel = "D",
        defaultValue = "30d",
        converter = Period.class,
        description = {
          "refuse when it was used less than so long ago, such as 30d, 12h or 0s;",
          "that nobody used it is no proof that nobody will (default: ${DEFAULT-VALUE})"
        })
    private Duration unusedFor = Duration.ZERO;

    @Option(names = "--force", description = "do not ask when it was used")
    private boolean force;

    @Spec private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
      return common.one(
          spec, (keys, instance) -> keys.retire(instance, generation.named(), unusedFor, force));
    }
  }

  @Command(
      name = "reinstate",
      mixinStandardHelpOptions = true,
      description = "What a retired generation sealed opens again.")
  static final class Reinstate implements Callable<Integer> {
    @Mixin private Common common = new Common();
    @Mixin private Generation generation = new Generation();
    @Spec private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
      return common.one(spec, (keys, instance) -> keys.reinstate(instance, generation.named()));
    }
  }

  @Command(
      name = "destroy",
      mixinStandardHelpOptions = true,
      description = {
        "Deletes the keys of a generation that was retired long enough ago, for good.",
        "Blobs that only it opens are lost."
      })
  static final class Destroy implements Callable<Integer> {
    @Mixin private Common common = new Common();
    @Mixin private Generation generation = new Generation();
    @Spec private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
      return common.one(spec, (keys, instance) -> keys.destroy(instance, generation.named()));
    }
  }

  /** A number and s, m, h or d. */
  static final class Period implements ITypeConverter<Duration> {
    private static final Pattern FORM = Pattern.compile("([0-9]{1,6})([smhd])");

    @Override
    public Duration convert(String text) {
      var matcher = FORM.matcher(text);
      if (!matcher.matches()) {
        throw new picocli.CommandLine.TypeConversionException(
            "'" + text + "' is no time such as 30d, 12h, 10m or 0s");
      }
      var number = Long.parseLong(matcher.group(1));
      return switch (matcher.group(2).charAt(0)) {
        case 's' -> Duration.ofSeconds(number);
        case 'm' -> Duration.ofMinutes(number);
        case 'h' -> Duration.ofHours(number);
        default -> Duration.ofDays(number);
      };
    }
  }
}
