package dev.grep11.gateway.command;

import dev.grep11.gateway.command.OutputOption.Value;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Administrators;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.iam.TokenServiceSettings;
import dev.grep11.gateway.store.Subject;
import dev.grep11.gateway.token.StartException;
import java.io.PrintWriter;
import java.time.Duration;
import java.time.temporal.ChronoUnit;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
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
    name = "admin",
    mixinStandardHelpOptions = true,
    synopsisSubcommandLabel = "COMMAND",
    description = "Invites certificate administrators, and helps one whose key is lost.",
    subcommands = {
      AdminCommand.Invite.class,
      AdminCommand.Recover.class,
      AdminCommand.Withdraw.class,
      AdminCommand.HandOver.class,
      AdminCommand.ListAll.class
    })
final class AdminCommand {
  private static final List<String> COLUMNS =
      List.of(
          "state",
          "issuer",
          "subject",
          "fingerprint",
          "since",
          "counter",
          "certificates",
          "by",
          "expires");

  /** Who is meant. */
  static final class SubjectOption {
    @Option(
        names = "--issuer",
        paramLabel = "ISS",
        description = "the iss of the subject's tokens; default: that of the token service")
    private @Nullable String issuer;

    @ArgGroup(multiplicity = "1")
    private Who who = new Who();

    private static final class Who {
      @Option(
          names = "--subject",
          paramLabel = "SUB",
          description = "the iam_id of the subject's tokens, or the sub of tokens that have none")
      private @Nullable String subject;

      @Option(
          names = "--apikey-name",
          paramLabel = "NAME",
          description = "instead: the subject of this API key, see: apikey list")
      private @Nullable String apiKeyName;
    }

    Subject chosen(GatewayConfig config, Host host) {
      var name = who.apiKeyName;
      if (name != null) {
        return host.store().apiKeys().stream()
            .filter(key -> key.name().equals(name))
            .findFirst()
            .orElseThrow(() ->
                new StartException("there is no API key \"" + name + "\"; see: grep11 apikey list"))
            .subject();
      }
      return new Subject(
          Optional.ofNullable(issuer)
              .or(() -> config.tokenService().map(TokenServiceSettings::issuer))
              .orElseThrow(
                  () -> new StartException("name an --issuer: no tokenService is configured")),
          String.valueOf(who.subject));
    }
  }

  /** How long an invitation holds. */
  static final class ExpiryOption {
    @Option(
        names = "--expires",
        paramLabel = "TIME",
        defaultValue = "24h",
        converter = MasterKeyCommand.Period.class,
        description = "how long the code holds, such as 30m, 24h or 7d; default: ${DEFAULT-VALUE}")
    private Duration holds = Duration.ofHours(24);
  }

  private static Map<String, String> fields(Administrators.Invitation invitation) {
    var fields = new LinkedHashMap<String, String>();
    fields.put("issuer", invitation.subject().issuer());
    fields.put("subject", invitation.subject().id());
    fields.put("expires", invitation.expires().truncatedTo(ChronoUnit.SECONDS).toString());
    fields.put("invitation", new String(invitation.code().chars()));
    return fields;
  }

  /** A command about the administrators of one instance, on the host that it was given. */
  abstract static class OfInstance implements Callable<Integer> {
    @Mixin private GatewayOption gateway = new GatewayOption();
    @Mixin private InstanceOption instance = new InstanceOption();
    @Spec private @Nullable CommandSpec spec;

    /** Where the command works. */
    record Place(GatewayConfig config, Host host, Administrators administrators, UUID instance) {}

    abstract void at(Place place, PrintWriter out);

    @Override
    public final Integer call() {
      var config = gateway.read();
      try (var host = Host.open(config)) {
        at(
            new Place(config, host, host.administrators(), instance.chosen(config)),
            Commands.out(spec));
      }
      return 0;
    }
  }

  @Command(
      name = "invite",
      mixinStandardHelpOptions = true,
      footer = {
        "",
        "Example: grep11 admin invite --config gateway.yaml --apikey-name alice",
        Commands.EXIT_CODES
      },
      description = {
        "Lets a subject register its first key as a certificate administrator: prints a code for"
            + " `certmgr adminkey set`, once.",
        "The subject needs the role Certificate Manager first, by a grant, or in its tokens where"
            + " roles of its issuer count."
      })
  static final class Invite extends OfInstance {
    @Mixin private OutputOption output = new OutputOption();
    @Mixin private SubjectOption subject = new SubjectOption();
    @Mixin private ExpiryOption expiry = new ExpiryOption();

    @Override
    void at(Place place, PrintWriter out) {
      var invitation =
          place
              .administrators()
              .invite(place.instance(), subject.chosen(place.config(), place.host()), expiry.holds);
      try (var _ = invitation.code()) {
        output.one(out, fields(invitation));
      }
    }
  }

  @Command(
      name = "recover",
      mixinStandardHelpOptions = true,
      footer = {
        "",
        "Example: grep11 admin recover --config gateway.yaml --apikey-name alice --fingerprint 5f0c63d1",
        Commands.EXIT_CODES
      },
      description = {
        "Takes the lost key of an administrator away and prints an invitation for another one.",
        "The administrator's certificates stay, and the lock with them."
      })
  static final class Recover extends OfInstance {
    @Mixin private OutputOption output = new OutputOption();
    @Mixin private SubjectOption subject = new SubjectOption();
    @Mixin private ExpiryOption expiry = new ExpiryOption();

