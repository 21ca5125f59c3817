package dev.grep11.gateway.command;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.command.CommandsTest.Ended;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What an operator sees of a backup and of its way back. */
class BackupCommandsTest {
  @TempDir private Path parent;
  private Path data = Path.of("");
  private String file = "";

  @BeforeEach
  void make() {
    data = parent.resolve("demo");
    DemoData.open(data);
    file = parent.resolve("backup").toString();
  }

  private Ended at(String... arguments) {
    var all = new ArrayList<>(List.of(arguments));
    all.addAll(List.of("--data", data.toString()));
    return CommandsTest.run(all.toArray(String[]::new));
  }

  @Test
  void aBackupSaysWhatIsInItAndIsRehearsed() throws Exception {
    var made = at("backup", "--to", file, "--output", "json").json();
    assertThat(made.get("file").asText()).isEqualTo(file);
    assertThat(made.get("bytes").asLong()).isEqualTo(Files.size(Path.of(file)));
    assertThat(made.get("generation").isIntegralNumber()).isTrue();
    assertThat(made.get("samples").asInt()).isEqualTo(3);
    assertThat(made.at("/token/label").asText()).isEqualTo("grep11-demo");
    assertThat(made.at("/rows/instance").asInt()).isEqualTo(1);
    assertThat(made.at("/master-keys/0/master-keys/0/state").asText()).isEqualTo("ACTIVE");
    var again = at("backup", "--to", file);
    again.refused(1);
    assertThat(again.err()).contains("is there already", "--overwrite");
    assertThat(at("backup", "--to", file, "--overwrite").out())
        .contains("token: \"grep11-demo\" (serial ", "1 instance");
    at("backup").refused(2);

    var good = at("rehearse", "--output", "json").json();
    assertThat(good.get("file").asText()).isEqualTo(file);
    assertThat(good.get("result").asText()).isEqualTo("good");
    assertThat(good.get("master-keys").asInt()).isEqualTo(1);
    assertThat(good.get("samples").asInt()).isEqualTo(3);
    assertThat(good.get("counts").asBoolean()).isTrue();
    assertThat(good.get("token").asText()).isEqualTo("copy");
    assertThat(at("rehearse", "--from", file).out()).contains("give a client's by --blob FILE");
    var bytes = Files.readAllBytes(Path.of(file));
    bytes[bytes.length / 2] ^= 1;
    Files.write(Path.of(file), bytes);
    var bad = at("rehearse", "--from", file);
    bad.refused(1);
    assertThat(bad.err()).contains("refused whole");
    assertThat(Files.readString(data.resolve("audit.jsonl.commands")))
        .contains("\"grep11.store.backup\"", "\"grep11.store.rehearse\"", "\"failure\"");
  }

  /** Before a backup is verified, no byte of it may reach a terminal as it is. */
  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void aBackupThatIsNotVerifiedYetSaysNothingToTheTerminalItself(boolean otherKey)
      throws Exception {
    at("backup", "--to", file, "--output", "json").json();
    var whole = Files.readAllBytes(Path.of(file));
    int begin = "grep11 backup 1\n".length();
    int length = ByteBuffer.wrap(whole).getInt(begin);
    var manifest = new String(whole, begin + 4, length, UTF_8);
    var key = manifest.replaceFirst(".*\"store-key\":\"([0-9a-f]{32})\".*", "$1");
    var forged =
        manifest
            .replace("\"label\":\"", "\"label\":\"canary\\u001b[2J\\u009b1A\\n\\u202e")
            .replaceAll("(\"(serial|manufacturer|model)\":\")", "$1\\\\u001b]0;\\\\u0007");
    forged = forged.replace(key, otherKey ? "ab".repeat(16) : "\\u001b[2J" + key.substring(4));
    var bytes = forged.getBytes(UTF_8);
    Files.write(
        Path.of(file),
        ByteBuffer.allocate(whole.length - length + bytes.length)
            .put(whole, 0, begin)
            .putInt(bytes.length)
            .put(bytes)
            .put(whole, begin + 4 + length, whole.length - begin - 4 - length)
            .array());
    at("rehearse", "--from", file).refused(1);
    // Then the ids of the backup are gone by.
    Files.delete(data.resolve("store/token-keys"));

    for (var command : List.of("restore", "rehearse")) {
      var refused = at(command, "--from", file);
      refused.refused(1);
      assertThat((refused.out() + refused.err()).codePoints().filter(each -> each != '\n'))
          .noneMatch(each -> Character.isISOControl(each) || each == 0x202e);
    }
    assertThat(at("restore", "--from", file).err())
        .contains(
            otherKey
                ? "needs the token \"canary?[2J?1A??grep11-demo\" (serial ?]0;?"
                : "the backup's manifest cannot be read");
  }

