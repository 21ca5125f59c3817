package dev.grep11.gateway.command;

import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.classic.spi.ThrowableProxyUtil;
import ch.qos.logback.core.AppenderBase;
import dev.grep11.gateway.store.PostgresServer;
import dev.grep11.gateway.token.TokenKeys;
import dev.grep11.gateway.trust.TestCertificates;
import dev.grep11.gateway.trust.TestCertificates.Identity;
import java.io.IOException;
import java.io.StringWriter;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.UUID;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.openssl.PKCS8Generator;
import org.bouncycastle.openssl.jcajce.JcaPEMWriter;
import org.bouncycastle.openssl.jcajce.JcaPKCS8Generator;
import org.bouncycastle.openssl.jcajce.JceOpenSSLPKCS8EncryptorBuilder;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.slf4j.LoggerFactory;

/**
 * What an operator reads of each thing that can be wrong: one line that says where it is, what is
 * there or was expected, and what to do; and nowhere a secret.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class FailureMessagesTest {
  private static final Identity CA = TestCertificates.ca("CN=Server CA").selfSigned();
  private static final UUID NOBODYS = UUID.fromString("0b5f1a6e-43c1-4f0e-9d6c-2f1b7a90c3de");

  /** Planted where an operator could put one by mistake. */
  private static final String SECRET = "Secret-4711-in-plain-sight";

  private static final int ROOT = 0;

  private final Queue<ILoggingEvent> logged = new ConcurrentLinkedQueue<>();
  private final AppenderBase<ILoggingEvent> appender =
      new AppenderBase<>() {
        @Override
        protected void append(ILoggingEvent event) {
          logged.add(event);
        }
      };
  private final AtomicInteger sites = new AtomicInteger();
  private Path template = Path.of("");
  private Path copies = Path.of("");

  /** Breaks something. */
  private interface Plant {
    void in(Site site) throws Exception;
  }

  /**
   * Something wrong, and what is said of it. {@code {}} stands for the gateway's directory.
   *
   * @param command {@code @} in it stands for the gateway's configuration
   * @param where the file, the setting, the address or the option
   * @param what is there, or was expected
   * @param remedy what to do
   */
  record Failure(
      String name,
      String command,
      int code,
      Plant plant,
      String where,
      String what,
      String remedy) {
    @Override
    public String toString() {
      return command + ": " + name;
    }
  }

  private static Failure refused(
      String command, String name, Plant plant, String where, String what, String remedy) {
    return new Failure(name, command, 1, plant, where, what, remedy);
  }

  /** Where a gateway does not start. */
  private static Failure start(String name, Plant plant, String where, String what, String remedy) {
    return refused("serve @", name, plant, where, what, remedy);
  }

  /** Where nothing is broken but the command. */
  private static Failure refused(String command, String where, String what, String remedy) {
    return refused(command, "in a sound gateway", _ -> {}, where, what, remedy);
  }

  private static Failure wrongUse(String command, String where, String what) {
    return new Failure("in a sound gateway", command, 2, _ -> {}, where, what, "; see: grep11 ");
  }

  static Stream<Failure> failures() {
    return Stream.of(
            configuration(),
            certificates(),
            otherFiles(),
            token(),
            store(),
            postgresql(),
            audit(),
            ports(),
            backups(),
            demo(),
            commands(),
            misuse())
        .flatMap(List::stream);
  }

  private static List<Failure> configuration() {
    return List.of(
        start(
            "a configuration that is not there",
            site -> site.delete("gateway.yaml"),
            "{}/gateway.yaml",
            "there is no such file",
            "docs/gateway.yaml is one to begin with"),
        start(
            "a directory for a configuration",
            site -> site.directory("gateway.yaml"),
            "{}/gateway.yaml",
            "is a directory",
            "name the file"),
        start(
            "a configuration that is not YAML",
            site -> site.write("gateway.yaml", "pin: [%s\n".formatted(SECRET)),
            "{}/gateway.yaml",
            "not YAML: while parsing a flow sequence, expected ',' or ']'",
            "(line 2); docs/gateway.yaml is one to begin with"),
        start(
            "a configuration that is indented by tabs",
            site -> site.write("gateway.yaml", "hsm:\n\tpin: %s\n".formatted(SECRET)),
            "{}/gateway.yaml",
            "that cannot start any token",
            "(line 2); docs/gateway.yaml is one to begin with"),
        start(
            "a configuration that is no mapping",
            site -> site.write("gateway.yaml", SECRET),
            "{}/gateway.yaml",
            "is not a mapping of settings",
            "docs/gateway.yaml"),
        start(
            "an empty configuration",
            site -> site.write("gateway.yaml", ""),
            "{}/gateway.yaml",
            "is empty",
            "docs/gateway.yaml"),
        start(
            "a configuration that is no text",
            site -> Files.write(site.configuration(), new byte[] {'a', ':', (byte) 0xfe}),
            "{}/gateway.yaml",
            "it is no UTF-8 text",
            "docs/gateway.yaml"),
        start(
            "a setting that is there twice",
            site -> site.edit("gateway.yaml", text -> text + "instance: again\n"),
            "{}/gateway.yaml",
            "Duplicate field 'instance' (line 22)",
            "docs/gateway.yaml"),
        start(
            "a setting that there is not",
            site -> site.set("/hsm/pin", SECRET),
            "hsm.pin",
            "is not a setting",
            "there are: "),
        start(
            "a text for a number",
            site -> site.set("/listen/portBase", "nine"),
            "listen.portBase",
            "is not a whole number",
            "from 0 to 65532"),
        start(
            "a number that is too large",
            site -> site.set("/limits/connections", 1 << 30),
            "limits.connections",
            "is not a whole number",
            "from 1 to 1000000"),
        start(
            "a word for a switch",
            site -> site.set("/reflection", "perhaps"),
            "reflection",
            "is neither",
            "true nor false"),
        start(
            "a word of no set",
            site -> site.set("/policy", "lax"),
            "policy",
            "is \"lax\"",
            "not one of compatible, strict"),
        start(
            "a text for a list",
            site -> site.set("/tls/hosts", "gw.example"),
            "tls.hosts",
            "is not a list",
            "write it as [FIRST, SECOND]"),
        start(
            "a number for a text",
            site -> site.set("/hsm/tokenLabel", 4711),
            "hsm.tokenLabel",
            "is not a text",
            "need quotes"),
        start(
            "a text for a mapping",
            site -> site.set("/tls", "server.pem"),
            "tls",
            "is not a mapping of settings",
            "write each below it as NAME: VALUE"),
        start(
            "a setting that is missing",
            site -> site.unset("/hsm/tokenLabel"),
            "hsm.tokenLabel",
            "is missing",
            "docs/gateway.yaml"),
        start(
            "a setting that is empty",
            site -> site.set("/hsm/tokenLabel", " "),
            "hsm.tokenLabel",
            "is empty",
            "give it a value"),
        start(
            "a placeholder that is left",
            site -> site.set("/hsm/tokenLabel", "<LABEL>"),
            "hsm.tokenLabel",
            "still holds the placeholder \"<LABEL>\"",
            "put your own value"),
        start(
            "a placeholder among host names",
            site -> site.set("/tls/hosts", List.of("gateway.invalid")),
            "tls.hosts",
            "still holds the placeholder \"gateway.invalid\"",
            "put your own value"),
        start(
            "an instance that is no UUID",
            site -> site.set("/instance", "payments"),
            "instance",
            "\"payments\" is no UUID",
            "such as 0b5f1a6e-"),
        start(
            "an instance that there is not",
            site -> site.set("/instance", NOBODYS.toString()),
            "instance",
            "there is no instance " + NOBODYS,
            "grep11 instance create"),
        start(
            "nobody who gives tokens",
            site -> site.unset("/tokenService"),
            "issuers: ",
            "nobody could call: neither issuers nor tokenService is configured",
            "configure one of them"),
        start(
            "an address that is none",
            site -> site.set("/listen/host", "no host at all"),
            "listen.host",
            "\"no host at all\" is not an address of this host",
            "such as 0.0.0.0"),
        start(
            "an issuer whose keys are at no URL",
            site -> site.set("/issuers", List.of(issuer("jwksUrl", "not a URL"))),
            "issuers[0].jwksUrl",
            "is no URL such as",
            "https://"),
        start(
            "tracing to no URL",
            site -> site.set("/tracing/endpoint", "https://u:%s@collector x".formatted(SECRET)),
            "tracing.endpoint",
            "is no URL such as",
            "https://"));
  }

  private static Map<String, Object> issuer(String name, Object value) {
    return Map.of("issuer", "https://issuer.test", "audience", "grep11", name, value);
  }

  private static TestCertificates.Draft server() {
    return TestCertificates.bare("CN=gw").dnsName("localhost");
  }

  private static List<Failure> certificates() {
    var intermediate = TestCertificates.ca("CN=Issuing CA").signedBy(CA);
    return List.of(
        start(
            "a server key that is not there",
            site -> site.delete("tls/server.key"),
            "tls.key: {}/tls/server.key",
            "is not there",
            "put it there"),
        start(
            "a server key of another user",
            site -> {
              requireRoot();
              site.owner("tls/server.key", 4711, 4712);
            },
            "tls.key: {}/tls/server.key",
            "owner 4711:4712, mode rw-------; expected owner 0:0, mode rw-------",
            "remedy: chown 0:0 {}/tls/server.key"),
        start(
            "a server key that others read",
            site -> site.mode("tls/server.key", "rw-r-----"),
            "tls.key: {}/tls/server.key",
            "mode rw-r-----; expected owner ",
            "remedy: chmod 600 {}/tls/server.key"),
        start(
            "a directory for a server key",
            site -> site.directory("tls/server.key"),
            "tls.key: {}/tls/server.key",
            "is no regular file",
            "put it there"),
        start(
            "a server key that is no PEM",
            site -> site.write("tls/server.key", SECRET),
            "{}/tls/server.key",
            "holds no private key",
            "openssl genpkey"),
        start(
            "half a server key",
            site -> site.edit("tls/server.key", text -> text.substring(0, text.length() / 2)),
            "{}/tls/server.key",
            "cannot be read as PEM",
            "openssl pkey -in {}/tls/server.key -noout"),
        start(
            "a server key with a passphrase",
            site -> site.writeSecret("tls/server.key", encrypted(server().signedBy(CA))),
            "{}/tls/server.key",
            "is encrypted",
            "openssl pkey -in {}/tls/server.key"),
        start(
            "a server key of another certificate",
            site -> {
              site.show(server().signedBy(CA));
              server().signedBy(CA).write(site.directory, "other");
              site.mode("other.key", "rw-------");
              site.set("/tls/key", "other.key");
            },
            "{}/other.key",
            "is not the key of the first certificate in {}/shown.pem",
            "tls.key"),
        start(
            "a server certificate that is not there",
            site -> site.delete("tls/server.pem"),
            "tls.certificate: {}/tls/server.pem",
            "is not there",
            "put it there"),
        start(
            "an empty server certificate",
            site -> site.write("tls/server.pem", ""),
            "{}/tls/server.pem",
            "holds no certificate",
            "the server's certificate first"),
        start(
            "a server certificate that is no PEM",
            site -> site.write("tls/server.pem", "nothing\n"),
            "{}/tls/server.pem",
            "is not a chain of PEM certificates",
            "the server's certificate first"),
        start(
            "half a server certificate",
            site -> site.edit("tls/server.pem", text -> text.substring(0, text.length() / 2)),
            "{}/tls/server.pem",
            "is not a chain of PEM certificates",
            "the server's certificate first"),
        start(
            "a chain out of order",
            site -> site.show(server().signedBy(intermediate), CA, intermediate),
            "{}/shown.pem",
            "certificate 1 was not issued by certificate 2",
            "the server's certificate first"),
        start(
            "a server certificate that has expired",
            site -> site.show(server().expired().signedBy(CA)),
            "{}/shown.pem",
            "\"CN=gw\"",
            "have it renewed"),
        start(
            "an issuing certificate that has expired",
            site -> {
              var expired = TestCertificates.ca("CN=Issuing CA").expired().signedBy(CA);
              site.show(server().signedBy(expired), expired);
            },
            "{}/shown.pem",
            "\"CN=Issuing CA\"",
            "have it renewed"),
        start(
            "a server certificate of tomorrow",
            site -> site.show(server().notYetValid().signedBy(CA)),
            "{}/shown.pem",
            "is not valid before",
            "clock"),
        start(
            "a host that is not on the certificate",
            site -> site.set("/tls/hosts", List.of("gw.example.com")),
            "{}/tls/server.pem",
            "is not for gw.example.com of tls.hosts",
            "have it issued with these names too"));
  }

  private static void requireRoot() throws IOException {
    Assumptions.assumeTrue(
        Files.getAttribute(Path.of("/proc/self"), "unix:uid").equals(ROOT),
        "only root can give a file to another user");
  }

  private static String encrypted(Identity identity) throws Exception {
    var encryptor =
        new JceOpenSSLPKCS8EncryptorBuilder(PKCS8Generator.AES_256_CBC)
            .setProvider(new BouncyCastleProvider())
            .setPassword(SECRET.toCharArray())
            .build();
    var text = new StringWriter();
    try (var pem = new JcaPEMWriter(text)) {
      pem.writeObject(new JcaPKCS8Generator(identity.privateKey(), encryptor));
    }
    return text.toString();
  }

  private static List<Failure> otherFiles() {
    return List.of(
        start(
            "a CA file of an issuer that is not there",
            site -> {
              site.write("keys.json", "{\"keys\":[]}");
              site.set(
                  "/issuers",
                  List.of(
                      Map.of(
                          "issuer",
                          "https://issuer.test",
                          "audience",
                          "grep11",
                          "jwksUrl",
                          "https://issuer.test/keys",
                          "caFile",
                          "absent.pem")));
            },
            "issuers[0].caFile: {}/absent.pem",
            "is not there",
            "put it there"),
        start(
            "an empty CA file of an issuer",
            site -> {
              site.write("empty.pem", "");
              site.set(
                  "/issuers",
                  List.of(
                      Map.of(
                          "issuer",
                          "https://issuer.test",
                          "audience",
                          "grep11",
                          "jwksUrl",
                          "https://issuer.test/keys",
                          "caFile",
                          "empty.pem")));
            },
            "{}/empty.pem",
            "no certificate",
            "there, in PEM"),
        start(
            "an empty CA file of the tracing",
            site -> {
              site.write("empty.pem", "");
              site.set("/tracing/endpoint", "https://localhost:4318");
              site.set("/tracing/caFile", "empty.pem");
            },
            "{}/empty.pem",
            "no certificate",
            "there, in PEM"),
        start(
            "a key set that is not there",
            site -> site.set("/issuers", List.of(issuer("jwksFile", "absent.json"))),
            "issuers[0].jwksFile: {}/absent.json",
            "is not there",
            "put it there"),
        start(
            "a key set that is empty",
            site -> {
              site.write("keys.json", "");
              site.set("/issuers", List.of(issuer("jwksFile", "keys.json")));
            },
            "issuer https://issuer.test: {}/keys.json",
            "Invalid JSON object",
            "put the issuer's key set (RFC 7517) there"),
        start(
            "a key set without keys",
            site -> {
              site.write("keys.json", "{\"keys\":[]}");
              site.set("/issuers", List.of(issuer("jwksFile", "keys.json")));
            },
            "issuer https://issuer.test: {}/keys.json",
            "no key for RS256 or ES256",
            "put the issuer's key set (RFC 7517) there"));
  }

  private static List<Failure> token() {
    return List.of(
        start(
            "a PIN file that is not there",
            site -> site.delete("token/pin"),
            "hsm.pinFile: {}/token/pin",
            "is not there",
            "put it there"),
        start(
            "a PIN file that others read",
            site -> site.mode("token/pin", "rw-r--r--"),
            "hsm.pinFile: {}/token/pin",
            "mode rw-r--r--; expected owner ",
            "remedy: chmod 600 {}/token/pin"),
        start(
            "a PIN file of another user",
            site -> {
              requireRoot();
              site.owner("token/pin", 4711, 4712);
            },
            "hsm.pinFile: {}/token/pin",
            "owner 4711:4712, mode rw-------; expected owner 0:0, mode rw-------",
            "remedy: chown 0:0 {}/token/pin"),
        start(
            "an empty PIN file",
            site -> site.write("token/pin", "\n"),
            "PIN file {}/token/pin",
            "is empty",
            "write the token's user PIN into it"),
        new Failure(
            "a wrong PIN",
            "serve @",
            3,
            site -> site.write("token/pin", SECRET),
            "the PIN in {}/token/pin",
            "token \"grep11-demo\" refused the PIN",
            "CKR_PIN_INCORRECT; correct it before anything is started again"),
        start(
            "a variable for the PIN that is not set",
            site -> {
              site.unset("/hsm/pinFile");
              site.set("/hsm/pinEnv", "GREP11_NO_SUCH_VARIABLE");
            },
            "hsm.pinEnv",
            "variable GREP11_NO_SUCH_VARIABLE is not set",
            "set it"),
        start(
            "a PIN from two places",
            site -> site.set("/hsm/pinEnv", "HOME"),
            "hsm.pinFile",
            "this or pinEnv is needed, and not both",
            "name one"),
        start(
            "a module that is not there",
            site -> site.set("/hsm/module", "absent.so"),
            "hsm.module: {}/absent.so",
            "is not there",
            "put it there"),
        start(
            "a module that is no library",
            site -> {
              site.write("module.so", "no library");
              site.set("/hsm/module", "module.so");
            },
            "{}/module.so",
            "cannot be loaded",
            "hsm.module"),
        start(
            "a library that is no module",
            site -> site.set("/hsm/module", library()),
            library(),
            "no C_GetFunctionList",
            "hsm.module"),
        start(
            "a module without its configuration",
            site -> site.set("/hsm/environment", Map.of("SOFTHSM2_CONF", "/nowhere")),
            "SOFTHSM2_CONF=/nowhere",
            "C_Initialize answered CKR_GENERAL_ERROR",
            "hsm.environment"),
        start(
            "a token that is not there",
            site -> site.set("/hsm/tokenLabel", "another"),
            "no token with the label \"another\"",
            "there are: \"grep11-demo\" (serial ",
            "hsm.tokenLabel"),
        start(
            "two tokens of one label",
            Site::addToken,
            "2 tokens with the label \"grep11-demo\"",
            "there are: \"grep11-demo\" (serial ",
            "hsm.tokenLabel"),
        start(
            "a master key that is gone from the token",
            site -> site.destroy(site.masterKey().macKey()),
            "MAC key",
            "0 objects in the token",
            "backup"),
        start(
            "a store key that is gone from the token",
            site -> site.destroy(TokenKeys.read(site.config().store()).storeKey()),
            "store key",
            "0 objects in the token",
            "backup"),
        start(
            "a token-signing key that is gone from the token",
            site -> site.destroy(TokenKeys.read(site.config().store()).signingKey()),
            "token-signing key",
            "0 objects in the token",
            "backup"),
        start(
            "no file of key ids",
            site -> site.delete("store/token-keys"),
            "{}/store/token-keys",
            "cannot be read",
            "comes back by: grep11 restore"),
        start(
            "a file of key ids that names none",
            site -> site.write("store/token-keys", "nothing"),
            "{}/store/token-keys",
            "does not name the gateway's keys",
            "comes back by: grep11 restore"));
  }

  private static String library() {
    return Path.of(System.getProperty("java.home"), "lib", "libzip.so").toString();
  }

  private static List<Failure> store() {
    return List.of(
        start(
            "no directory of the store",
            site -> {
              site.set("/store/directory", "absent");
            },
            "{}/absent",
            "cannot be read",
            "grep11 instance create"),
        start(
            "a file for the directory of the store",
            site -> site.set("/store/directory", "gateway.yaml"),
            "store.directory: {}/gateway.yaml",
            "is no directory",
            "name a directory"),
        start(
            "no database",
            site -> site.delete("store/store.db"),
            "{}/store",
            "there is no store in",
            "grep11 restore"),
        start(
            "a directory for a database",
            site -> site.directory("store/store.db"),
            "{}/store/store.db",
            "is a directory",
            "move it away"),
        start(
            "a store that others enter",
            site -> site.mode("store", "rwxr-xr-x"),
            "{}/store",
            "has mode rwxr-xr-x, it must be rwx------",
            "remedy: chmod 700 {}/store"),
        start(
            "a database that others read",
            site -> site.mode("store/store.db", "rw-r--r--"),
            "{}/store/store.db",
            "has mode rw-r--r--, it must be rw-------",
            "remedy: chmod 600 {}/store/store.db"),
        start(
            "a database of a newer program",
            site -> site.sql("INSERT INTO schema_version (version) VALUES (99)"),
            "{}/store",
            "has schema version 99, this program knows up to",
            "run the newer"),
        start(
            "a database that is none",
            site -> site.write("store/store.db", SECRET.repeat(200)),
            "{}/store",
            "not a database",
            "grep11 restore"),
        start(
            "an empty database",
            site -> site.write("store/store.db", ""),
            "{}/store",
            "the data key of the store is gone",
            "grep11 restore"),
        start(
            "half a database",
            site -> {
              var whole = Files.readAllBytes(site.file("store/store.db"));
              Files.write(site.file("store/store.db"), Arrays.copyOf(whole, whole.length / 2));
            },
            "{}/store",
            "malformed",
            "grep11 restore"),
        start(
            "a row that was removed",
            site -> site.sql("DELETE FROM access_grant"),
            "{}/store",
            "rows of the store are not those",
            "grep11 restore"),
        start(
            "an older database",
            site -> {
              var kept = Files.readAllBytes(site.file("store/store.db"));
              site.done("apikey", "create", "--name", "later", "--role", "Reader");
              Files.write(site.file("store/store.db"), kept);
            },
            "{}/store",
            "the token remembers generation",
            "Put the newest database back into"),
        refused(
            "instance create --name again @",
            "a store below a file",
            site -> site.set("/store/directory", "gateway.yaml/store"),
            "store.directory {}/gateway.yaml/store",
            "Not a directory",
            "name a directory"));
  }

  private static List<Failure> postgresql() {
    return List.of(
        start(
            "a server that does not answer",
            site -> {
              site.writeSecret("db-password", SECRET);
              onPostgresql(site, "jdbc:postgresql://127.0.0.1:1/grep11", "db-password");
            },
            "jdbc:postgresql://127.0.0.1:1/grep11",
            "refused",
            "store.postgresql.url"),
        start(
            "a wrong password of the database",
            site -> {
              site.writeSecret("db-password", SECRET);
              onPostgresql(site, PostgresServer.shared().createDatabase().url(), "db-password");
            },
            "jdbc:postgresql://127.0.0.1:",
            "password authentication failed for user \"grep11\"",
            "store.postgresql.passwordFile"),
        start(
            "a database that there is not",
            site -> {
              site.writeSecret("db-password", PostgresServer.PASSWORD);
              onPostgresql(
                  site, PostgresServer.shared().createDatabase().url() + "x", "db-password");
            },
            "jdbc:postgresql://127.0.0.1:",
            "does not exist",
            "store.postgresql.url"),
        start(
            "a database without a store",
            site -> {
              site.writeSecret("db-password", PostgresServer.PASSWORD);
              onPostgresql(site, PostgresServer.shared().createDatabase().url(), "db-password");
            },
            "jdbc:postgresql://127.0.0.1:",
            "there is no store in",
            "grep11 restore"),
        start(
            "no file of the password",
            site -> onPostgresql(site, "jdbc:postgresql://127.0.0.1:1/grep11", "absent"),
            "store.postgresql.passwordFile: {}/absent",
            "is not there",
            "put it there"),
        start(
            "a password that others read",
            site -> {
              site.writeSecret("db-password", SECRET);
              site.mode("db-password", "rw-rw-rw-");
              onPostgresql(site, "jdbc:postgresql://127.0.0.1:1/grep11", "db-password");
            },
            "store.postgresql.passwordFile: {}/db-password",
            "mode rw-rw-rw-; expected owner ",
            "remedy: chmod 600 {}/db-password"),
        start(
            "a server of another host without TLS",
            site -> {
              site.writeSecret("db-password", SECRET);
              onPostgresql(site, "jdbc:postgresql://db.example/grep11", "db-password");
            },
            "store.postgresql.url",
            "names the host db.example without sslmode=verify-full",
            "remedy: add ?sslmode=verify-full"),
        start(
            "a user and a password in the URL",
            site -> {
              site.writeSecret("db-password", SECRET);
              onPostgresql(
                  site, "jdbc:postgresql://u:%s@db:5432/grep11".formatted(SECRET), "db-password");
            },
            "store.postgresql.url",
            "names a user before the host",
            "remedy: store.postgresql.user, and passwordFile"),
        start(
            "a password among the parameters of the URL",
            site -> {
              site.writeSecret("db-password", SECRET);
              onPostgresql(
                  site, "jdbc:postgresql://127.0.0.1/grep11?password=" + SECRET, "db-password");
            },
            "store.postgresql.url",
            "has the parameter \"password\"",
            "those that may be there are"));
  }

  private static void onPostgresql(Site site, String url, String passwordFile) throws IOException {
    site.set("/store/postgresql/url", url);
    site.set("/store/postgresql/user", "grep11");
    site.set("/store/postgresql/passwordFile", passwordFile);
  }

  private static List<Failure> audit() {
    return List.of(
        start(
            "no directory of the audit file",
            site -> site.set("/audit/file", "absent/audit.jsonl"),
            "audit.file {}/absent/audit.jsonl",
            "the directory {}/absent is not there",
            "make it, owner the gateway's user, mode rwx------"),
        start(
            "a directory for the audit file",
            site -> site.directory("audit.jsonl"),
            "audit.file {}/audit.jsonl",
            "expected a regular file, and there is a directory",
            "name another"),
        start(
            "an audit file that is a link",
            site -> Files.createSymbolicLink(site.file("audit.jsonl"), Path.of("/dev/full")),
            "audit.file {}/audit.jsonl",
            "expected a regular file, and there is a symbolic link",
            "name another"),
        start(
            "an audit file on a device that is full",
            site -> site.set("/audit/file", "/dev/full"),
            "audit.file /dev/full",
            "expected a regular file, and there is a device",
            "name another"),
        start(
            "nowhere to write the audit",
            site -> site.unset("/audit/file"),
            "audit",
            "events need a place",
            "standardOutput"),
        refused("audit verify {}/absent.jsonl", "{}/absent.jsonl", "is not there", "audit.file"),
        refused("audit verify {}/store", "{}/store", "is no file", "audit.file"));
  }

  private static List<Failure> ports() {
    return List.of(
        start(
            "a port that is taken",
            site ->
                site.set(
                    "/listen/portBase",
                    site.hold(new ServerSocket(GatewayProcess.freePorts(), 1, loopback()))
                        .getLocalPort()),
            "the crypto port, 127.0.0.1:",
            ": Address already in use; ",
            "choose another listen.portBase"),
        start(
            "the last port, taken",
            site ->
                site.set(
                    "/listen/portBase",
                    site.hold(new ServerSocket(GatewayProcess.freePorts() + 3, 1, loopback()))
                            .getLocalPort()
                        - 3),
            "the health port, 127.0.0.1:",
            ": Address already in use; ",
            "choose another listen.portBase"),
        start(
            "a gateway that runs already in this directory",
            Site::run,
            "audit.file {}/audit.jsonl",
            "another gateway writes it",
            "give each process a file of its own"),
        refused(
            "health @",
            "a gateway that does not run",
            site -> site.set("/listen/portBase", GatewayProcess.freePorts()),
            "https://127.0.0.1:",
            "no answer from",
            "is the gateway of this configuration running"),
        refused(
            "health @",
            "{}/gateway.yaml: listen.portBase",
            "is 0, which takes any free ports",
            "set the first of four ports"));
  }

  private static InetAddress loopback() {
    return InetAddress.getLoopbackAddress();
  }

  private static List<Failure> backups() {
    return List.of(
        refused(
            "backup --to {}/backup @",
            "a file that is there already",
            site -> site.write("backup", ""),
            "{}/backup",
            "is there already",
            "--overwrite"),
        refused("backup --to {}/absent/backup @", "{}/absent", "there is no directory", "--to"),
        refused("restore --from {}/absent @", "{}/absent", "there is no backup", "--from"),
        refused(
            "restore --from {}/gateway.yaml @",
            "{}/gateway.yaml",
            "no backup of a gateway",
            "name a file of: grep11 backup"),
        refused(
            "restore --from {}/backup @",
            "half a backup",
            site -> {
              site.done("backup", "--to", site.file("backup").toString());
              var whole = Files.readAllBytes(site.file("backup"));
              Files.write(site.file("backup"), Arrays.copyOf(whole, whole.length / 2));
            },
            "{}/backup",
            "is cut short, damaged or was changed",
            "use another copy of it"),
        refused(
            "restore --from {}/backup @",
            "a backup that was changed",
            site -> {
              site.done("backup", "--to", site.file("backup").toString());
              var whole = Files.readAllBytes(site.file("backup"));
              whole[whole.length / 2] ^= 1;
              Files.write(site.file("backup"), whole);
            },
            "{}/backup",
            "is refused whole",
            "use another copy of it"),
        refused(
            "restore --from {}/backup --accept-generation 1 @",
            "a store in place that opens",
            site -> site.done("backup", "--to", site.file("backup").toString()),
            "the backup is of generation",
            "and 1 was accepted",
            "name the generation that is told there"),
        refused("rehearse --from {}/absent @", "{}/absent", "there is no backup", "--from"),
        refused(
            "rehearse --from {}/backup --blob {}/absent @",
            "a blob that is not there",
            site -> site.done("backup", "--to", site.file("backup").toString()),
            "{}/absent",
            "there is no",
            "--blob"));
  }

  private static List<Failure> demo() {
    return List.of(
        refused(
            "apikey list --data {}/absent",
            "{}/absent",
            "there is no directory",
            "grep11 up --data"),
        refused(
            "apikey list --data {}/store", "{}/store", "holds no demo gateway", "grep11 up --data"),
        refused(
            "up --data {} --port-base 0",
            "a demo that lost a part",
            site -> site.delete("apikey"),
            "{}/apikey",
            "holds a part of a demo; missing:",
            "begin with an empty directory"),
        refused(
            "up --data {}/gateway.yaml --port-base 0",
            "{}/gateway.yaml",
            "no directory can be made there",
            "--data"));
  }

  private static List<Failure> commands() {
    return List.of(
        refused(
            "apikey create --name app --role Emperor @", "Emperor", "no role", "there are Reader"),
        refused(
            "apikey create --name demo --role Writer @",
            "\"demo\"",
            "there is an API key",
            "choose another --name"),
        refused(
            "apikey create --name '' --role Writer @",
            "API key name",
            "must have",
            "1 to 256 characters"),
        refused(
            "apikey create --name app --role Writer --instance " + NOBODYS + " @",
            NOBODYS.toString(),
            "there is no instance",
            "grep11 instance list"),
        refused("apikey delete nobodys @", "\"nobodys\"", "there is no API key", "apikey list"),
        refused("apikey confirm nobodys @", "\"nobodys\"", "there is no API key", "apikey list"),
        refused(
            "apikey list @",
            "no token service",
            site -> {
              site.write("keys.json", KEY_SET);
              site.set("/issuers", List.of(issuer("jwksFile", "keys.json")));
              site.unset("/tokenService");
            },
            "tokenService",
            "is not configured, so it has no API keys",
            "grep11 grant add"),
        refused(
            "grant add --issuer i --subject s --action hs-crypto.crypto.fly @",
            "hs-crypto.crypto.fly",
            "there is no action",
            "grep11 grant add --help"),
        refused(
            "grant add --issuer i --subject s --role Emperor @",
            "Emperor",
            "no role",
            "there are Reader"),
        refused(
            "grant add --issuer i --subject s --role Reader --resource moon @",
            "resource \"moon\"",
            "it is key, keystore or",
            "keystore:UUID"),
        refused(
            "grant add --issuer i --subject s --role Reader --instance " + NOBODYS + " @",
            NOBODYS.toString(),
            "there is no instance",
            "grep11 instance list"),
        refused(
            "grant add --issuer i --subject s --role Reader @",
            "a grant that is there",
            site ->
                site.done("grant", "add", "--issuer", "i", "--subject", "s", "--role", "Reader"),
            "s has",
            "this grant already",
            "see: grep11 grant list"),
        refused(
            "grant remove --issuer i --subject nobody --role Reader @",
            "nobody has",
            "no such grant",
            "see: grep11 grant list"),
        refused(
            "instance create --name '' --id " + NOBODYS + " @",
            "name",
            "must have",
            "1 to 256 characters"),
        refused("instance create --name again @", "instance", "there is an instance", "--id"),
        refused(
            "masterkey activate @",
            "next",
            "there is no next master key to activate",
            "grep11 masterkey create-next"),
        refused(
            "masterkey list --instance " + NOBODYS + " @",
            NOBODYS.toString(),
            "there is no instance",
            "grep11 instance list"),
        refused(
            "masterkey destroy --generation nothing @",
            "master key nothing",
            "there is no",
            "there are: "),
        refused(
            "admin invite --subject nobody @",
            "nobody",
            "has not the role Certificate Manager",
            "grep11 grant add"),
        refused(
            "admin invite --apikey-name nobodys @",
            "\"nobodys\"",
            "there is no API key",
            "apikey list"),
        refused(
            "admin recover --subject nobody --fingerprint 00 @",
            "nobody",
            "has not registered a key",
            "admin list"),
        refused(
            "admin withdraw --subject nobody @",
            "nobody",
            "has no leave to register a key",
            "admin list"));
  }

  private static final String KEY_SET =
      "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"alg\":\"ES256\",\"kid\":\"1\","
          + "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
          + "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";

  private static List<Failure> misuse() {
    return List.of(
        wrongUse("frobnicate", "frobnicate", "there are: serve"),
        wrongUse("apikey frobnicate", "frobnicate", "there are: create"),
        wrongUse("serve", "--config", "Missing required option"),
        wrongUse("serve @ --frobnicate", "--frobnicate", "Unknown option"),
        wrongUse("apikey list", "--config", "--data"),
        wrongUse("apikey list @ --data {}", "--config", "mutually exclusive"),
        wrongUse("apikey create @ --name app", "--role", "Missing required option"),
        wrongUse(
            "apikey create @ --name app --role Writer --instance payments",
            "--instance",
            "'payments' is no UUID"),
        wrongUse("grant add @ --issuer i --subject s", "--role", "--action"),
        wrongUse("masterkey retire @ --unused-for soon", "--unused-for", "'soon' is no time"),
        wrongUse("masterkey destroy @", "--generation", "Missing required option"),
        wrongUse("admin invite @", "--subject", "--apikey-name"),
        wrongUse("admin invite @ --subject s --expires soon", "--expires", "'soon' is no time"),
        wrongUse("audit verify", "FILE", "Missing required parameter"),
        wrongUse("backup @", "--to", "Missing required option"),
        wrongUse("restore @", "--from", "Missing required option"),
        wrongUse(
            "restore @ --from {}/backup --accept-generation newest",
            "--accept-generation",
            "'newest' is not a long"),
        wrongUse("restore @ --from {}/backup --confirm-apikeys some", "--confirm-apikeys", "all"),
        wrongUse("health @ --probe well", "--probe", "one of"),
        wrongUse("up --data {} --port-base 70000", "--port-base 70000", "1 to 65532"),
        wrongUse("up --data {} --port-base nine", "--port-base", "'nine' is not an int"),
        wrongUse("instance list @ --output yaml", "--output", "one of"));
  }

  @BeforeAll
  void make(@TempDir Path parent) {
    copies = parent;
    template = parent.resolve("template");
    DemoData.open(template);
  }

  @BeforeEach
  void listen() {
    appender.setContext(root().getLoggerContext());
    appender.start();
    root().addAppender(appender);
    root().getLoggerContext().getLogger("dev.grep11").setLevel(Level.TRACE);
  }

  @AfterEach
  void stopListening() {
    root().detachAppender(appender);
    root().getLoggerContext().getLogger("dev.grep11").setLevel(null);
    logged.clear();
  }

  private static Logger root() {
    return (Logger) LoggerFactory.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME);
  }

  /** A gateway that starts in spite of what was planted would run for ever. */
  @Timeout(value = 5, unit = TimeUnit.MINUTES, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
  @ParameterizedTest
  @MethodSource("failures")
  void isToldInOneLineWithItsPlaceAndARemedyAndNoSecret(Failure failure) throws Exception {
    try (var site = new Site(template, copies.resolve("site-" + sites.incrementAndGet()))) {
      failure.plant.in(site);
      var secrets = site.secrets();

      var ended = CommandsTest.run(arguments(site, failure.command));

      ended.refused(failure.code);
      assertThat(ended.err())
          .contains(site.here(failure.where), site.here(failure.what), site.here(failure.remedy))
          .doesNotContain("null", "unexpected error", "[]")
          .doesNotContainPattern("(\\S{4,}): \\1");
      assertThat(log()).doesNotContain("\tat ");
      assertThat(ended.err() + log()).doesNotContain(SECRET).doesNotContain(secrets);
    }
  }

  private static String[] arguments(Site site, String command) {
    return Arrays.stream(command.split(" ", -1))
        .flatMap(word ->
            word.equals("@")
                ? Stream.of("--config", site.configuration().toString())
                : Stream.of(word.equals("''") ? "" : site.here(word)))
        .toArray(String[]::new);
  }

  private String log() {
    return logged.stream()
        .map(event ->
            event.getFormattedMessage()
                + "\n"
                + ThrowableProxyUtil.asString(event.getThrowableProxy()))
        .collect(Collectors.joining("\n"));
  }
}
