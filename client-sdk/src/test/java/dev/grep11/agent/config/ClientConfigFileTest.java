package dev.grep11.agent.config;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.grep11.agent.config.ClientConfig.LogLevel;
import dev.grep11.agent.config.ClientConfig.Storage;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.KeyPairGenerator;
import java.time.Instant;
import java.util.Base64;
import java.util.Date;
import java.util.Map;
import java.util.UUID;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** pkcs11-client.md, 7: a good file, and for each rule a file that breaks it. */
class ClientConfigFileTest {
  private static final String PASSWORD = "k3yst0re";

  /** The documented layout, with anchors and a merge key. */
  private static final String GOOD =
      """
      iamcredentialtemplate: &iam
        enabled: true
        endpoint: "https://tokens.example.test"
      sessionauthtemplate: &store
        enabled: true
        tokenspaceIDPassword: "k3yst0re"
      tokens:
        0:
          grep11connection:
            address: "gateway.example.test"
            port: "9876"
            tls:
              enabled: true
              mutual: false
              cacert:
              certfile:
              keyfile:
          storage:
            filestore:
              enabled: true
              storagepath: /srv/keystores
          users:
            0: { name: "officer", iamauth: *iam }
            1:
              name: "orders"
              tokenspaceID: "7c0c7d1e-07c4-4a6b-8d3c-0e5f5f3f6a11"
              iamauth: *iam
              sessionauth: *store
            2:
              name: "guest"
              tokenspaceID: "b1f3f2d6-5b0d-4f0a-9d54-2a6f3c8e7720"
              iamauth:
                <<: *iam
                apikey: "example-guest-key"
              sessionauth: *store
      logging:
        loglevel: info
        logpath: /var/log/pkcs11.log
      """;

  @TempDir private Path directory;
  private Path file;

  @BeforeEach
  void name() {
    file = directory.resolve("grep11client.yaml");
  }

  private ClientConfig read(String yaml) throws IOException {
    Files.deleteIfExists(file);
    Files.createFile(
        file, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
    Files.writeString(file, yaml);
    return ClientConfigFile.read(file);
  }

  /** The only problem of the good file with one thing changed. */
  private String problem(String was, String becomes) throws IOException {
    assertThat(GOOD).contains(was);
    var refused =
        catchThrowableOfType(ConfigException.class, () -> read(GOOD.replace(was, becomes)));
    assertThat(refused).as("refusal of %s", becomes).isNotNull();
    assertThat(refused.problems()).hasSize(1);
    return refused.problems().get(0);
  }

  @Test
  void readsTheDocumentedLayoutWithItsAnchorsAndMergeKeys() throws IOException {
    var config = read(GOOD);

    assertThat(config.warnings()).isEmpty();
    assertThat(config.logLevel()).isEqualTo(LogLevel.INFO);
    assertThat(config.logFile()).contains(Path.of("/var/log/pkcs11.log"));
    var token = requireNonNull(config.tokens().get(0L));
    assertThat(token.address()).isEqualTo("gateway.example.test:9876");
    assertThat(token.storage()).isEqualTo(new Storage.Files(Path.of("/srv/keystores")));
    assertThat(token.officer().iam()).isPresent();
    assertThat(token.normal().keystore())
        .contains(UUID.fromString("7c0c7d1e-07c4-4a6b-8d3c-0e5f5f3f6a11"));
    assertThat(token.normal().iam().orElseThrow().apiKey()).isEmpty();
    assertThat(token.anonymous().iam().orElseThrow().apiKey())
        .contains(new Secret("example-guest-key"));
    assertThat(token.anonymous().iam().orElseThrow().endpoint())
        .hasToString("https://tokens.example.test");
    assertThat(token.anonymous().keystorePassword()).contains(new Secret(PASSWORD));
  }

  @Test
  void showsNoSecret() throws IOException {
    assertThat(read(GOOD).toString()).doesNotContain(PASSWORD, "example-guest-key");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        // 1: users
        "2:\\n        name:|3:\\n        name:|users.3: users are 0",
        // 2: keystores
        "7c0c7d1e-07c4-4a6b-8d3c-0e5f5f3f6a11|7c0c7d1e|users.1.tokenspaceID: \"7c0c7d1e\" is no",
        "7c0c7d1e-07c4-4a6b-8d3c-0e5f5f3f6a11|b1f3f2d6-5b0d-4f0a-9d54-2a6f3c8e7720"
            + "|users.2.tokenspaceID: the same keystore",
        // 5: a client certificate without TLS, and no TLS at all
        "enabled: true\\n        mutual: false|enabled: false\\n        mutual: false"
            + "|tls.enabled: false; tokens and API keys are never sent in clear",
        // 6: IAM
        "apikey: \"example-guest-key\"|instance:|users.2.iamauth.apikey: is missing",
        // 7: log level
        "loglevel: info|loglevel: loud|logging.loglevel: \"loud\" is none of",
        // The rest of the schema
        "address: \"gateway.example.test\"|address:|grep11connection.address: is missing",
        "port: \"9876\"|port: 70000|grep11connection.port: \"70000\" is no TCP port",
        "port: \"9876\"|port:|grep11connection.port: is missing",
        "storagepath: /srv/keystores|storagepath:|filestore.storagepath: is missing",
        "name: \"orders\"|name:|users.1.name: is missing",
        "  0:\\n    grep11|  zero:\\n    grep11|tokens.zero: a slot number is expected",
        "mutual: false|mutual: perhaps|tls.mutual: \"perhaps\" is neither true nor false",
      })
  void refusesWhatBreaksARuleByTheNameOfItsKey(String was, String becomes, String said)
      throws IOException {
    var change = becomes == null ? "" : becomes.replace("\\n", "\n");
    var problems =
        catchThrowableOfType(
                ConfigException.class, () -> read(GOOD.replace(was.replace("\\n", "\n"), change)))
            .problems();

    assertThat(problems).anySatisfy(problem -> assertThat(problem).contains(said));
  }

