package dev.grep11.certmgr;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import dev.grep11.gateway.Gateway;
import dev.grep11.gateway.command.DemoData;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.iam.ApiKeys;
import dev.grep11.gateway.iam.Roles;
import dev.grep11.gateway.store.Subject;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.BindException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The documented commands against a gateway on a SoftHSM token, and what they print. */
class GatewayTest {
  private static final Pattern SHELL_VARIABLE = Pattern.compile("export (\\w+)='([^']*)'");
  private static final String DONE = "command completed successfully.\n";

  @TempDir private Path directory;

  private DemoData demo;
  private @Nullable Gateway gateway;
  private final Map<String, String> environment = new HashMap<>();

  private record Result(int status, String out, String err) {}

  /** Somebody with an API key and a home directory. */
  private final class Person {
    private final Map<String, String> variables = new HashMap<>(environment);

    Person(String name, String apiKey) throws IOException {
      variables.put("HOME", Files.createDirectory(directory.resolve(name)).toString());
      variables.put("CERTMGR_APIKEY", apiKey);
    }

    Result run(String input, String... arguments) {
      var all = new ArrayList<>(List.of(arguments));
      all.addAll(List.of("--crn", variables.get("HPCS_CRN")));
      var out = new StringWriter();
      var err = new StringWriter();
      int status =
          Main.run(
              new Surroundings(
                  "hpcs-cert-mgr",
                  variables,
                  new ByteArrayInputStream(input.getBytes(StandardCharsets.UTF_8)),
                  new PrintWriter(out),
                  new PrintWriter(err, true),
                  null,
                  InstantSource.system()),
              all.toArray(new String[0]));
      return new Result(status, out.toString(), err.toString());
    }

    /** What is printed after the line that names the server. */
    String completed(String... arguments) {
      return completedWith("", arguments);
    }

    String completedWith(String input, String... arguments) {
      var result = run(input, arguments);
      assertThat(result.err.lines())
          .as("standard error of %s", String.join(" ", arguments))
          .allMatch(line -> line.startsWith("note: "));
      assertThat(result.status).isZero();
      var connecting = "connecting to server [" + variables.get("CERTMGR_SERVER") + "]...\n";
      assertThat(result.out).startsWith(connecting);
      return result.out.substring(connecting.length());
    }

    /** The one line on standard error. */
    String refused(String... arguments) {
      var result = run("", arguments);
      assertThat(result.err).startsWith("hpcs-cert-mgr: ").hasLineCount(1);
      assertThat(result.status).isEqualTo(1);
      return result.err;
    }

    JsonObject json(String... arguments) {
      var all = new ArrayList<>(List.of(arguments));
      all.addAll(List.of("--output", "json"));
      return JsonParser.parseString(run("", all.toArray(new String[0])).out).getAsJsonObject();
    }

    /** The private key that was made last. */
    String key() {
      try (var files = Files.list(Path.of(variables.get("HOME"), ".hpcs-cert-mgr-cfg"))) {
        return files
            .filter(file -> file.toString().endsWith(".priv"))
            .max((one, other) ->
                Long.compare(one.toFile().lastModified(), other.toFile().lastModified()))
            .orElseThrow()
            .toString();
      } catch (IOException e) {
        throw new java.io.UncheckedIOException(e);
      }
    }
  }

  @BeforeEach
  void prepare() {
    demo = DemoData.open(directory.resolve("gateway"));
  }

  private GatewayConfig config(String enrolment) {
    return GatewayConfig.read(demo.config(), settings(enrolment));
  }

  private static Map<String, Object> settings(String enrolment) {
    return Map.of(
        "/listen/portBase", 0,
        "/store/pollMillis", 100,
        "/enrolment", enrolment,
        "/limits/administrativeCallsPerMinute", 1_000_000);
  }

  private Person start(String enrolment) throws Exception {
    return start(config(enrolment));
  }

  private Person start(GatewayConfig config) throws Exception {
    var started = Gateway.start(config);
    gateway = started;
    for (var line : Files.readAllLines(demo.writeEnvironment(config, started))) {
      var variable = SHELL_VARIABLE.matcher(line);
      assertThat(variable.matches()).as(line).isTrue();
      environment.put(variable.group(1), variable.group(2));
    }
    return new Person("first", environment.getOrDefault("CERTMGR_APIKEY", ""));
  }

