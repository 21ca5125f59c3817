package dev.grep11.gateway.command;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.store.AdministratorRecord;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.Subject;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;

/** The commands of the host: what they print, where, and how they end. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class CommandsTest {
  private static final String SUBJECT = "iam-ServiceId-reader";
  private Path data = Path.of("");

  @BeforeAll
  void make(@TempDir Path parent) {
    data = parent.resolve("demo");
    DemoData.open(data);
  }

  /** How a command ended. */
  record Ended(int code, String out, String err) {
    JsonNode json() throws Exception {
      assertThat(code).as(err).isZero();
      assertThat(err).isEmpty();
      return new ObjectMapper().readTree(out);
    }

    void refused(int expected) {
      assertThat(code).as(err).isEqualTo(expected);
      assertThat(out).isEmpty();
      assertThat(err.lines()).as("lines on standard error").hasSize(1);
      assertThat(err).startsWith("grep11: ").doesNotContain("Exception");
    }
  }

  static Ended run(String... arguments) {
    var out = new StringWriter();
    var err = new StringWriter();
    int code =
        Main.commandLine(arguments)
            .setOut(new PrintWriter(out))
            .setErr(new PrintWriter(err, true))
            .execute(arguments);
    return new Ended(code, out.toString(), err.toString());
  }

  /** With the demo it belongs to. */
  private Ended at(String... arguments) {
    var all = new ArrayList<>(List.of(arguments));
    all.addAll(List.of("--data", data.toString()));
    return run(all.toArray(String[]::new));
  }

  private String instance() {
    return GatewayConfig.read(DemoData.config(data)).instance().orElseThrow().toString();
  }

  @Test
  void anAuditFileIsVerifiedWithAndWithoutTheGateway() throws Exception {
    assertThat(at("masterkey", "create-next").code()).isZero();
    var file = data.resolve("audit.jsonl.commands");
    var whole = at("audit", "verify", file.toString(), "--output", "json").json();
    assertThat(whole.get("result").asText()).isEqualTo("intact");
    assertThat(whole.get("checkpoints-verified").isBoolean()).isTrue();
    assertThat(whole.get("checkpoints-verified").asBoolean()).isTrue();
    assertThat(whole.get("closed").asBoolean()).isTrue();
    assertThat(List.of("lines", "findings", "checkpoints", "lines-after-checkpoint"))
        .allSatisfy(name -> assertThat(whole.get(name).isIntegralNumber()).as(name).isTrue());
    assertThat(whole.get("end").asText()).isEqualTo("a closing checkpoint");

    var chain = run("audit", "verify", file.toString());
    assertThat(chain.code()).isZero();
    assertThat(chain.out()).contains("checkpoints-verified: no: name the gateway");
    var unverified = run("audit", "verify", file.toString(), "--output", "json").json();
    assertThat(unverified.get("checkpoints-verified").asBoolean()).isFalse();

    var changed = data.resolve("changed.jsonl");
    Files.writeString(changed, Files.readString(file).replace("create-next", "destroy"));
    var refused = run("audit", "verify", changed.toString(), "--output", "json");
    assertThat(refused.code()).isEqualTo(1);
    // Other tests of this demo write to the file as well.
    long before =
        Files.readAllLines(file).stream().takeWhile(line -> !line.contains("create-next")).count();
    assertThat(refused.err()).startsWith("grep11: " + changed + ": line " + (before + 1) + ": ");
    assertThat(refused.out()).contains("\"result\":\"not intact\"");
  }

  @Test
  void healthOfAGatewayThatDoesNotRunIsNoneAndSaysWhereItAsked() {
    var config = DemoData.config(data).toString();

    run("health", "--config", config, "--timeout", "0").refused(1);
    assertThat(run("health", "--config", config).err()).contains("no answer from", "/readyz");
    run("health", "--config", config, "--probe", "well").refused(2);
    run("health").refused(2);
  }

  @Test
  void anAuditFileThatIsNotThereIsNamed() {
    run("audit", "verify", "absent.jsonl").refused(1);
    run("audit", "verify").refused(2);
  }

  @Test
  void instancesAreMadeAndListed() throws Exception {
    var made =
        at(
                "instance",
                "create",
                "--name",
                "second",
                "--id",
                UUID.randomUUID().toString(),
                "--output",
                "json")
            .json();

    assertThat(made.get("name").asText()).isEqualTo("second");
    assertThat(made.get("crn").asText())
        .isEqualTo(
            "crn:v1:grep11:public:hs-crypto:local:a/default:" + made.get("id").asText() + "::");
    assertThat(at("instance", "list", "--output", "json").json().findValuesAsText("id"))
        .contains(instance(), made.get("id").asText());
    assertThat(at("instance", "list").out()).contains(instance());
    at("instance", "create", "--name", "again", "--id", made.get("id").asText()).refused(1);
  }

  @Test
  void masterKeysAreRotated() throws Exception {
    var id = UUID.randomUUID().toString();
    at("instance", "create", "--name", "rotated", "--id", id, "--output", "json").json();
    var old = masterKey(id, "list").get(0);
    assertThat(old.get("state").asText()).isEqualTo("active");
    var early = at("masterkey", "activate", "--instance", id);
    early.refused(1);
    assertThat(early.err()).contains("make a next one: grep11 masterkey create-next");

    var next = masterKey(id, "create-next");
    assertThat(next.get("state").asText()).isEqualTo("next");
    assertThat(next.get("changed").asBoolean()).isTrue();
    var again = masterKey(id, "create-next");
    assertThat(again.get("generation")).isEqualTo(next.get("generation"));
    assertThat(again.get("changed").asBoolean()).isFalse();
    assertThat(at("masterkey", "create-next", "--instance", id).err())
        .isEqualToIgnoringNewLines(
            "grep11: master key " + next.get("generation").asText() + " is next already");
    var active = masterKey(id, "activate");
    assertThat(active.get("generation")).isEqualTo(next.get("generation"));
    assertThat(active.get("state").asText()).isEqualTo("active");
    at("masterkey", "retire", "--instance", id).refused(1);
    at("masterkey", "retire", "--instance", id, "--unused-for", "soon").refused(2);
    var retired = masterKey(id, "retire", "--unused-for", "0s");
    assertThat(retired.get("generation")).isEqualTo(old.get("generation"));
    assertThat(retired.get("state").asText()).isEqualTo("retired");
    var generation = old.get("generation").asText();
    assertThat(at("masterkey", "destroy", "--instance", id, "--generation", generation).err())
        .contains("can be destroyed from");
    assertThat(at("masterkey", "activate", "--instance", id, "--generation", generation).err())
        .contains("is retired", "grep11 masterkey reinstate");
    at("masterkey", "destroy", "--instance", id).refused(2);
    assertThat(
            masterKey(id, "reinstate", "--generation", generation.substring(0, 8))
                .get("state")
                .asText())
        .isEqualTo("previous");
    assertThat(masterKey(id, "list").findValuesAsText("state"))
        .containsExactly("previous", "active");
    assertThat(at("masterkey", "destroy", "--instance", id, "--generation", generation).err())
        .contains(
            "is previous", "retire it first: grep11 masterkey retire --generation " + generation);
    assertThat(at("masterkey", "retire", "--instance", id).err())
        .contains("--unused-for", "--force");
  }

  @Test
  void masterKeysAreListedForProgramsInNumbersAndListsAndForPeopleInATableThatFits()
      throws Exception {
    var listed = at("masterkey", "list", "--output", "json").json().get(0);

    assertThat(listed.get("uses").isIntegralNumber()).isTrue();
    assertThat(listed.get("token-objects").asInt()).isEqualTo(5);
    assertThat(listed.get("last-used").isNull()).isTrue();
    assertThat(listed.get("confirmed-by").isArray()).isTrue();
    assertThat(listed.get("waiting-for").isEmpty()).isTrue();
    var table = at("masterkey", "list").out();
    assertThat(table).contains("never", "5 of 5", "0 of 0");
    assertThat(table.lines()).allSatisfy(line -> assertThat(line).hasSizeLessThan(130));
  }

  private JsonNode masterKey(String instance, String... arguments) throws Exception {
    var all = new ArrayList<>(List.of("masterkey"));
    all.addAll(List.of(arguments));
    all.addAll(List.of("--instance", instance, "--output", "json"));
    return at(all.toArray(String[]::new)).json();
  }

  @Test
  void certificateAdministratorsAreInvitedByACodeThatIsShownOnce() throws Exception {
    var invited = at("admin", "invite", "--apikey-name", "demo-certmgr", "--output", "json").json();

    assertThat(invited.get("invitation").asText()).startsWith("g11i_").hasSize(48);
    assertThat(invited.get("issuer").asText()).isEqualTo("https://localhost/identity");
    var leave = at("admin", "list", "--output", "json").json();
    assertThat(leave).hasSize(1);
    assertThat(leave.get(0).get("state").asText()).isEqualTo("invited");
    assertThat(leave.get(0).get("expires").asText()).isNotEmpty();
    assertThat(leave.get(0).get("counter").isNull()).isTrue();
    assertThat(leave.get(0).get("fingerprint").isNull()).isTrue();
    assertThat(at("admin", "withdraw", "--apikey-name", "demo-certmgr").code()).isZero();
    at("admin", "withdraw", "--apikey-name", "demo-certmgr").refused(1);
    assertThat(at("admin", "list", "--output", "json").json()).isEmpty();
    at("admin", "invite", "--apikey-name", "nobody").refused(1);
    var withoutRole = at("admin", "invite", "--apikey-name", "demo");
    withoutRole.refused(1);
    assertThat(withoutRole.err())
        .contains("has not the role Certificate Manager", "grep11 grant add", "apikey create");
    at("admin", "recover", "--subject", "nobody", "--fingerprint", "00").refused(1);
    at("admin", "invite", "--subject", "somebody", "--expires", "soon").refused(2);
    at("admin", "invite").refused(2);
  }

  @Test
  void administratorsAreListedForProgramsWithNumbersAndNothingForWhatIsNotThere() throws Exception {
    var administrator =
        new AdministratorRecord(
            UUID.fromString(instance()),
            new Subject("https://issuer.test", "alice"),
            new byte[] {1},
            7,
            Instant.now());
    change(change -> change.put(administrator));
    try {
      var listed = at("admin", "list", "--output", "json").json().get(0);
      assertThat(listed.get("state").asText()).isEqualTo("registered");
      assertThat(listed.get("counter").isIntegralNumber()).isTrue();
      assertThat(listed.get("counter").asInt()).isEqualTo(7);
      assertThat(listed.get("certificates").isIntegralNumber()).isTrue();
      assertThat(listed.get("by").isNull()).isTrue();
      assertThat(listed.get("expires").isNull()).isTrue();
      assertThat(at("admin", "list").out().lines().toList().get(1))
          .matches("registered +https://issuer.test +alice +\\p{XDigit}{64} +\\S+ +7 +0 +- +-");
    } finally {
      change(change -> change.remove(administrator));
    }
  }

  private void change(Consumer<Store.Change> work) {
    try (var host = Host.open(GatewayConfig.read(DemoData.config(data)))) {
      host.store()
          .change(change -> {
            work.accept(change);
            return true;
          });
    }
  }

  @Test
  void apiKeysAreMadeShownOnceListedAndDeleted() throws Exception {
    var made =
        at("apikey", "create", "--name", "app", "--role", "Writer", "--output", "json").json();
    var secret = made.get("apikey").asText();
    var listed = at("apikey", "list", "--output", "json");

    assertThat(secret).hasSizeGreaterThan(40);
    assertThat(listed.json().findValuesAsText("name")).contains("demo", "app");
    assertThat(listed.out()).doesNotContain(secret).contains(made.get("id").asText());
    at("apikey", "create", "--name", "app", "--role", "Writer").refused(1);
    at("apikey", "create", "--name", "other", "--role", "Emperor").refused(1);
    at(
            "apikey",
            "create",
            "--name",
            "other",
            "--role",
            "Writer",
            "--instance",
            UUID.randomUUID().toString())
        .refused(1);
    assertThat(at("apikey", "delete", "app").code()).isZero();
    at("apikey", "delete", "app").refused(1);
    assertThat(at("apikey", "list").out()).doesNotContain(made.get("id").asText());
  }

  @Test
  void grantsAreGivenListedAndTakenAway() throws Exception {
    String[] reader = {"--issuer", "https://issuer.test", "--subject", SUBJECT, "--role", "Reader"};

    assertThat(at(with("grant", "add", reader)).code()).isZero();
    at(with("grant", "add", reader)).refused(1);
    var listed = at("grant", "list", "--output", "json").json();
    assertThat(listed)
        .anySatisfy(grant -> {
          assertThat(grant.get("subject").asText()).isEqualTo(SUBJECT);
          assertThat(grant.get("issuer").asText()).isEqualTo("https://issuer.test");
          assertThat(grant.get("instance").asText()).isEqualTo(instance());
          assertThat(grant.get("entitlement").asText()).isEqualTo("Reader");
        });
    assertThat(at(with("grant", "remove", reader)).code()).isZero();
    at(with("grant", "remove", reader)).refused(1);
    assertThat(at("grant", "list").out()).doesNotContain(SUBJECT);
    at("grant", "add", "--issuer", "i", "--subject", "s", "--action", "hs-crypto.crypto.fly")
        .refused(1);
  }

  @Test
  void aGrantForAnIssuerThatIsNotConfiguredIsMadeWithAWarning() {
    String[] unknown = {"--issuer", "https://typo.test", "--subject", "s", "--role", "Reader"};

    var ended = at(with("grant", "add", unknown));

    assertThat(ended.code()).isZero();
    assertThat(ended.err())
        .startsWith("grep11: warning: ")
        .contains("issuer \"https://typo.test\"", "there are https://localhost/identity")
        .hasLineCount(1);
    assertThat(at(with("grant", "remove", unknown)).code()).isZero();
    String[] known = {
      "--issuer", "https://localhost/identity", "--subject", "s", "--role", "Reader"
    };
    assertThat(at(with("grant", "add", known)).err()).isEmpty();
    assertThat(at(with("grant", "remove", known)).code()).isZero();
  }

  @Test
  void listsAreTablesUnderARowOfHeadings() {
    var out = new StringWriter();
    new OutputOption()
        .list(
            new PrintWriter(out),
            List.of("id", "name", "resource"),
            List.of(
                Map.of("id", "1", "name", "a longer name"), Map.of("id", "22", "resource", "key")));

    assertThat(out.toString())
        .isEqualTo(
            """
            ID  NAME           RESOURCE
            1   a longer name  -
            22  -              key
            """);
  }

  @Test
  void everyOptionSaysWhatItIs() {
    var without = new ArrayList<String>();
    collectUndescribed(Main.commandLine().getCommandSpec(), without);

    assertThat(without).isEmpty();
  }

  private static void collectUndescribed(CommandLine.Model.CommandSpec command, List<String> into) {
    for (var argument : command.args()) {
      if (String.join("", argument.description()).isBlank()) {
        into.add(command.qualifiedName() + " " + argument.paramLabel());
      }
    }
    command.subcommands().values().forEach(sub -> collectUndescribed(sub.getCommandSpec(), into));
  }

  /** Of the help of each: what it shows is read by the command itself, required options and all. */
  @Test
  void everyCommandShowsAnExampleThatItUnderstandsAndItsExitCodes() {
    var commands = new ArrayList<CommandLine>();
    collectCommands(Main.commandLine(), commands);

    assertThat(commands).hasSizeGreaterThan(20);
    for (var command : commands) {
      var help = command.getUsageMessage();
      var examples = help.lines().filter(line -> line.startsWith("Example: grep11 ")).toList();
      assertThat(examples).as(help).isNotEmpty();
      assertThat(help).contains("Exit codes: 0 ");
      for (var example : examples) {
        var words = example.substring("Example: grep11 ".length()).split(" ");
        assertThatCode(() -> Main.commandLine(words).parseArgs(words))
            .as(example)
            .doesNotThrowAnyException();
        assertThat(example).contains(command.getCommandSpec().qualifiedName());
      }
    }
  }

  private static void collectCommands(CommandLine line, List<CommandLine> into) {
    line.getSubcommands().values().stream()
        .filter(sub -> !(sub.getCommand() instanceof CommandLine.HelpCommand))
        .forEach(sub -> {
          if (sub.getSubcommands().isEmpty()) {
            into.add(sub);
          }
          collectCommands(sub, into);
        });
  }

  @Test
  void helpNamesTheRolesAndActionsThereAre() {
    assertThat(run("apikey", "create", "--help").out()).contains("ReaderPlus").contains("Manager");
    assertThat(run("grant", "add", "--help").out())
        .contains("Certificate Manager")
        .contains("hs-crypto.crypto.generatekeypair");
    assertThat(run("instance", "create", "--help").out())
        .contains("crn:v1:grep11:public:hs-crypto:LOCATION:a/ACCOUNT:UUID::");
  }

  private static String[] with(String command, String verb, String... options) {
    return Stream.concat(Stream.of(command, verb), Stream.of(options)).toArray(String[]::new);
  }

  @Test
  void doctorFindsADemoGood() throws Exception {
    var found = run("doctor", "--config", withFreePorts().toString(), "--output", "json").json();

    assertThat(found.findValuesAsText("check"))
        .contains("Java", "configuration", "server certificate", "store", "sealing keys");
    // The machine and the flags of a test's JVM may be worth a warning.
    assertThat(found.findValuesAsText("level")).doesNotContain("bad");
    assertThat(run("doctor").code()).isZero();
  }

  @Test
  void doctorNamesWhatIsWrong() throws Exception {
    var config = withFreePorts();
    Files.writeString(config, Files.readString(config) + "frobnicate: true\nenrolment: nobody\n");

    var ended = run("doctor", "--config", config.toString(), "--output", "json");

    assertThat(ended.code()).isEqualTo(1);
    var found = new ObjectMapper().readTree(ended.out());
    assertThat(found)
        .anySatisfy(finding -> {
          assertThat(finding.get("check").asText()).isEqualTo("configuration");
          assertThat(finding.get("level").asText()).isEqualTo("bad");
          assertThat(finding.get("detail").asText()).contains("frobnicate");
        })
        .anySatisfy(finding -> assertThat(finding.get("detail").asText()).startsWith("enrolment: "))
        .as("the others are checked all the same")
        .anySatisfy(finding -> assertThat(finding.get("check").asText()).isEqualTo("sealing keys"));
  }

  private Path withFreePorts() throws Exception {
    var config = Files.createTempFile(data, "doctor", ".yaml");
    return Files.writeString(
        config,
        Files.readString(DemoData.config(data))
            .replace("host: 127.0.0.1", "host: 127.0.0.1\n  portBase: 0"));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "frobnicate",
        "serve",
        "serve --config",
        "up --port-base many",
        "up --port-base 99999",
        "up --port-base -1",
        "masterkey status --data a",
        "masterkey list --data a --instance 123",
        "masterkey destroy --data a",
        "instance create --name x",
        "instance create --data a --config b --name x",
        "instance list --data a --output xml",
        "apikey create --data a --name x",
        "apikey delete --data a",
        "grant add --data a --issuer i --subject s",
        "grant add --data a --issuer i --subject s --role r --action x",
        "doctor --frobnicate"
      })
  void wrongUseEndsWithTwo(String command) {
    run(command.split(" ")).refused(2);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "instance list --data %s",
        "serve --config %s/gateway.yaml",
        "apikey list --data %s",
        "masterkey list --data %s",
        "masterkey list --data %s/none",
        "masterkey list --config %s/none.yaml",
        "up --data /proc/x --port-base 0"
      })
  void aGatewayThatIsNotThereEndsWithOne(String command, @TempDir Path empty) {
    run(command.formatted(empty).split(" ")).refused(1);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "masterkey status|there is no grep11 masterkey status, there are: list, create-next,",
        "frobnicate|there is no grep11 frobnicate, there are: serve, up,",
        "up --port-base 99999|--port-base 99999 is no port from 1 to 65532, nor 0",
        "masterkey list --data a --instance 123|'123' is no UUID",
        "masterkey destroy --data a|--generation",
        "masterkey list --data %s/none|none; make a demo gateway by: grep11 up --data %s/none",
        "masterkey list --data %s|there is no gateway.yaml in it",
        "masterkey list --config %s/no.yaml|no.yaml: there is no such file",
        "up --data /proc/x --port-base 0|/proc/x cannot be written: no directory can be made there",
      })
  void aRefusalSaysWhyAndWhatToDo(String command, String said, @TempDir Path empty) {
    var ended = run(command.replace("%s", empty.toString()).split(" "));

    assertThat(ended.err().lines()).hasSize(1);
    assertThat(ended.err()).contains(said.replace("%s", empty.toString()));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "serve",
        "up",
        "instance",
        "instance create",
        "apikey",
        "apikey create",
        "grant",
        "grant add",
        "doctor"
      })
  void everyCommandHasHelp(String command) {
    var ended = run((command + " --help").strip().split(" "));

    assertThat(ended.code()).isZero();
    assertThat(ended.out()).contains("Usage: grep11");
    assertThat(ended.err()).isEmpty();
  }

  @Test
  void asAProcessItEndsTheSameWay(@TempDir Path output) throws Exception {
    try (var listed =
            GatewayProcess.start(
                output, "grant", "list", "--data", data.toString(), "--output", "json");
        var refused =
            GatewayProcess.start(output, "apikey", "delete", "none", "--data", data.toString());
        var wrong = GatewayProcess.start(output, "grant", "list")) {
      assertThat(listed.awaitExit()).as(listed.stderr()).isZero();
      assertThat(new ObjectMapper().readTree(listed.stdout()).isArray()).isTrue();
      assertThat(refused.awaitExit()).isEqualTo(1);
      assertThat(refused.stderr())
          .isEqualTo("grep11: there is no API key \"none\"; see: grep11 apikey list\n");
      assertThat(wrong.awaitExit()).isEqualTo(2);
      assertThat(wrong.stderr().lines()).hasSize(1);
    }
  }
}
