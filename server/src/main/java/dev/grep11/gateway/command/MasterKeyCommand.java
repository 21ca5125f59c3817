package dev.grep11.gateway.command;

import static java.util.stream.Collectors.joining;

import dev.grep11.gateway.command.OutputOption.Value;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.host.MasterKeys;
import dev.grep11.gateway.host.MasterKeys.Standing;
import dev.grep11.gateway.store.ReplicaRecord;
import dev.grep11.gateway.store.SealingKeyGeneration;
import dev.grep11.gateway.store.SealingKeyGeneration.State;
import dev.grep11.gateway.token.StartException;
import java.io.PrintWriter;
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

  /** Of the table; all that is known is in the objects. */
  private static final List<String> COLUMNS =
      List.of("generation", "state", "since", "uses", "last-used", "gateways", "token-objects");

  private static Map<String, Object> fields(Standing standing) {
    var generation = standing.generation();
    var fields = new LinkedHashMap<String, Object>();
    fields.put("generation", generation.id());
    fields.put("state", word(generation));
    fields.put("created", seconds(generation.created()));
    fields.put("since", seconds(generation.since()));
    fields.put("uses", standing.uses());
    fields.put(
        "last-used",
        standing
            .lastUsed()
            .map(MasterKeyCommand::seconds)
            .map(time -> new Value(time, time))
            .orElse(new Value(null, "never")));
    // Nobody is asked about what is destroyed.
    boolean asked = generation.state() != State.DESTROYED;
    fields.put("confirmed-by", gateways(asked ? standing.confirmed() : List.of(), false));
    fields.put("waiting-for", gateways(asked ? standing.waiting() : List.of(), true));
    fields.put(
        "token-objects",
        new Value(
            standing.tokenObjects(),
            asked
                ? standing.tokenObjects() + " of " + KEYS
                : standing.tokenObjects() == 0 ? "none" : standing.tokenObjects() + " kept"));
    return fields;
  }

  private static Map<String, Object> row(Standing standing) {
    var row = fields(standing);
    int confirmed = standing.confirmed().size();
    row.put(
        "gateways",
        standing.generation().state() == State.DESTROYED
            ? "-"
            : confirmed + " of " + (confirmed + standing.waiting().size()));
    return row;
  }

  private static String word(SealingKeyGeneration generation) {
    return generation.state().name().toLowerCase(Locale.ROOT);
  }

  private static String seconds(Instant time) {
    return time.truncatedTo(ChronoUnit.SECONDS).toString();
  }

  private static Value gateways(List<ReplicaRecord> replicas, boolean bound) {
    return new Value(
        replicas.stream()
            .map(replica ->
                Map.of("gateway", replica.name(), "counts-until", seconds(replica.until())))
            .toList(),
        replicas.isEmpty()
            ? "none"
            : replicas.stream()
                .map(replica ->
                    bound
                        ? "%s until %s".formatted(replica.name(), seconds(replica.until()))
                        : replica.name())
                .collect(joining(", ")));
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

    /** Programs read in a field what people are told on standard error. */
    private int one(@Nullable CommandSpec spec, BiFunction<MasterKeys, UUID, Standing> work) {
      var standing = with(work);
      var fields = fields(standing);
      if (output.isText()) {
        tell(standing, Commands.err(spec));
      } else {
        fields.put("changed", standing.changed());
      }
      output.one(Commands.out(spec), fields);
      return 0;
    }

    private static void tell(Standing standing, PrintWriter err) {
      var generation = standing.generation();
      if (!standing.changed()) {
        err.println(
            "grep11: master key %s is %s already".formatted(generation.id(), word(generation)));
      } else if (generation.state() == State.DESTROYED) {
        err.println(
            "grep11: blobs that were sealed under master key %s, and not re-wrapped, are lost"
                .formatted(generation.id()));
      }
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
      footer = {"", "Example: grep11 masterkey list --config gateway.yaml", Commands.EXIT_CODES},
      description = {
        "Lists all generations of an instance, oldest first.",
        "GATEWAYS: how many of the running ones follow. TOKEN-OBJECTS: keys in the token; of an"
            + " instance's first generation one is kept when it is destroyed, which opens nothing.",
        "--output json has more: when each was made, and which gateways follow."
      })
  static final class ListAll implements Callable<Integer> {
    @Mixin private Common common = new Common();
    @Spec private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
      var all = common.with(MasterKeys::list);
      var text = common.output.isText();
      common.output.list(
          Commands.out(spec),
          COLUMNS,
          all.stream().map(each -> text ? row(each) : fields(each)).toList());
      if (text) {
        all.stream()
            .filter(each -> each.generation().state() != State.DESTROYED)
            .forEach(each -> each.waiting().forEach(waiting -> tell(each, waiting)));
      }
      return 0;
    }

    private void tell(Standing standing, ReplicaRecord waiting) {
      Commands.out(spec)
          .printf(
              "%s waits for %s until %s%n",
              standing.generation().id(), waiting.name(), seconds(waiting.until()));
      Commands.out(spec).flush();
    }
  }

  @Command(
      name = "create-next",
      mixinStandardHelpOptions = true,
      footer = {
        "",
        "Example: grep11 masterkey create-next --config gateway.yaml",
        Commands.EXIT_CODES
      },
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
      footer = {
        "",
        "Example: grep11 masterkey activate --config gateway.yaml",
        Commands.EXIT_CODES
      },
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
      footer = {
        "",
        "Example: grep11 masterkey retire --config gateway.yaml --unused-for 30d",
        Commands.EXIT_CODES
      },
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
      footer = {
        "",
        "Example: grep11 masterkey reinstate --config gateway.yaml",
        Commands.EXIT_CODES
      },
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
      footer = {
        "",
        "Example: grep11 masterkey destroy --config gateway.yaml --generation bf8d120b",
        Commands.EXIT_CODES
      },
      description = {
        "Deletes the keys of a generation that was retired long enough ago, for good.",
        "Blobs that were sealed under it, and not re-wrapped, are lost: no backup of the store"
            + " opens them, only one of the token."
      })
  static final class Destroy implements Callable<Integer> {
    @Mixin private Common common = new Common();

    @Option(
        names = "--generation",
        required = true,
        paramLabel = "ID",
        description = "as listed, or its beginning; always named, since nothing brings it back")
    private String generation = "";

    @Spec private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
      return common.one(spec, (keys, instance) -> keys.destroy(instance, Optional.of(generation)));
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