  @AfterEach
  void stop() {
    if (gateway != null) {
      gateway.close();
    }
  }

  /** As {@code grep11 apikey create --role "Certificate Manager"} does on the host. */
  private Person another(String name) throws Exception {
    try (var host = Host.open(config("open"))) {
      var created =
          new ApiKeys(host.store(), Roles.standard(), issuer())
              .create(name, config("open").instance().orElseThrow(), "Certificate Manager");
      try (var secret = created.secret()) {
        return new Person(name, new String(secret.chars()));
      }
    }
  }

  private String issuer() {
    return config("open").tokenService().orElseThrow().issuer();
  }

  /** As {@code grep11 admin invite} does on the host. */
  private String invite(String subject) {
    var config = config("open");
    try (var host = Host.open(config);
        var code =
            host.administrators()
                .invite(
                    config.instance().orElseThrow(),
                    new Subject(issuer(), subject),
                    Duration.ofHours(1))
                .code()) {
      return new String(code.chars());
    }
  }

  // ---- The commands

  @Test
  void underPrivateOnlyTheManagerIsReachedByItsPrivateAddressAlone() throws Exception {
    var settings = new HashMap<>(settings("open"));
    // Public and private ones are to be told apart, so none is the system's choice.
    int base = freePorts(6);
    settings.put("/listen/portBase", base);
    settings.put("/listen/private", Map.of("host", "127.0.0.1", "portBase", base + 4));
    settings.put("/network", Map.of("policy", "private-only"));
    var administrator = start(GatewayConfig.read(demo.config(), settings));
    var address =
        "localhost:" + Objects.requireNonNull(gateway).privateCertificateManagerPort().getAsInt();
    administrator.variables.put("CERTMGR_PRIVATE_SERVER", address);

    assertThat(administrator.refused("adminkey", "set")).contains("over the private network only");
    var set = administrator.run("", "adminkey", "set", "--private");
    assertThat(set.err).isEmpty();
    assertThat(set.status).isZero();
    assertThat(set.out).startsWith("connecting to server [" + address + "]...\n").endsWith(DONE);
    assertThat(administrator.refused("adminkey", "get")).contains("over the private network only");
  }

  @Test
  void theStoryOfTwoAdministratorsIsPrintedAsItIsDocumented() throws Exception {
    var first = start("countersigned");
    var ca = TestPki.ca(directory, "payments", Duration.ofDays(365));
    var client = TestPki.client(directory, "client", ca);
    var custody = TestPki.ca(directory, "custody", Duration.ofDays(365));

    assertThat(first.completed("adminkey", "get"))
        .isEqualTo(
            """
            +------------+--------+
            | PROPERTIES | VALUES |
            +------------+--------+
            | PublicKey  |        |
            +------------+--------+

            command completed successfully.
            """);
    assertThat(first.refused("adminkey", "set")).contains("no valid invitation");
    assertThat(first.refused("cert", "get", "--cert-id", "payments")).contains("not found");

    enrolInvited(first);
    var second = another("second");
    enrolCountersigned(second, first);

    closeTheLock(first, ca, client, custody);
    whatTheOtherSees(first, second, custody);
    backup(first);
    leave(first, second);
  }

  private void enrolInvited(Person first) {
    var code = invite(first.json("adminkey", "get").get("subject").getAsString());
    var printed = first.completedWith(code + "\n", "adminkey", "set", "--invitation-file", "-");
    var key = first.key();
    var rule = "+------------+-" + "-".repeat(key.length()) + "-+\n";
    assertThat(printed)
        .isEqualTo(
            rule
                + "| KEYTYPE    | FILE%s |\n".formatted(" ".repeat(key.length() - 4))
                + rule
                + "| PrivateKey | %s |\n".formatted(key)
                + "| PublicKey  | %s  |\n".formatted(key.replace(".priv", ".pub"))
                + rule
                + """

                The key pair is stored on this machine only, and its public half is registered now.
                Keep the private key safe, and a copy of it: without it no change can be signed.

                command completed successfully.
                """);
    assertThat(first.json("adminkey", "get").keySet())
        .containsExactly("publicKey", "fingerprint", "issuer", "subject", "generation");
    assertThat(first.refused("adminkey", "set")).contains("replace it with").contains("update");
  }

