package dev.grep11.gateway.command;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.store.Store;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.function.Function;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** Commands that let somebody in or out, as events of the audit file, without which nothing is. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class AccessEventsTest {
  private static final String ISSUER = "https://issuer.test";
  private static final String SUBJECT = "iam-ServiceId-reader";
  private static final String[] READER = {
    "--issuer", ISSUER, "--subject", SUBJECT, "--role", "Reader"
  };
  private Path data = Path.of("");
  private int seen;

  @BeforeAll
  void make(@TempDir Path parent) {
    data = parent.resolve("demo");
    DemoData.open(data);
  }

  @BeforeEach
  void forget() throws IOException {
    seen = events().size();
  }

  private CommandsTest.Ended at(String... arguments) {
    var all = new ArrayList<>(List.of(arguments));
    all.addAll(List.of("--data", data.toString()));
    return CommandsTest.run(all.toArray(String[]::new));
  }

  private static String[] with(String command, String verb, String... more) {
    var all = new ArrayList<>(List.of(command, verb));
    all.addAll(List.of(more));
    return all.toArray(String[]::new);
  }

  private Path commandsFile() {
    return data.resolve("audit.jsonl.commands");
  }

  private List<JsonNode> events() throws IOException {
    var events = new ArrayList<JsonNode>();
    if (Files.isRegularFile(commandsFile())) {
      for (var line : Files.readAllLines(commandsFile())) {
        var event = new ObjectMapper().readTree(line);
        if (!event.path("action").asText().startsWith("grep11.audit.")) {
          events.add(event);
        }
      }
    }
    return events;
  }

  /** The one event since the last that was asked for. */
  private JsonNode event() throws IOException {
    var events = events();
    assertThat(events).as("events").hasSize(seen + 1);
    seen = events.size();
    return events.getLast();
  }

  private void assertDone(
      JsonNode event, String action, String severity, String target, String name, String done) {
    assertThat(event.path("action").asText()).isEqualTo(action);
    assertThat(event.path("outcome").asText()).isEqualTo("success");
    assertThat(event.path("severity").asText()).isEqualTo(severity);
    var words = List.of(action.split("\\.", -1));
    assertThat(event.at("/initiator/id").asText()).isEqualTo(System.getProperty("user.name"));
    assertThat(event.at("/initiator/host/agent").asText()).isEqualTo("grep11 " + words.get(1));
    assertThat(event.at("/target/id").asText()).isEqualTo(target);
    assertThat(event.at("/target/name").asText()).isEqualTo(name);
    assertThat(event.at("/target/typeURI").asText()).isEqualTo("grep11/" + words.get(1));
    assertThat(event.at("/requestData/requestURI").asText())
        .isEqualTo(words.get(1) + " " + words.get(2));
    assertThat(event.at("/responseData/action").asText()).isEqualTo(done);
    assertThat(UUID.fromString(event.path("id").asText())).isNotNull();
  }

  private void assertRefused(JsonNode event, String action, String why) {
    assertThat(event.path("action").asText()).isEqualTo(action);
    assertThat(event.path("outcome").asText()).isEqualTo("failure");
    assertThat(event.at("/reason/reasonCode").asInt()).isEqualTo(409);
    assertThat(event.at("/reason/reasonForFailure").asText()).contains(why);
  }

  private String instance() {
    return GatewayConfig.read(DemoData.config(data)).instance().orElseThrow().toString();
  }

  private <T> T store(Function<Store, T> work) {
    try (var host = Host.open(GatewayConfig.read(DemoData.config(data)))) {
      return work.apply(host.store());
    }
  }

  @Test
  void anApiKeyIsRecordedWhenItIsMadeConfirmedAndDeletedAndNeverItsSecret() throws Exception {
    var keystore = UUID.randomUUID().toString();
    var made =
        at(
                "apikey",
                "create",
                "--name",
                "app",
                "--role",
                "Writer",
                "--role",
                "Reader",
                "--keystore",
                keystore,
                "--output",
                "json")
            .json();
    var id = made.get("id").asText();
    var subject = made.get("subject").asText();
    var created = event();
    assertDone(
        created,
        "grep11.apikey.create",
        "critical",
        id,
        "app",
        "made, on keystore:" + keystore + " with Reader, Writer");
    assertThat(created.at("/requestData/instanceID").asText()).isEqualTo(instance());
    assertThat(created.at("/requestData/accountId").asText()).isEqualTo(subject);

    at("apikey", "create", "--name", "app", "--role", "Writer").refused(1);
    assertRefused(event(), "grep11.apikey.create", "there is an API key \"app\" already");

    store(store ->
        store.change(change -> {
          var key = change.snapshot().apiKey(UUID.fromString(id)).orElseThrow();
          return change.replace(key.disabled(Optional.of(Instant.now())));
        }));
    assertThat(at("apikey", "confirm", "app").code()).isZero();
    var confirmed = event();
    assertDone(confirmed, "grep11.apikey.confirm", "critical", id, "app", "counts again");
    assertThat(confirmed.at("/requestData/accountId").asText()).isEqualTo(subject);

    assertThat(at("apikey", "delete", id).code()).isZero();
    var deleted = event();
    assertDone(deleted, "grep11.apikey.delete", "critical", id, "app", "deleted, with its grants");
    assertThat(deleted.at("/requestData/accountId").asText()).isEqualTo(subject);
    for (var verb : List.of("confirm", "delete")) {
      at("apikey", verb, "app").refused(1);
      assertRefused(event(), "grep11.apikey." + verb, "there is no API key \"app\"");
    }

    var secret = made.get("apikey").asText();
    assertThat(secret).startsWith("g11_");
    assertThat(Files.readString(commandsFile())).doesNotContain("g11_");
    // A key where its name belongs, by mistake.
    for (var command :
        List.of(
            with("apikey", "delete", secret),
            with("apikey", "confirm", secret),
            with("apikey", "create", "--name", secret, "--role", "Writer"))) {
      var ended = at(command);
      ended.refused(1);
      assertThat(ended.err()).doesNotContain(secret);
      var refused = event();
      assertRefused(refused, "grep11.apikey." + command[1], "API key");
      assertThat(refused.at("/target/name").asText()).isEqualTo("g11_…");
    }
    assertThat(Files.readString(commandsFile())).doesNotContain(secret);
    assertIntact();
  }

  @Test
  void aGrantIsRecordedWhenItIsGivenAndTakenAway() throws Exception {
    assertThat(at(with("grant", "add", READER)).code()).isZero();
    var added = event();
    assertDone(added, "grep11.grant.add", "critical", SUBJECT, ISSUER, "gave Reader");
    assertThat(added.at("/requestData/instanceID").asText()).isEqualTo(instance());
    assertThat(added.at("/requestData/accountId").asText()).isEqualTo(SUBJECT);
    at(with("grant", "add", READER)).refused(1);
    assertRefused(event(), "grep11.grant.add", "has this grant already");

    assertThat(at(with("grant", "remove", READER)).code()).isZero();
    assertDone(event(), "grep11.grant.remove", "critical", SUBJECT, ISSUER, "took away Reader");
    at(with("grant", "remove", READER)).refused(1);
    assertRefused(event(), "grep11.grant.remove", "has no such grant");

    String[] action = {
      "--issuer",
      ISSUER,
      "--subject",
      SUBJECT,
      "--resource",
      "key",
      "--action",
      "hs-crypto.ep11.use,hs-crypto.crypto.sign"
    };
    assertThat(at(with("grant", "add", action)).code()).isZero();
    assertDone(
        event(),
        "grep11.grant.add",
        "critical",
        SUBJECT,
        ISSUER,
        "gave on key: hs-crypto.crypto.sign,hs-crypto.ep11.use");
    assertThat(at(with("grant", "remove", action)).code()).isZero();
    assertThat(event().path("outcome").asText()).isEqualTo("success");
    assertIntact();
  }

  @Test
  void anInstanceIsRecordedWhenItIsMade() throws Exception {
    var made = at("instance", "create", "--name", "one", "--id", random(), "--output", "json");
    var id = made.json().get("id").asText();
    var created = event();
    assertDone(
        created,
        "grep11.instance.create",
        "normal",
        made.json().get("crn").asText(),
        "one",
        "made, with sealing keys");
    assertThat(created.at("/requestData/instanceID").asText()).isEqualTo(id);
    at("instance", "create", "--name", "again", "--id", id).refused(1);
    assertRefused(event(), "grep11.instance.create", "there is an instance " + id + " already");
    assertIntact();
  }

  private static String random() {
    return UUID.randomUUID().toString();
  }

  private void assertIntact() {
    var verified = at("audit", "verify", commandsFile().toString());
    assertThat(verified.code()).as(verified.err() + verified.out()).isZero();
  }

  /** Everything of the store that these commands change. */
  private List<Object> contents() {
    return store(store ->
        List.of(
            store.snapshot().apiKeys(), store.snapshot().grants(), store.snapshot().instances()));
  }

  @Test
  void nothingIsChangedThatCannotBeRecorded() throws Exception {
    assertThat(at("apikey", "create", "--name", "kept", "--role", "Writer").code()).isZero();
    store(store ->
        store.change(change -> {
          var key =
              change.snapshot().apiKeys().stream()
                  .filter(each -> each.name().equals("kept"))
                  .findFirst()
                  .orElseThrow();
          return change.replace(key.disabled(Optional.of(Instant.now())));
        }));
    var held = with("grant", "add", "--issuer", ISSUER, "--subject", "holder", "--role", "Reader");
    assertThat(at(held).code()).isZero();
    var before = contents();
    // Where a directory is, no file is written.
    var aside = commandsFile().resolveSibling("aside");
    Files.move(commandsFile(), aside);
    Files.createDirectory(commandsFile());
    try {
      var commands =
          List.of(
              with("apikey", "create", "--name", "other", "--role", "Writer"),
              with("apikey", "confirm", "kept"),
              with("apikey", "delete", "kept"),
              with("grant", "add", READER),
              with(
                  "grant", "remove", "--issuer", ISSUER, "--subject", "holder", "--role", "Reader"),
              with("instance", "create", "--name", "another", "--id", random()));
      for (var command : commands) {
        var ended = at(command);
        ended.refused(1);
        assertThat(ended.err()).contains("cannot be recorded in the audit file, so it is not made");
        assertThat(contents()).as(String.join(" ", command)).isEqualTo(before);
      }
    } finally {
      Files.delete(commandsFile());
      Files.move(aside, commandsFile());
    }
    assertThat(at("apikey", "confirm", "kept").code()).isZero();
    assertThat(at(with("grant", "add", READER)).code()).isZero();
    assertThat(at(with("grant", "remove", READER)).code()).isZero();
    assertIntact();
  }
}
