package dev.grep11.gateway.command;

import dev.grep11.gateway.Administrators;
import dev.grep11.gateway.GatewayConfig;
import dev.grep11.gateway.Host;
import dev.grep11.gateway.StartException;
import dev.grep11.gateway.iam.TokenServiceSettings;
import dev.grep11.gateway.store.Subject;
import java.time.Duration;
import java.time.temporal.ChronoUnit;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
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
            .orElseThrow(() -> new StartException("there is no API key \"" + name + "\""))
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

  @Command(
      name = "invite",
      mixinStandardHelpOptions = true,
      description = {
        "Lets a subject register its first key as a certificate administrator: prints a code for"
            + " `certmgr adminkey set`, once.",
        "The subject also needs the role Certificate Manager."
      })
  static final class Invite implements Callable<Integer> {
    @Mixin private GatewayOption gateway = new GatewayOption();
    @Mixin private OutputOption output = new OutputOption();
    @Mixin private InstanceOption instance = new InstanceOption();
    @Mixin private SubjectOption subject = new SubjectOption();
    @Mixin private ExpiryOption expiry = new ExpiryOption();
    @Spec private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
      var config = gateway.read();
      try (var host = Host.open(config)) {
        var invitation =
            host.administrators()
                .invite(instance.chosen(config), subject.chosen(config, host), expiry.holds);
        try (var _ = invitation.code()) {
          output.one(Commands.out(spec), fields(invitation));
        }
      }
      return 0;
    }
  }

  @Command(
      name = "recover",
      mixinStandardHelpOptions = true,
      description = {
        "Takes the lost key of an administrator away and prints an invitation for another one.",
        "The administrator's certificates stay, and the lock with them."
      })
  static final class Recover implements Callable<Integer> {
    @Mixin private GatewayOption gateway = new GatewayOption();
    @Mixin private OutputOption output = new OutputOption();
    @Mixin private InstanceOption instance = new InstanceOption();
    @Mixin private SubjectOption subject = new SubjectOption();
    @Mixin private ExpiryOption expiry = new ExpiryOption();

    @Option(
        names = "--fingerprint",
        required = true,
        paramLabel = "HEX",
        description = "of the lost key, as admin list shows it: another key is not touched")
    private String fingerprint = "";

    @Spec private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
      var config = gateway.read();
      try (var host = Host.open(config)) {
        var invitation =
            host.administrators()
                .recover(
                    instance.chosen(config),
                    subject.chosen(config, host),
                    fingerprint,
                    expiry.holds);
        try (var _ = invitation.code()) {
          output.one(Commands.out(spec), fields(invitation));
        }
      }
      return 0;
    }
  }

  @Command(
      name = "withdraw",
      mixinStandardHelpOptions = true,
      description = {
        "Takes leave to register a first key back: the subject's invitation, and the"
            + " countersignature of its key.",
        "A key that is registered already stays."
      })
  static final class Withdraw implements Callable<Integer> {
    @Mixin private GatewayOption gateway = new GatewayOption();
    @Mixin private InstanceOption instance = new InstanceOption();
    @Mixin private SubjectOption subject = new SubjectOption();

    @Override
    public Integer call() {
      var config = gateway.read();
      try (var host = Host.open(config)) {
        host.administrators().withdraw(instance.chosen(config), subject.chosen(config, host));
      }
      return 0;
    }
  }

  @Command(
      name = "hand-over",
      mixinStandardHelpOptions = true,
      description = {
        "Gives the client CAs of a subject who is gone to another administrator, and takes the"
            + " subject's key away.",
        "The lock stays as it is: the other administrator removes what must go."
      })
  static final class HandOver implements Callable<Integer> {
    @Mixin private GatewayOption gateway = new GatewayOption();
    @Mixin private InstanceOption instance = new InstanceOption();
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

    @Spec private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
      var config = gateway.read();
      try (var host = Host.open(config)) {
        var from = subject.chosen(config, host);
        var heir = new Subject(Optional.ofNullable(toIssuer).orElse(from.issuer()), to);
        int given = host.administrators().handOver(instance.chosen(config), from, heir);
        Commands.out(spec).println(given + " client CAs now belong to " + to);
      }
      return 0;
    }
  }

  @Command(
      name = "list",
      mixinStandardHelpOptions = true,
      description = {
        "Lists the certificate administrators of an instance and their keys, and who has leave to"
            + " register one: by an invitation, or by whose countersignature. Who has client CAs and"
            + " no key is listed too."
      })
  static final class ListAll implements Callable<Integer> {
    @Mixin private GatewayOption gateway = new GatewayOption();
    @Mixin private OutputOption output = new OutputOption();
    @Mixin private InstanceOption instance = new InstanceOption();
    @Spec private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
      var config = gateway.read();
      try (var host = Host.open(config)) {
        var chosen = instance.chosen(config);
        var administrators = host.administrators();
        output.list(
            Commands.out(spec),
            COLUMNS,
            Stream.of(
                    administrators.list(chosen).stream().map(AdminCommand::fields),
                    administrators.ownersWithoutKey(chosen).entrySet().stream()
                        .map(owner -> withoutKey(owner.getKey(), owner.getValue())),
                    administrators.leaves(chosen).stream().map(AdminCommand::fields))
                .flatMap(rows -> rows)
                .toList());
      }
      return 0;
    }
  }

  private static Map<String, String> fields(Administrators.Standing standing) {
    var fields = new LinkedHashMap<String, String>();
    fields.put("state", "registered");
    fields.put("issuer", standing.subject().issuer());
    fields.put("subject", standing.subject().id());
    fields.put("fingerprint", standing.fingerprint());
    fields.put("since", standing.since().truncatedTo(ChronoUnit.SECONDS).toString());
    fields.put("counter", Long.toString(standing.counter()));
    fields.put("certificates", Long.toString(standing.certificates()));
    fields.put("by", "");
    fields.put("expires", "");
    return fields;
  }

  private static Map<String, String> withoutKey(Subject owner, long certificates) {
    var fields = new LinkedHashMap<String, String>();
    COLUMNS.forEach(column -> fields.put(column, ""));
    fields.put("state", "without key");
    fields.put("issuer", owner.issuer());
    fields.put("subject", owner.id());
    fields.put("certificates", Long.toString(certificates));
    return fields;
  }

  private static Map<String, String> fields(Administrators.Leave leave) {
    var fields = new LinkedHashMap<String, String>();
    fields.put(
        "state",
        switch (leave.kind()) {
          case INVITATION -> "invited";
          case COUNTERSIGNATURE -> "countersigned";
        });
    fields.put("issuer", leave.subject().issuer());
    fields.put("subject", leave.subject().id());
    fields.put("fingerprint", "");
    fields.put("since", "");
    fields.put("counter", "");
    fields.put("certificates", "");
    fields.put("by", leave.by().map(Subject::id).orElse(""));
    fields.put("expires", leave.expires().truncatedTo(ChronoUnit.SECONDS).toString());
    return fields;
  }
}