  @Test
  void refusesAKeystorePasswordOfOtherThanSixToEightCharacters() throws IOException {
    for (String password : new String[] {"short", "far-too-long"}) {
      var refused =
          catchThrowableOfType(ConfigException.class, () -> read(GOOD.replace(PASSWORD, password)));
      assertThat(refused.problems())
          .anySatisfy(problem ->
              assertThat(problem)
                  .contains("users.1.sessionauth.tokenspaceIDPassword", "6 to 8")
                  .doesNotContain(password));
    }
  }

  @Test
  void refusesTwoPasswords() throws IOException {
    assertThat(
            problem(
                "apikey: \"example-guest-key\"\n        sessionauth: *store",
                """
                apikey: "example-guest-key"
                        sessionauth: { enabled: true, tokenspaceIDPassword: another }\
                """
                    .strip()))
        .contains("users.2.sessionauth: not as users.1.sessionauth");
  }

  @Test
  void refusesTwoKindsOfStorage() throws IOException {
    assertThat(problem("    filestore:", "    remotestore: { enabled: true }\n      filestore:"))
        .contains("more than one kind of storage");
  }

  @Test
  void refusesAnEndpointThatIsNotEncrypted() throws IOException {
    assertThat(
            catchThrowableOfType(
                    ConfigException.class, () -> read(GOOD.replace("https://", "http://")))
                .problems())
        .anySatisfy(
            problem -> assertThat(problem).contains("users.0.iamauth.endpoint", "no https URL"));
  }

  @Test
  void refusesIamWithoutAnEndpoint() throws IOException {
    assertThat(
            catchThrowableOfType(
                    ConfigException.class,
                    () -> read(GOOD.replace("endpoint: \"https://tokens.example.test\"", "")))
                .problems())
        .anySatisfy(
            problem -> assertThat(problem).contains("users.1.iamauth.endpoint: is missing"));
  }

  @Test
  void refusesALoginThatWouldCheckNothing() throws IOException {
    var open = GOOD.replace("enabled: true\n  endpoint", "enabled: false\n  endpoint");
    var refused =
        catchThrowableOfType(
            ConfigException.class,
            () ->
                read(
                    open.replace(
                        "enabled: true\n  tokenspaceID", "enabled: false\n  tokenspaceID")));
    assertThat(refused.problems())
        .containsExactly(
            "tokens.0.users.1: neither iamauth nor sessionauth is enabled, so that C_Login could"
                + " check nothing; enable one of them");
    // With the password it is the form of installations without IAM.
    assertThat(requireNonNull(read(open).tokens().get(0L)).normal().iam()).isEmpty();
  }

  // ---- 4: mutual TLS

  private String mutual(Path certificate, Path key) {
    return GOOD.replace("mutual: false", "mutual: true")
        .replace("certfile:", "certfile: " + certificate)
        .replace("keyfile:", "keyfile: " + key);
  }

  @Test
  void refusesMutualTlsWithoutItsFiles() throws IOException {
    var refused =
        catchThrowableOfType(
            ConfigException.class, () -> read(GOOD.replace("mutual: false", "mutual: true")));
    assertThat(refused.problems())
        .containsExactly(
            "tokens.0.grep11connection.tls.certfile: is missing, and mutual is true; name the PEM"
                + " file",
            "tokens.0.grep11connection.tls.keyfile: is missing, and mutual is true; name the PEM"
                + " file");
  }

  @Test
  void refusesAKeyFileThatIsNotThere() throws Exception {
    var certificate = Files.writeString(directory.resolve("client.pem"), "");
    var missing = directory.resolve("missing.key");
    var refused =
        catchThrowableOfType(ConfigException.class, () -> read(mutual(certificate, missing)));
    assertThat(refused.problems())
        .containsExactly("tokens.0.grep11connection.tls.keyfile: " + missing + ": no such file");
  }