  /** The refusal names both commands, which then do what it says. */
  private void enrolCountersigned(Person second, Person first) {
    var told = second.refused("adminkey", "set");
    var key = second.key();
    var command =
        Pattern.compile("--fingerprint (\\S+) --issuer (\\S+) --subject (\\S+) ").matcher(told);
    assertThat(command.find()).as(told).isTrue();
    assertThat(told).contains("adminkey set --crn ").contains(" --admin-priv-key " + key);
    assertThat(
            first.completed(
                "adminkey",
                "countersign",
                "--fingerprint",
                command.group(1),
                "--issuer",
                command.group(2),
                "--subject",
                command.group(3),
                "--admin-priv-key",
                first.key()))
        .isEqualTo(DONE);
    var rule = "+------------+-" + "-".repeat(key.length()) + "-+\n";
    assertThat(second.completed("adminkey", "set", "--admin-priv-key", key))
        .isEqualTo(
            rule
                + "| KEYTYPE    | FILE%s |\n".formatted(" ".repeat(key.length() - 4))
                + rule
                + "| PrivateKey | %s |\n".formatted(key)
                + rule
                + "\n"
                + DONE);
  }

  private void closeTheLock(
      Person first, TestPki.Identity ca, TestPki.Identity client, TestPki.Identity custody)
      throws Exception {
    var stranger = TestPki.client(directory, "stranger", custody).certificate().toString();
    assertThat(
            first.refused(
                "cert",
                "set",
                "--admin-priv-key",
                first.key(),
                "--cert-id",
                "payments",
                "--cert",
                ca.certificate().toString(),
                "--require-client-cert",
                stranger))
        .contains("would be refused (unknown-ca: ")
        .contains("nothing was changed");
    assertThat(first.completed("cert", "check", "--cert", stranger))
        .isEqualTo(
            "accepted: no client CA is registered: clients connect without certificates\n\n"
                + DONE);
    assertThat(first.completed("cert", "list"))
        .isEqualTo(
            "other administrators hold 0 certificates; mutual TLS is off for this instance\n"
                + DONE);
    assertThat(
            first.completed(
                "cert",
                "set",
                "--admin-priv-key",
                first.key(),
                "--cert-id",
                "payments",
                "--cert",
                ca.certificate().toString(),
                "--require-client-cert",
                client.certificate().toString()))
        .isEqualTo(DONE);
    var pem = Files.readString(ca.certificate());
    assertThat(first.completed("cert", "get", "--cert-id", "payments"))
        .isEqualTo(
            "------------------ The returned certification ------------------\n"
                + pem
                + "\n"
                + DONE);
    var list = first.completed("cert", "list");
    assertThat(list).contains("| payments | -----BEGIN CERTIFICATE-----").endsWith("\n\n" + DONE);
    for (var line : pem.lines().toList()) {
      assertThat(list).contains("| " + line);
    }

    assertThat(first.completed("cert", "check", "--cert", client.certificate().toString()))
        .isEqualTo(
            "accepted until %s, by certificate \"payments\"\n\n"
                    .formatted(client.x509().getNotAfter().toInstant())
                + DONE);
    var refused = first.run("", "cert", "check", "--cert", stranger);
    assertThat(refused.status).isEqualTo(1);
    assertThat(refused.out).contains("refused: unknown-ca: ");
    assertThat(refused.err).contains("would be refused: unknown-ca");
    assertThat(
            first.completed(
                "cert",
                "check",
                "--cert",
                stranger,
                "--with-cert",
                custody.certificate().toString()))
        .startsWith("accepted until ");
  }

  private static void whatTheOtherSees(Person first, Person second, TestPki.Identity custody) {
    assertThat(second.completed("cert", "list"))
        .isEqualTo(
            "other administrators hold 1 certificate; mutual TLS is on for this instance\n" + DONE);
    var custodyFile = custody.certificate().toString();
    assertThat(
            second.refused(
                "cert", "delete", "--admin-priv-key", second.key(), "--cert-id", "payments"))
        .contains("\"payments\": not found");
    assertThat(
            second.refused(
                "cert",
                "set",
                "--admin-priv-key",
                first.key(),
                "--cert-id",
                "payments",
                "--cert",
                custodyFile))
        .contains("signature rejected");
    // An id is its owner's alone.
    assertThat(
            second.completed(
                "cert",
                "set",
                "--admin-priv-key",
                second.key(),
                "--cert-id",
                "payments",
                "--cert",
                custodyFile))
        .isEqualTo(DONE);
  }