  @Test
  void aRestoreListsWhatComesBackAndHasToBeAccepted() throws Exception {
    at("apikey", "create", "--name", "removed-later", "--role", "Reader", "--output", "json")
        .json();
    at("backup", "--to", file, "--output", "json").json();
    assertThat(at("apikey", "delete", "removed-later").code()).isZero();

    var listed = at("restore", "--from", file);
    assertThat(listed.code()).as(listed.err()).isZero();
    assertThat(listed.out())
        .contains(
            "result: nothing was changed",
            "in-place: a store of generation ",
            "API keys (disabled until they are confirmed):",
            "removed-later",
            "Client CAs: none",
            "is undone.",
            "The store in place opens, and a restore leaves it as it is.")
        .doesNotContain("--replace", "Master keys in place");
    var json = at("restore", "--from", file, "--output", "json").json();
    assertThat(json.get("api-keys").findValuesAsText("name")).contains("removed-later");
    assertThat(json.get("grants").isEmpty()).isFalse();
    assertThat(json.get("remembered-by-token").asLong())
        .isGreaterThan(json.get("granted-in").asLong());
    var generation = json.get("generation").asText();
    assertThat(at("restore", "--from", file, "--replace").out())
        .contains(
            "grep11 restore --data %s --from %s --accept-generation %s --replace"
                .formatted(data, file, generation));

    var unasked = at("restore", "--from", file, "--accept-generation", generation);
    unasked.refused(1);
    assertThat(unasked.err()).contains("Give --replace");
    at("restore", "--from", file, "--confirm-apikeys", "some").refused(2);
    var wrong = at("restore", "--from", file, "--replace", "--accept-generation", generation + "0");
    wrong.refused(1);
    assertThat(wrong.err()).contains("the backup is of generation " + generation);
    assertThat(at("apikey", "list").out()).doesNotContain("removed-later");

    var restored =
        at(
                "restore",
                "--from",
                file,
                "--replace",
                "--accept-generation",
                generation,
                "--confirm-apikey",
                "demo-guest",
                "--output",
                "json")
            .json();
    assertThat(restored.get("generation").asLong()).isGreaterThan(Long.parseLong(generation));
    assertThat(state("removed-later")).isEqualTo("disabled");
    assertThat(state("demo-guest")).isEqualTo("enabled");
    assertThat(
            at("apikey", "confirm", "removed-later", "--output", "json")
                .json()
                .get("state")
                .asText())
        .isEqualTo("enabled");
    assertThat(state("removed-later")).isEqualTo("enabled");
    at("apikey", "confirm", "nobody's").refused(1);
  }

  @Test
  void aMasterKeyMadeSinceTheBackupIsListedAndDroppedByItsName() throws Exception {
    at("backup", "--to", file, "--output", "json").json();
    var made = at("masterkey", "create-next", "--output", "json").json();
    var id = made.get("generation").asText();
    var listed = at("restore", "--from", file, "--output", "json").json();
    assertThat(listed.at("/master-keys-dropped/0/master-key").asText()).isEqualTo(id);
    assertThat(listed.at("/master-keys-dropped/0/state").asText()).isEqualTo("NEXT");
    assertThat(listed.get("master-keys-reverted").isEmpty()).isTrue();
    assertThat(at("restore", "--from", file, "--replace").out())
        .contains("Master keys in place that the backup lacks", id, "--drop-masterkey ID");

    var generation = listed.get("generation").asText();
    var unnamed = at("restore", "--from", file, "--replace", "--accept-generation", generation);
    unnamed.refused(1);
    assertThat(unnamed.err()).contains("--drop-masterkey " + id);
    assertThat(at("masterkey", "list").out()).contains(id);

    var dropped =
        at(
            "restore",
            "--from",
            file,
            "--replace",
            "--accept-generation",
            generation,
            "--drop-masterkey",
            id);
    assertThat(dropped.code()).as(dropped.err()).isZero();
    assertThat(at("masterkey", "list").out()).doesNotContain(id);
    assertThat(Files.readString(data.resolve("audit.jsonl.commands")))
        .contains("master key " + id + " is lost");
  }

  private String state(String name) throws Exception {
    for (var key : at("apikey", "list", "--output", "json").json()) {
      if (key.get("name").asText().equals(name)) {
        return key.get("state").asText();
      }
    }
    throw new AssertionError("no API key " + name);
  }

  @Test
  void whoeverLostTheStoreIsToldOfTheWayBack() throws Exception {
    Files.delete(data.resolve("store/token-keys"));

    assertThat(at("apikey", "list").err()).contains("comes back by: grep11 restore");
  }

  @Test
  void aFileThatIsNoBackupIsNamed() throws Exception {
    var absent = parent.resolve("absent");
    at("restore", "--from", absent.toString()).refused(1);
    assertThat(at("restore", "--from", absent.toString()).err())
        .contains("there is no backup " + absent);
    assertThat(at("backup", "--to", absent.resolve("file").toString()).err())
        .contains("cannot write the backup", "there is no directory " + absent);
    Files.writeString(Path.of(file), "not one");
    var refused = at("restore", "--from", file);
    refused.refused(1);
    assertThat(refused.err()).contains(file, "no backup of a gateway");
  }
}