    @Option(
        names = "--fingerprint",
        required = true,
        paramLabel = "HEX",
        description = "of the lost key, as admin list shows it: another key is not touched")
    private String fingerprint = "";

    @Override
    void at(Place place, PrintWriter out) {
      var invitation =
          place
              .administrators()
              .recover(
                  place.instance(),
                  subject.chosen(place.config(), place.host()),
                  fingerprint,
                  expiry.holds);
      try (var _ = invitation.code()) {
        output.one(out, fields(invitation));
      }
    }
  }

  @Command(
      name = "withdraw",
      mixinStandardHelpOptions = true,
      footer = {
        "",
        "Example: grep11 admin withdraw --config gateway.yaml --apikey-name alice",
        Commands.EXIT_CODES
      },
      description = {
        "Takes leave to register a first key back: the subject's invitation, and the"
            + " countersignature of its key.",
        "A key that is registered already stays."
      })
  static final class Withdraw extends OfInstance {
    @Mixin private SubjectOption subject = new SubjectOption();

    @Override
    void at(Place place, PrintWriter out) {
      place
          .administrators()
          .withdraw(place.instance(), subject.chosen(place.config(), place.host()));
    }
  }

  @Command(
      name = "hand-over",
      mixinStandardHelpOptions = true,
      footer = {
        "",
        "Example: grep11 admin hand-over --config gateway.yaml --apikey-name alice --to-subject ApiKey-7c1d",
        Commands.EXIT_CODES
      },
      description = {
        "Gives the client CAs of a subject who is gone to another administrator, and takes the"
            + " subject's key away.",
        "The lock stays as it is: the other administrator removes what must go."
      })
  static final class HandOver extends OfInstance {
    @Mixin private SubjectOption subject = new SubjectOption();

    @Option(
        names = "--to-issuer",
        paramLabel = "ISS",
        description = "the iss of the other's tokens; default: that of the subject's")
    private @Nullable String toIssuer;

    @Option(
        names = "--to-subject",
        required = true,
        paramLabel = "SUB",
        description = "the other administrator, see: admin list")
    private String to = "";

    @Override
    void at(Place place, PrintWriter out) {
      var from = subject.chosen(place.config(), place.host());
      var heir = new Subject(Optional.ofNullable(toIssuer).orElse(from.issuer()), to);
      int given = place.administrators().handOver(place.instance(), from, heir);
      out.println(given + " client CAs now belong to " + to);
    }
  }

  @Command(
      name = "list",
      mixinStandardHelpOptions = true,
      footer = {"", "Example: grep11 admin list --config gateway.yaml", Commands.EXIT_CODES},
      description = {
        "Lists the certificate administrators of an instance and their keys, and who has leave to"
            + " register one: by an invitation, or by whose countersignature. Who has client CAs and"
            + " no key is listed too."
      })
  static final class ListAll extends OfInstance {
    @Mixin private OutputOption output = new OutputOption();

    @Override
    void at(Place place, PrintWriter out) {
      var administrators = place.administrators();
      output.list(
          out,
          COLUMNS,
          Stream.of(
                  administrators.list(place.instance()).stream().map(AdminCommand::fields),
                  administrators.ownersWithoutKey(place.instance()).entrySet().stream()
                      .map(owner -> withoutKey(owner.getKey(), owner.getValue())),
                  administrators.leaves(place.instance()).stream().map(AdminCommand::fields))
              .flatMap(rows -> rows)
              .toList());
    }
  }

  /** For programs what is not there is neither a text nor a number. */
  private static final Value NOTHING = new Value(null, "-");

  private static Map<String, Object> row(String state, Subject subject) {
    var fields = new LinkedHashMap<String, Object>();
    COLUMNS.forEach(column -> fields.put(column, NOTHING));
    fields.put("state", state);
    fields.put("issuer", subject.issuer());
    fields.put("subject", subject.id());
    return fields;
  }

  private static Map<String, Object> fields(Administrators.Standing standing) {
    var fields = row("registered", standing.subject());
    fields.put("fingerprint", standing.fingerprint());
    fields.put("since", standing.since().truncatedTo(ChronoUnit.SECONDS).toString());
    fields.put("counter", standing.counter());
    fields.put("certificates", standing.certificates());
    return fields;
  }

  private static Map<String, Object> withoutKey(Subject owner, long certificates) {
    var fields = row("without key", owner);
    fields.put("certificates", certificates);
    return fields;
  }

  private static Map<String, Object> fields(Administrators.Leave leave) {
    var fields =
        row(
            switch (leave.kind()) {
              case INVITATION -> "invited";
              case COUNTERSIGNATURE -> "countersigned";
            },
            leave.subject());
    leave.by().ifPresent(by -> fields.put("by", by.id()));
    fields.put("expires", leave.expires().truncatedTo(ChronoUnit.SECONDS).toString());
    return fields;
  }
}