  @Test
  void refusesACertificateThatIsNone() throws Exception {
    var certificate = Files.writeString(directory.resolve("client.pem"), "nothing");
    var refused =
        catchThrowableOfType(ConfigException.class, () -> read(mutual(certificate, key())));
    assertThat(refused.problems())
        .containsExactly(
            "tokens.0.grep11connection.tls.certfile: " + certificate + ": no certificate");
  }

  /** The certificate of one key with another one. */
  @Test
  void refusesAKeyThatIsNotTheCertificates() throws Exception {
    var pair = KeyPairGenerator.getInstance("EC").generateKeyPair();
    var subject = new X500Name("CN=orders");
    var now = Instant.now();
    byte[] der =
        new JcaX509v3CertificateBuilder(
                subject,
                BigInteger.ONE,
                Date.from(now),
                Date.from(now.plusSeconds(3600)),
                subject,
                pair.getPublic())
            .build(new JcaContentSignerBuilder("SHA256withECDSA").build(pair.getPrivate()))
            .getEncoded();
    var certificate =
        Files.writeString(
            directory.resolve("client.pem"),
            "-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n"
                .formatted(Base64.getMimeEncoder().encodeToString(der)));
    var another = key();

    var refused =
        catchThrowableOfType(ConfigException.class, () -> read(mutual(certificate, another)));

    assertThat(refused.problems()).hasSize(1);
    assertThat(refused.problems().get(0))
        .startsWith("tokens.0.grep11connection.tls.keyfile: " + another);
  }

  @Test
  void warnsOfAPrivateKeyThatOthersMayRead() throws Exception {
    var key = key();
    Files.setPosixFilePermissions(key, PosixFilePermissions.fromString("rw-r--r--"));
    // It is refused for its certificate; the warning would come with a file that is taken.
    assertThatThrownBy(() -> read(mutual(directory.resolve("none.pem"), key)))
        .isInstanceOf(ConfigException.class);
    Files.writeString(file, GOOD);
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-r--r--"));
    assertThat(ClientConfigFile.read(file).warnings())
        .containsExactly(
            file
                + ": may hold API keys and passwords, and others than its owner may read it;"
                + " chmod 600");
  }

  private Path key() throws Exception {
    var pair = KeyPairGenerator.getInstance("EC").generateKeyPair();
    var pem =
        "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n"
            .formatted(Base64.getMimeEncoder().encodeToString(pair.getPrivate().getEncoded()));
    return Files.writeString(directory.resolve("client.key"), pem);
  }

  // ---- What is no error

  @Test
  void warnsOfUnknownKeysAndGoesOn() throws IOException {
    var config =
        read(
            GOOD.replace("loglevel: info", "loglevel: warn\n  logsize: 5")
                .replace("name: \"guest\"", "name: \"guest\"\n        keystorePassword: old"));
    assertThat(config.logLevel()).isEqualTo(LogLevel.WARNING);
    assertThat(config.warnings())
        .containsExactlyInAnyOrder(
            "logging.logsize: this key is unknown and has no effect",
            "tokens.0.users.2.keystorePassword: this key is unknown and has no effect");
  }

  @ParameterizedTest
  @ValueSource(strings = {"panic", "fatal", "error", "warning", "info", "debug", "trace"})
  void knowsSevenLogLevels(String level) throws IOException {
    assertThat(read(GOOD.replace("loglevel: info", "loglevel: " + level)).logLevel())
        .hasToString(level.toUpperCase(java.util.Locale.ROOT));
  }

  @Test
  void refusesWhatIsNoYamlWithoutQuotingIt() throws IOException {
    assertThatThrownBy(() -> read("tokens: { 0: [ \"s3cret\" \n"))
        .isInstanceOf(ConfigException.class)
        .hasMessageContaining("not YAML")
        .hasMessageNotContaining("s3cret");
    assertThatThrownBy(() -> read("just text")).hasMessageContaining("not a YAML file");
    assertThatThrownBy(() -> read("tokens: 1\ntokens: 2")).hasMessageContaining("not YAML");
  }

  // ---- B1: where it is found

  @Test
  void looksWhereTheVariableSaysThenInTheSystemThenInTheDirectory() throws IOException {
    var system = directory.resolve("system.yaml");
    var own = Files.createDirectory(directory.resolve("application"));
    assertThatThrownBy(() -> ClientConfigFile.find(Map.of(), system, own))
        .isInstanceOf(ConfigException.class)
        .hasMessageContaining("EP11CLIENT_CFG is not set");

    var local = Files.writeString(own.resolve("grep11client.yaml"), GOOD);
    assertThat(ClientConfigFile.find(Map.of(), system, own)).isEqualTo(local);
    Files.writeString(system, GOOD);
    assertThat(ClientConfigFile.find(Map.of(), system, own)).isEqualTo(system);
    var named = directory.resolve("named.yaml");
    var environment = Map.of("EP11CLIENT_CFG", named.toString());
    assertThat(ClientConfigFile.find(environment, system, own)).isEqualTo(named);
    // Set and unreadable: an error, not the next place.
    assertThatThrownBy(() -> ClientConfigFile.read(named)).hasMessageContaining("no such file");
  }
}