  private void backup(Person first) {
    var backup = directory.resolve("backup").toString();
    assertThat(first.completed("cert", "export", backup))
        .isEqualTo("exported 1 certificate to " + backup + "\n\n" + DONE);
    assertThat(
            first.completed(
                "cert", "delete", "--admin-priv-key", first.key(), "--cert-id", "payments"))
        .isEqualTo(
            "other administrators hold 1 certificate; mutual TLS is on for this instance\n" + DONE);
    assertThat(first.completed("cert", "import", backup, "--admin-priv-key", first.key()))
        .isEqualTo("imported 1, unchanged 0, expired 0 of 1\n\n" + DONE);
    assertThat(first.completed("cert", "import", backup, "--admin-priv-key", first.key()))
        .isEqualTo("imported 0, unchanged 1, expired 0 of 1\n\n" + DONE);
  }

  private static void leave(Person first, Person second) {
    assertThat(first.refused("adminkey", "delete", "--admin-priv-key", first.key()))
        .contains("you still hold certificates (1)");
    first.completed("cert", "delete", "--admin-priv-key", first.key(), "--cert-id", "payments");
    assertThat(
            second.completed(
                "cert", "delete", "--admin-priv-key", second.key(), "--cert-id", "payments"))
        .isEqualTo(
            "other administrators hold 0 certificates; mutual TLS is off for this instance\n"
                + DONE);
    var old = first.key();
    assertThat(first.completed("adminkey", "update", "--admin-priv-key", old))
        .contains("| PrivateKey | " + first.key() + " |");
    assertThat(first.refused("adminkey", "delete", "--admin-priv-key", old))
        .contains("signature rejected");
    assertThat(first.completed("adminkey", "delete", "--admin-priv-key", first.key()))
        .isEqualTo(DONE);
    assertThat(first.completed("adminkey", "get")).contains("| PublicKey  |        |");
    assertThat(second.completed("adminkey", "delete", "--admin-priv-key", second.key()))
        .isEqualTo(DONE);
  }

  @Test
  void jsonHasTheDocumentedMembers() throws Exception {
    var person = start("open");
    var ca = TestPki.ca(directory, "payments", Duration.ofDays(365));
    var caFile = ca.certificate().toString();
    var client = TestPki.client(directory, "client", ca).certificate().toString();
    var backup = directory.resolve("backup").toString();
    String[] change = {
      "generation",
      "locked",
      "ownCertificates",
      "otherCertificates",
      "confirmed",
      "outstanding",
      "binding",
      "notes",
      "adoptedBy"
    };

    assertThat(person.json("adminkey", "set").keySet())
        .containsExactly("privateKeyFile", "publicKeyFile", "fingerprint");
    var key = person.key();
    assertThat(
            person
                .json("cert", "set", "--admin-priv-key", key, "--cert-id", "a", "--cert", caFile)
                .keySet())
        .containsExactly(change);
    assertThat(person.json("cert", "check", "--cert", client).keySet())
        .containsExactly("accepted", "locked", "certificateId", "until");
    var stranger = TestPki.leaf(directory, "stranger").certificate().toString();
    assertThat(person.json("cert", "check", "--cert", stranger).keySet())
        .containsExactly("accepted", "locked", "reason", "text");
    assertThat(person.json("cert", "list").keySet())
        .containsExactly("certificates", "otherCertificates", "locked", "generation");
    assertThat(person.json("cert", "get", "--cert-id", "a").keySet())
        .containsExactly("id", "subject", "notAfter", "fingerprint", "registered", "certificate");
    assertThat(person.json("cert", "export", backup).keySet())
        .containsExactly("directory", "certificates");
    assertThat(person.json("cert", "import", backup, "--admin-priv-key", key).keySet())
        .containsExactly("imported", "unchanged", "expired");
    assertThat(person.json("cert", "delete", "--admin-priv-key", key, "--cert-id", "a").keySet())
        .containsExactly(change);
    assertThat(person.json("adminkey", "delete", "--admin-priv-key", key).keySet())
        .containsExactly(change);
  }

