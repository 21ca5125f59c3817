package dev.grep11.certmgr;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.gson.JsonParser;
import dev.grep11.client.certmgr.CertificatePem;
import io.grpc.Status;
import java.io.ByteArrayInputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The commands as they are typed, and what they print, over real TLS. */
class CommandsTest {
  private static final String CRN =
      "crn:v1:grep11:public:hs-crypto:here:a/bank:0b5f8ab2-29b5-4b6f-8c1d-0f6f3f2f9b11::";

  @TempDir private Path directory;

  private SoftwareManager manager;
  private TestPki.Identity server;
  private TestPki.Identity ca;
  private Map<String, String> environment;
  private String input = "";

  private record Result(int status, String out, String err) {}

  @BeforeEach
  void start() throws Exception {
    server = TestPki.leaf(directory, "server");
    ca = TestPki.ca(directory, "payments", Duration.ofDays(365));
    manager = new SoftwareManager(server);
    environment = new HashMap<>();
    environment.put("HOME", directory.toString());
    environment.put("CERTMGR_SERVER", manager.address());
    environment.put("GREP11_CA", server.certificate().toString());
    environment.put("GREP11_IAMENDPOINT", manager.tokenEndpoint());
    environment.put("CERTMGR_APIKEY", "secret-api-key");
  }

  @AfterEach
  void stop() {
    manager.close();
  }

  // ---- The documented output, to the letter

  @Test
  void adminkeyGetPrintsAnEmptyTableWhereNoKeyIsRegistered() {
    assertThat(completed("adminkey", "get"))
        .isEqualTo(
            """
            connecting to server [%s]...
            +------------+--------+
            | PROPERTIES | VALUES |
            +------------+--------+
            | PublicKey  |        |
            +------------+--------+

            command completed successfully.
            """
                .formatted(manager.address()));
  }

  @Test
  void adminkeySetPrintsWhereTheFilesAreAndRegistersThePublicOne() throws Exception {
    var printed = completed("adminkey", "set");

    var privateKey = keys().get(0);
    var publicKey = Path.of(privateKey.toString().replace(".priv", ".pub"));
    var rule = "+------------+-" + "-".repeat(privateKey.toString().length()) + "-+";
    assertThat(printed)
        .isEqualTo(
            """
            connecting to server [%s]...
            %s
            | KEYTYPE    | %s |
            %s
            | PrivateKey | %s |
            | PublicKey  | %s  |
            %s

            The key pair is stored on this machine only, and its public half is registered now.
            Keep the private key safe, and a copy of it: without it no change can be signed.

            command completed successfully.
            """
                .formatted(
                    manager.address(),
                    rule,
                    "FILE" + " ".repeat(privateKey.toString().length() - 4),
                    rule,
                    privateKey,
                    publicKey,
                    rule));
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(privateKey)))
        .isEqualTo("rw-------");
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(privateKey.getParent())))
        .isEqualTo("rwx------");
    assertThat(privateKey.getFileName().toString())
        .matches("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\\.priv");
    var base64 = Base64.getEncoder().encodeToString(manager.registeredKey());
    assertThat(Files.readString(publicKey).replaceAll("-----[A-Z ]+-----|\\s", ""))
        .isEqualTo(base64);
    assertThat(completed("adminkey", "get")).contains("| PublicKey  | " + base64 + " |");
  }

  @Test
  void adminkeyUpdateMakesNewFilesAndLeavesTheOldOnes() throws Exception {
    var old = enrolled();

    var printed = completed("adminkey", "update", "--admin-priv-key", old);

    assertThat(printed)
        .contains("| KEYTYPE    | FILE")
        .endsWith("\n\ncommand completed successfully.\n");
    assertThat(keys()).hasSize(2).contains(Path.of(old));
    assertThat(failed("cert", "delete", "--admin-priv-key", old, "--cert-id", "a"))
        .contains("signature rejected");
  }

  @Test
  void changesWithoutBodyPrintTheLastLineAlone() {
    var key = enrolled();

    assertThat(
            completed(
                "cert",
                "set",
                "--admin-priv-key",
                key,
                "--cert-id",
                "payments",
                "--cert",
                ca.certificate().toString()))
        .isEqualTo(
            "connecting to server [%s]...\ncommand completed successfully.\n"
                .formatted(manager.address()));
    assertThat(completed("cert", "delete", "--admin-priv-key", key, "--cert-id", "payments"))
        .isEqualTo(
            """
            connecting to server [%s]...
            other administrators hold 0 certificates; mutual TLS is off for this instance
            command completed successfully.
            """
                .formatted(manager.address()));
    assertThat(completed("adminkey", "delete", "--admin-priv-key", key))
        .isEqualTo(
            "connecting to server [%s]...\ncommand completed successfully.\n"
                .formatted(manager.address()));
  }

  @Test
  void certListHasNoRuleUnderItsHeadingsAndAnEmptyRowAfterEachCertificate() {
    registered("payments");

    var pem = CertificatePem.write(ca.x509()).lines().toList();
    var expected = new ArrayList<String>();
    expected.add("connecting to server [%s]...".formatted(manager.address()));
    var rule = "+----------+" + "-".repeat(66) + "+";
    expected.add(rule);
    expected.add("| CERTID   | CERT" + " ".repeat(60) + " |");
    for (int i = 0; i < pem.size(); i++) {
      var line = pem.get(i);
      expected.add(
          "| "
              + (i == 0 ? "payments" : "        ")
              + " | "
              + line
              + " ".repeat(64 - line.length())
              + " |");
    }
    expected.add("|          |" + " ".repeat(66) + "|");
    expected.add(rule);
    expected.add("");
    expected.add("command completed successfully.");
    assertThat(completed("cert", "list").lines().toList()).isEqualTo(expected);
  }

  @Test
  void anEmptyCertListTellsOfOtherAdministrators() {
    manager.others = 1;

    assertThat(completed("cert", "list"))
        .isEqualTo(
            """
            connecting to server [%s]...
            other administrators hold 1 certificate; mutual TLS is on for this instance
            command completed successfully.
            """
                .formatted(manager.address()));
  }

  @Test
  void certGetPrintsTheHeaderBeforeThePemAndWritesTheFile() throws Exception {
    registered("payments");
    var file = directory.resolve("back.pem");
    var pem = CertificatePem.write(ca.x509());

    assertThat(
            completed("cert", "get", "--cert-id", "payments", "--cert-store-file", file.toString()))
        .isEqualTo(
            """
            connecting to server [%s]...
            ------------------ The returned certification ------------------
            %s
            command completed successfully.
            """
                .formatted(manager.address(), pem));
    assertThat(file).hasContent(pem);
    assertThat(failed("cert", "get", "--cert-id", "payments", "--cert-store-file", file.toString()))
        .contains("exists")
        .contains("--overwrite");
    completed(
        "cert",
        "get",
        "--cert-id",
        "payments",
        "--overwrite",
        "--cert-store-file",
        file.toString());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "adminkey get",
        "cert list",
        "cert get --cert-id payments",
        "cert check --cert CA",
        "cert export NEW",
        "cert set --cert-id b --cert CA --admin-priv-key KEY",
        "cert delete --cert-id payments --admin-priv-key KEY",
        "adminkey update --admin-priv-key KEY",
        "adminkey countersign --subject b --admin-priv-key KEY"
            + " --fingerprint 0123456789012345678901234567890123456789012345678901234567890123"
      })
  void jsonIsOneObjectAndNothingElse(String line) {
    var key = registered("payments");

    var arguments =
        (line + " --output json")
            .replace("KEY", key)
            .replace("CA", ca.certificate().toString())
            .replace("NEW", directory.resolve("new").toString());

    assertThat(JsonParser.parseString(completed(arguments.split(" "))).isJsonObject()).isTrue();
  }

  // ---- Wrong use: exit code 2, and the flag is named

  @ParameterizedTest
  @CsvSource({
    "adminkey get, --crn",
    "adminkey set, --crn",
    "cert list, --crn",
    "adminkey update --crn C, --admin-priv-key",
    "adminkey delete --crn C, --admin-priv-key",
    "cert set --crn C --cert-id a --cert f, --admin-priv-key",
    "cert set --crn C --admin-priv-key k --cert f, --cert-id",
    "cert set --crn C --admin-priv-key k --cert-id a, --cert=",
    "cert get --crn C, --cert-id",
    "cert delete --crn C --cert-id a, --admin-priv-key",
    "cert delete --crn C --admin-priv-key k, --cert-id",
    "cert check --crn C, --cert",
    "cert list --crn nonsense, crn:v1:grep11:public:hs-crypto:",
    "adminkey get --crn C --private, CERTMGR_PRIVATE_SERVER",
    "cert, set",
    "frobnicate, frobnicate"
  })
  void wrongUseEndsWithTwoAndNamesTheFlag(String line, String named) {
    var result = run(line.replace(" C", " " + CRN).split(" "));

    assertThat(result.err).contains(named).hasLineCount(1);
    assertThat(result.status).isEqualTo(2);
    assertThat(result.out).isEmpty();
  }

  @Test
  void aMissingCrnIsToldWithItsForm() {
    assertThat(run("cert", "list").err).contains("crn:v1:grep11:public:hs-crypto:<location>");
  }

  @Test
  void thePrivateAddressIsTakenFromItsVariable() {
    environment.put("CERTMGR_PRIVATE_SERVER", environment.remove("CERTMGR_SERVER"));

    completed("adminkey", "get", "--private");
  }

  // ---- Local errors: exit code 1, one line, nothing printed and nothing sent

  @Test
  void keyFilesAreCheckedBeforeAnythingIsSent() throws Exception {
    var key = enrolled();
    var open = directory.resolve("open.priv");
    Files.writeString(open, Files.readString(Path.of(key)));
    Files.setPosixFilePermissions(open, PosixFilePermissions.fromString("rw-r--r--"));
    var text = directory.resolve("text.priv");
    Files.writeString(text, "no key");
    Files.setPosixFilePermissions(text, PosixFilePermissions.fromString("rw-------"));
    manager.close();

    assertLocal("no such file", "adminkey", "delete", "--admin-priv-key", "/nowhere/key.priv");
    assertLocal("chmod 600", "adminkey", "delete", "--admin-priv-key", open.toString());
    assertLocal("no PEM private key", "adminkey", "delete", "--admin-priv-key", text.toString());
  }

  @Test
  void anEncryptedKeyNeedsItsPassphraseAndItsSuccessorHasTheSame() throws Exception {
    var passphrase = directory.resolve("passphrase");
    Files.writeString(passphrase, "correct horse\n");
    completed("adminkey", "set", "--passphrase-file", passphrase.toString());
    var key = keys().get(0).toString();

    assertThat(Files.readString(Path.of(key))).startsWith("-----BEGIN ENCRYPTED PRIVATE KEY-----");
    assertLocal("--passphrase-file", "adminkey", "delete", "--admin-priv-key", key);
    input = "wrong\n";
    assertLocal(
        "wrong passphrase",
        "adminkey",
        "delete",
        "--admin-priv-key",
        key,
        "--passphrase-file",
        "-");
    input = "correct horse\n";
    completed("adminkey", "update", "--admin-priv-key", key, "--passphrase-file", "-");
    for (var file : keys()) {
      assertThat(Files.readString(file)).startsWith("-----BEGIN ENCRYPTED PRIVATE KEY-----");
    }
  }

  @Test
  void certificateFilesAreCheckedBeforeAnythingIsSent() throws Exception {
    var key = enrolled();
    var pem = Files.readString(ca.certificate());
    write("two.pem", pem + pem);
    write("key.pem", pem + Files.readString(ca.key()));
    write("text.pem", "hello");
    write("damaged.pem", pem.replaceFirst("M", "!"));
    TestPki.leaf(directory, "leaf");
    TestPki.ca(directory, "old", Duration.ofDays(-1));
    manager.close();

    assertSetRefuses(key, "two.pem", "2 certificates");
    assertSetRefuses(key, "key.pem", "private key");
    assertSetRefuses(key, "text.pem", "no PEM certificate");
    assertSetRefuses(key, "damaged.pem", "damaged");
    assertSetRefuses(key, "leaf.pem", "not a CA");
    assertSetRefuses(key, "old.pem", "expired");
    assertSetRefuses(key, "nowhere.pem", "no such file");
    assertLocal(
        "1 to 64",
        "cert",
        "set",
        "--admin-priv-key",
        key,
        "--cert-id",
        "a/b",
        "--cert",
        ca.certificate().toString());
  }

  @Test
  void withoutApiKeyNothingIsSent() {
    environment.remove("CERTMGR_APIKEY");

    assertLocal("not logged in", "adminkey", "get");
  }

  // ---- What the server says

  @Test
  void anUnknownIdIsNotFound() {
    var key = enrolled();

    assertThat(failed("cert", "get", "--cert-id", "no")).contains("\"no\"").contains("not found");
    assertThat(failed("cert", "delete", "--cert-id", "no", "--admin-priv-key", key))
        .contains("\"no\"")
        .contains("not found");
  }

  @Test
  void aChangeWithoutRegisteredKeyHintsAtAdminkeySet() throws Exception {
    var key = enrolled();
    completed("adminkey", "delete", "--admin-priv-key", key);

    assertThat(failed("cert", "delete", "--cert-id", "a", "--admin-priv-key", key))
        .contains("adminkey set");
  }

  @Test
  void aServerThatIsNotThereIsNamedWithHostAndPort() throws Exception {
    int port;
    try (var socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      port = socket.getLocalPort();
    }

    assertThat(failed("adminkey", "get", "--server", "localhost:" + port))
        .contains("cannot reach")
        .contains("localhost:" + port);
  }

  @Test
  void aServerOfAnotherNameIsNamedWithHostAndPort() {
    var address = manager.address().replace("localhost", "127.0.0.1");

    assertThat(failed("adminkey", "get", "--server", address))
        .contains("cannot reach")
        .contains(address)
        .contains("127.0.0.1");
  }

  @Test
  void aRefusalNamesTheCorrelationId() {
    var key = enrolled();
    manager.refuse(Status.FAILED_PRECONDITION.withDescription("you still own certificates"));

    assertThat(failed("adminkey", "delete", "--admin-priv-key", key))
        .contains("you still own certificates (correlation id c-1)");
  }

  // ---- Keys are neither lost nor left behind

  @Test
  void aRefusedKeyLeavesNoFiles() throws Exception {
    manager.refuse(Status.PERMISSION_DENIED.withDescription("not authorised"));

    assertThat(failed("adminkey", "set")).contains("not authorised");
    assertThat(keys()).isEmpty();
    try (var left = Files.list(directory.resolve(".hpcs-cert-mgr-cfg"))) {
      assertThat(left).isEmpty();
    }
  }

  @Test
  void aLostAnswerIsLookedUpAndTheRegisteredKeyKept() throws Exception {
    manager.loseNextAnswer();

    completed("adminkey", "set");

    assertThat(keys()).hasSize(1);
  }

  @Test
  void aKeyWhoseFateIsUnknownIsKept() throws Exception {
    manager.refuse(Status.UNAVAILABLE.withDescription("the store went away"));

    assertThat(failed("adminkey", "set")).contains("unknown").contains("kept");
    assertThat(keys()).hasSize(1);
  }

  @Test
  void aKeyThatMustBeCountersignedIsKeptAndRegisteredLater() throws Exception {
    manager.refuse(
        Status.PERMISSION_DENIED.withDescription("somebody must sign this first"),
        "countersignature-needed");

    var told = failed("adminkey", "set");

    var key = keys().get(0).toString();
    assertThat(told)
        .contains("adminkey countersign --crn " + CRN + " --fingerprint ")
        .contains("--subject ApiKey-anna")
        .contains("adminkey set --crn " + CRN + " --admin-priv-key " + key);
    completed("adminkey", "set", "--admin-priv-key", key);
    assertThat(manager.registeredKey()).isNotEmpty();
  }

  @Test
  void aRegisteredKeyIsNeverReplacedBySet() throws Exception {
    enrolled();

    assertThat(failed("adminkey", "set")).contains("adminkey update");
    assertThat(keys()).hasSize(1);
  }

  @Test
  void theInvitationComesFromFileInputOrEnvironment() throws Exception {
    manager.invitation = "code-1";
    assertThat(failed("adminkey", "set")).contains("no invitation");

    var key = invited("--invitation-file", write("invitation", "code-1\n").toString());
    completed("adminkey", "delete", "--admin-priv-key", key);
    input = "code-1\n";
    key = invited("--invitation-file", "-");
    completed("adminkey", "delete", "--admin-priv-key", key);
    environment.put("CERTMGR_INVITATION", "code-1");
    invited();
  }

  // ---- Repetition

  @Test
  void certSetIsRepeatedOnceWhenTheRegistryChangedMeanwhile() {
    var key = enrolled();
    manager.refuse(Status.ABORTED.withDescription("the registry changed"));
    completed(
        "cert",
        "set",
        "--admin-priv-key",
        key,
        "--cert-id",
        "a",
        "--cert",
        ca.certificate().toString());

    manager.refuse(Status.ABORTED.withDescription("the registry changed"));
    manager.refuse(Status.ABORTED.withDescription("the registry changed"));
    assertThat(
            failed(
                "cert",
                "set",
                "--admin-priv-key",
                key,
                "--cert-id",
                "b",
                "--cert",
                ca.certificate().toString()))
        .contains("the registry changed")
        .contains("nothing was changed");
  }

  @Test
  void aDeletionIsNeverRepeated() {
    var key = registered("a");
    int before = manager.executed();
    manager.refuse(Status.ABORTED.withDescription("the registry changed"));

    assertThat(failed("cert", "delete", "--admin-priv-key", key, "--cert-id", "a"))
        .contains("the registry changed");
    assertThat(manager.executed()).isEqualTo(before);
  }

  // ---- Ours: dry run, warnings, backup

  @Test
  void aClientThatWouldBeRefusedKeepsTheCaOut() {
    var key = enrolled();
    manager.accepts = false;
    int before = manager.executed();

    assertThat(
            failed(
                "cert",
                "set",
                "--admin-priv-key",
                key,
                "--cert-id",
                "a",
                "--cert",
                ca.certificate().toString(),
                "--require-client-cert",
                server.certificate().toString()))
        .contains("would be refused")
        .contains("no registered CA issued it");
    assertThat(manager.executed()).isEqualTo(before);
    var check = run(typed("cert", "check", "--cert", server.certificate().toString()));
    assertThat(check.status).isEqualTo(1);
    assertThat(check.out).contains("refused: no-path");
  }

  @ParameterizedTest
  @CsvSource({"12h, within 1 day", "6d, within 7 days", "29d, within 30 days", "31d, ''"})
  void aCaThatEndsSoonIsWarnedOf(String validity, String warning) throws Exception {
    var key = enrolled();
    var soon =
        TestPki.ca(
            directory,
            "soon",
            validity.endsWith("h")
                ? Duration.ofHours(12)
                : Duration.ofDays(Long.parseLong(validity.replace("d", ""))));

    var set =
        run(
            typed(
                "cert",
                "set",
                "--admin-priv-key",
                key,
                "--cert-id",
                "a",
                "--cert",
                soon.certificate().toString()));
    var list = run(typed("cert", "list"));

    for (var result : List.of(set, list)) {
      assertThat(result.status).isZero();
      assertThat(result.out).doesNotContain("warning");
      if (warning.isEmpty()) {
        assertThat(result.err).isEmpty();
      } else {
        assertThat(result.err).contains(warning);
      }
    }
  }

  @Test
  void aBackupComesBackAndAChangedOneDoesNot() throws Exception {
    var key = registered("payments");
    var backup = directory.resolve("backup");
    completed("cert", "export", backup.toString());
    assertThat(failed("cert", "export", backup.toString())).contains("not empty");
    assertThat(completed("cert", "import", backup.toString(), "--admin-priv-key", key))
        .contains("imported 0, unchanged 1, expired 0 of 1");
    completed("cert", "delete", "--cert-id", "payments", "--admin-priv-key", key);

    assertThat(completed("cert", "import", backup.toString(), "--admin-priv-key", key))
        .contains("imported 1");
    assertThat(completed("cert", "get", "--cert-id", "payments"))
        .contains(CertificatePem.write(ca.x509()));

    var other = TestPki.ca(directory, "other", Duration.ofDays(90));
    Files.writeString(backup.resolve("payments.pem"), CertificatePem.write(other.x509()));
    assertThat(failed("cert", "import", backup.toString(), "--admin-priv-key", key))
        .contains("not the certificate that manifest.json names");
  }

  @ParameterizedTest
  @ValueSource(strings = {"bash", "zsh", "fish"})
  void completionKnowsTheCommands(String shell) {
    var result = run("completion", shell);

    assertThat(result.status).isZero();
    assertThat(result.out).contains("adminkey").contains("cert-store-file");
  }

  /** What a zsh with a terminal makes of what is typed and a tab. */
  @ParameterizedTest
  @CsvSource({
    "hpcs-cert-mgr cert s, hpcs-cert-mgr cert set",
    "hpcs-cert-mgr adm, hpcs-cert-mgr adminkey",
    "hpcs-cert-mgr cert get --cert-st, hpcs-cert-mgr cert get --cert-store-file",
    "hpcs-cert-mgr cert set --adm, hpcs-cert-mgr cert set --admin-priv-key"
  })
  void zshCompletesByTheScript(String typed, String completed) throws Exception {
    Assumptions.assumeTrue(
        Stream.of("/bin/zsh", "/usr/bin/zsh").anyMatch(zsh -> Files.isExecutable(Path.of(zsh))),
        "zsh is not installed; on Debian or Ubuntu: apt-get install zsh");
    var script = Files.writeString(directory.resolve("completion"), run("completion", "zsh").out);
    var terminal =
        Files.writeString(
            directory.resolve("terminal"),
            """
            zmodload zsh/zpty
            zpty -b shell zsh -f -i
            zpty -w shell 'report() { print -r -- "<$BUFFER>" }; zle -N report; bindkey "^X^B" report'
            zpty -w shell "source $1; print SOURC'ED'"
            read_until() {
              out=
              repeat 200; do
                zpty -r -t shell part && out+=$part
                [[ $out == *"$1"* ]] && return 0
                sleep 0.05
              done
              print -r -- "${(V)out}"; exit 1
            }
            read_until SOURCED
            zpty -w -n shell "$2"$'\\t\\x18\\x02'
            read_until "<$3"
            zpty -d shell
            """);
    var zsh =
        new ProcessBuilder("zsh", "-f", terminal.toString(), script.toString(), typed, completed)
            .directory(directory.toFile())
            .redirectErrorStream(true)
            .start();
    zsh.getOutputStream().close();
    var output = new String(zsh.getInputStream().readAllBytes(), StandardCharsets.UTF_8);

    assertThat(zsh.waitFor()).as(output).isZero();
  }

  @Test
  void helpShowsTheNameThatWasCalled() {
    assertThat(run("cert", "set", "--help").out).contains("Usage: hpcs-cert-mgr cert set");
  }

  // ---- How commands are given

  private Result run(String... arguments) {
    var out = new StringWriter();
    var err = new StringWriter();
    var surroundings =
        new Surroundings(
            "hpcs-cert-mgr",
            environment,
            new ByteArrayInputStream(input.getBytes(StandardCharsets.UTF_8)),
            new PrintWriter(out),
            new PrintWriter(err, true),
            null,
            InstantSource.system());
    int status = Main.run(surroundings, arguments);
    assertThat(out.toString() + err).doesNotContain("secret-api-key");
    return new Result(status, out.toString(), err.toString());
  }

  private static String[] typed(String... arguments) {
    var all = new ArrayList<>(Arrays.asList(arguments));
    all.addAll(List.of("--crn", CRN));
    return all.toArray(new String[0]);
  }

  private String completed(String... arguments) {
    var result = run(typed(arguments));
    assertThat(result.err).as("standard error of %s", String.join(" ", arguments)).isEmpty();
    assertThat(result.status).isZero();
    return result.out;
  }

  /** What is said on standard error, in one line. */
  private String failed(String... arguments) {
    var result = run(typed(arguments));
    assertThat(result.err).startsWith("hpcs-cert-mgr: ").hasLineCount(1);
    assertThat(result.status).isEqualTo(1);
    return result.err;
  }

  private void assertLocal(String reason, String... arguments) {
    var result = run(typed(arguments));
    assertThat(result.err).contains(reason).hasLineCount(1);
    assertThat(result.out).isEmpty();
    assertThat(result.status).isEqualTo(1);
  }

  private void assertSetRefuses(String key, String file, String reason) {
    assertLocal(
        reason,
        "cert",
        "set",
        "--admin-priv-key",
        key,
        "--cert-id",
        "a",
        "--cert",
        directory.resolve(file).toString());
  }

  /** The private key of an administrator who is registered now. */
  private String enrolled() {
    completed("adminkey", "set");
    try {
      return keys().get(0).toString();
    } catch (java.io.IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  private String registered(String id) {
    var key = enrolled();
    completed(
        "cert",
        "set",
        "--admin-priv-key",
        key,
        "--cert-id",
        id,
        "--cert",
        ca.certificate().toString());
    return key;
  }

  private String invited(String... options) throws Exception {
    var before = keys();
    var arguments = new ArrayList<>(List.of("adminkey", "set"));
    arguments.addAll(List.of(options));
    completed(arguments.toArray(new String[0]));
    return keys().stream()
        .filter(key -> !before.contains(key))
        .findFirst()
        .orElseThrow()
        .toString();
  }

  private List<Path> keys() throws java.io.IOException {
    var keys = directory.resolve(".hpcs-cert-mgr-cfg");
    if (!Files.exists(keys)) {
      return List.of();
    }
    try (var files = Files.list(keys)) {
      return files.filter(file -> file.toString().endsWith(".priv")).collect(Collectors.toList());
    }
  }

  private Path write(String name, String text) throws Exception {
    return Files.writeString(directory.resolve(name), text);
  }
}