  @Test
  void anAddressThatIsNoCertificateManagersIsToldForWhatItIs() throws Exception {
    var person = start("open");
    var running = Objects.requireNonNull(gateway);
    int closed;
    try (var free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      closed = free.getLocalPort();
    }
    assertThat(person.refused("adminkey", "get", "--server", "localhost:" + closed))
        .contains("cannot reach the certificate manager at localhost:" + closed)
        .contains("Connection refused", "does the gateway run?", "certmgr=HOST:PORT");
    try (var web = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
      Thread.startVirtualThread(() -> answerInClear(web));
      assertThat(toldOf(person, web.getLocalPort()))
          .contains("found a server that does not speak TLS");
    }
    assertThat(toldOf(person, running.tokenService().orElseThrow().getPort()))
        .contains("found TLS without HTTP/2, such as the token service");
    assertThat(toldOf(person, running.healthPort())).contains("found a gRPC server without it");
    assertThat(toldOf(person, running.cryptoPort()))
        .contains("found a gRPC server without it, such as the crypto port");

    person.completed("adminkey", "set");
    var ca = TestPki.ca(directory, "payments", Duration.ofDays(365)).certificate().toString();
    person.completed(
        "cert", "set", "--admin-priv-key", person.key(), "--cert-id", "a", "--cert", ca);
    assertThat(toldOf(person, running.cryptoPort()))
        .contains("found a port that asks for a client certificate, such as the crypto port");
  }

  /** The one line about an address that is no certificate manager's. */
  private static String toldOf(Person person, int port) {
    var address = "localhost:" + port;
    var told = person.refused("adminkey", "get", "--server", address);
    // In TLS 1.3 the end of a connection may overtake the alert that says why.
    for (int i = 0; i < 9 && told.contains("lost the certificate manager"); i++) {
      told = person.refused("adminkey", "get", "--server", address);
    }
    assertThat(told)
        .contains(address + " is no certificate manager: ")
        .contains("nothing was changed", "--server or CERTMGR_SERVER", "certmgr=HOST:PORT");
    return told;
  }

  /** The first of so many that are free. */
  private static int freePorts(int number) throws IOException {
    while (true) {
      var held = new ArrayList<ServerSocket>();
      try {
        for (int i = 0; i < number; i++) {
          int port = held.isEmpty() ? 0 : held.getFirst().getLocalPort() + i;
          held.add(new ServerSocket(port, 1, InetAddress.getLoopbackAddress()));
        }
        return held.getFirst().getLocalPort();
      } catch (BindException | IllegalArgumentException e) {
        // One of them is taken, or there are no more.
      } finally {
        for (var socket : held) {
          socket.close();
        }
      }
    }
  }

  /** As web servers answer a client that speaks TLS to them. */
  private static void answerInClear(ServerSocket web) {
    try {
      while (true) {
        try (var client = web.accept()) {
          client
              .getOutputStream()
              .write("HTTP/1.1 400 Bad Request\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
          client.shutdownOutput();
          var _ = client.getInputStream().readAllBytes();
        }
      }
    } catch (IOException _) {
      // Closed: the test is over.
    }
  }

  @Test
  void changesAtTheSameTimeAreEitherMadeOrToldNotToBe() throws Exception {
    var first = start("open");
    var second = another("second");
    var ca = TestPki.ca(directory, "payments", Duration.ofDays(365)).certificate().toString();
    first.completed("adminkey", "set");
    second.completed("adminkey", "set");
    try (var threads = Executors.newFixedThreadPool(2)) {
      var races = threads.invokeAll(List.of(registering(first, ca), registering(second, ca)));
      for (var race : races) {
        var _ = race.get();
      }
    }
  }

  /** Registers the CA ten times; what was refused as outdated is not there. */
  private static Callable<Integer> registering(Person person, String ca) {
    return () -> {
      var key = person.key();
      int made = 0;
      for (int i = 0; i < 10; i++) {
        var id = "ca-" + i;
        var result =
            person.run("", "cert", "set", "--admin-priv-key", key, "--cert-id", id, "--cert", ca);
        if (result.status == 0) {
          made++;
        } else {
          assertThat(result.err).contains("the registry changed").contains("nothing was changed");
          assertThat(person.refused("cert", "get", "--cert-id", id)).contains("not found");
        }
      }
      assertThat(person.json("cert", "list").getAsJsonArray("certificates")).hasSize(made);
      // Each is signed again once, so that one of two who race comes through.
      assertThat(made).isPositive();
      return made;
    };
  }
}
