package dev.grep11.gateway.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.store.StoreLocation;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class GatewayConfigTest {
  private static final String GOOD =
      """
      instance: 8f0ad1c5-0f4f-4a4b-b0d3-0d5ad4e4c1f7
      tls: {certificate: server.pem, key: server.key}
      hsm: {module: module.so, tokenLabel: token, pinFile: pin}
      store: {directory: store}
      tokenService: {issuer: "https://gateway.example/identity"}
      audit: {file: audit.jsonl}
      """;

  @TempDir Path directory;

  @BeforeEach
  void makeFiles() throws IOException {
    for (var name : new String[] {"server.pem", "server.key", "module.so", "pin"}) {
      var file = Files.writeString(directory.resolve(name), "content");
      Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-------"));
    }
  }

  private GatewayConfig read(String text) throws IOException {
    return GatewayConfig.read(Files.writeString(directory.resolve("gateway.yaml"), text));
  }

  private String problem(String text) {
    return String.valueOf(
        catchThrowableOfType(ConfigException.class, () -> read(text)).getMessage());
  }

  @Test
  void silenceMeansTheSafeSetting() throws IOException {
    var config = read(GOOD);

    assertThat(config.mode()).isEqualTo(GatewayConfig.Mode.PRODUCTION);
    assertThat(config.policy()).isEqualTo(Policy.STRICT);
    assertThat(config.softwareFallback()).isFalse();
    assertThat(config.listen().portBase()).isEqualTo(9876);
    assertThat(config.store()).isEqualTo(directory.resolve("store"));
  }

  @Test
  void theDemoHasItsOwnDefaults() throws IOException {
    var config = read("mode: demo\n" + GOOD);

    assertThat(config.policy()).isEqualTo(Policy.COMPATIBLE);
    assertThat(config.softwareFallback()).isTrue();
    assertThat(config.listen().address().isLoopbackAddress()).isTrue();
  }

  @Test
  void theHealthPortIsWhereTheOthersAreUnlessItIsToldOtherwise() throws IOException {
    var listen = "listen: {host: 0.0.0.0, portBase: 9976%s}\n";
    var together = read(listen.formatted("") + GOOD).listen();
    assertThat(together.health().getAddress()).isEqualTo(together.address());

    var apart = read(listen.formatted(", healthHost: 127.0.0.1") + GOOD).listen();
    assertThat(apart.health())
        .isEqualTo(new InetSocketAddress(InetAddress.ofLiteral("127.0.0.1"), 9979));
    assertThat(apart.tokenService())
        .isEqualTo(new InetSocketAddress(InetAddress.ofLiteral("0.0.0.0"), 9978));
    assertThat(problem(listen.formatted(", healthHost: '1::2::3'") + GOOD))
        .contains("listen.healthHost: \"1::2::3\" is not an address of this host");
  }

  @Test
  void allProblemsAreInOneMessage() throws IOException {
    Files.setPosixFilePermissions(
        directory.resolve("server.key"), PosixFilePermissions.fromString("rw-r--r--"));

    var message =
        problem(
            """
            mode: prodution
            instance: CHANGE_ME
            plaintext: true
            listen: {portBase: high}
            tls: {certificate: absent.pem, key: server.key, ciphers: all}
            hsm: {module: module.so, tokenLabel: <LABEL>}
            audit: {file: audit.jsonl}
            """);

    assertThat(message)
        .contains("mode: is \"prodution\", not one of production, demo")
        .contains("instance: still holds the placeholder \"CHANGE_ME\"")
        .contains("plaintext: is not a setting")
        .contains("listen.portBase: is not a whole number")
        .contains("tls.certificate: " + directory.resolve("absent.pem") + " is not there")
        .contains("tls.ciphers: is not a setting")
        .contains("hsm.tokenLabel: still holds the placeholder")
        .contains("hsm.pinFile: ")
        .contains("store.directory: is missing")
        .contains("neither issuers nor tokenService")
        .containsPattern(
            Pattern.compile(
                "tls\\.key: .*server\\.key: owner \\S+, mode rw-r--r--; expected owner \\S+, mode"
                    + " rw-------; remedy: chmod 600 \\S+server\\.key"));
  }

  @ParameterizedTest
  @CsvSource({
    "https://collector.example:4318, https://collector.example:4318/v1/traces",
    "https://collector.example/own/path, https://collector.example/own/path",
    "http://localhost:4318/, http://localhost:4318/v1/traces",
    "http://127.0.0.2:4318, http://127.0.0.2:4318/v1/traces",
    "'http://[::1]:4318', 'http://[::1]:4318/v1/traces'",
  })
  void spansGoToTheStandardPathUnlessAnotherIsNamed(String endpoint, String expected)
      throws IOException {
    var tracing = read(GOOD + "tracing: {endpoint: '" + endpoint + "'}\n").tracing().orElseThrow();

    assertThat(tracing.endpoint()).hasToString(expected);
    assertThat(tracing.samplePercent()).isZero();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "issuers: [{issuer: a, jwksUrl: 'http://a/keys', audience: b}] | https only",
        "issuers: [{issuer: a, jwksUrl: 'https://a/keys'}] | audience",
        "issuers: [{issuer: a, audience: b}] | jwksUrl",
        "issuers: [{issuer: a, jwksUrl: 'https://a', audience: b, algorithms: [HS256]}] | HS256",
        "multiInstance: true | instance",
        "limits: {headerKibibytes: 1} | limits.headerKibibytes",
        "tracing: {endpoint: 'http://collector.example:4318'} | tracing.endpoint: spans leave this host over https only",
        "tracing: {endpoint: 'http://10.0.0.1:4318'} | tracing.endpoint: spans leave this host over https only",
        "tracing: {endpoint: 'https://u:p@collector.example'} | tracing.endpoint: is not the URL of a collector",
        "tracing: {endpoint: '//collector.example'} | tracing.endpoint: is not the URL of a collector",
        "tracing: {endpoint: 'https://collector.example?token=x'} | tracing.endpoint: is not the URL of a collector",
        "tracing: {endpoint: 'collector'} | tracing.endpoint: is not the URL of a collector",
        "tracing: {samplePercent: 101, endpoint: 'https://a'} | tracing.samplePercent",
        "tracing: {} | tracing.endpoint: is missing",
        "enrolment: open | enrolment: open lets every token",
        "mode: demo\\nmode: demo | Duplicate"
      })
  void refuses(String addition, String named) {
    assertThat(problem(GOOD + addition.replace("\\n", "\n") + "\n")).contains(named);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "url: 'jdbc:postgresql://db.example/g', user: u, passwordFile: pin | store.postgresql.url: names the host db.example without sslmode=verify-full",
        "url: 'jdbc:postgresql://localhost/g', user: u | store.postgresql.passwordFile: is missing",
        "url: 'jdbc:postgresql://localhost/g', user: u, passwordFile: server.pem | mode rw-r--r--; expected owner",
        "user: u, passwordFile: pin | store.postgresql.url: is missing",
        "url: 'jdbc:postgresql://localhost/g', user: u, passwordFile: pin, pool: 5 | store.postgresql.pool: is not a setting"
      })
  void refusesAServerOfTheStore(String server, String named) throws IOException {
    Files.setPosixFilePermissions(
        directory.resolve("server.pem"), PosixFilePermissions.fromString("rw-r--r--"));
    assertThat(problem(withServer(server))).contains(named);
  }

  @Test
  void theStoreMayBeOnAServer() throws IOException {
    var url = "jdbc:postgresql://db.example/g?sslmode=verify-full";
    var config = read(withServer("url: '%s', user: u, passwordFile: pin".formatted(url)));
    assertThat(config.store()).isEqualTo(directory.resolve("store"));
    assertThat(config.database())
        .isEqualTo(new StoreLocation.Postgresql(url, "u", directory.resolve("pin")));
  }

  private static String withServer(String server) {
    return GOOD.replace("{directory: store}", "{directory: store, postgresql: {" + server + "}}");
  }

  @Test
  void everySettingOfTheExampleIsOneAndEachPlaceholderIsFound() throws IOException {
    var example = Files.readString(Path.of("../docs/gateway.yaml"));

    var message = problem(example);

    assertThat(message).doesNotContain("is not a setting");
    assertThat(message.lines().filter(line -> line.contains("still holds the placeholder")))
        .hasSize(
            (int)
                Pattern.compile("^[^#\\n]*<[^<>]+>", Pattern.MULTILINE)
                    .matcher(example)
                    .results()
                    .count());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "CHANGE_ME",
        "change-me",
        "REPLACE-ME",
        "https://gateway.example.invalid/identity",
        "gateway.invalid",
        "${HOST}"
      })
  void aPlaceholderIsToldWhateverItsForm(String placeholder) throws IOException {
    assertThat(problem(GOOD.replace("tokenLabel: token", "tokenLabel: '" + placeholder + "'")))
        .contains("hsm.tokenLabel: still holds the placeholder \"" + placeholder + "\"");
  }

  @Test
  void whatIsNoYamlSaysWhere() {
    assertThatThrownBy(() -> read("mode: [")).hasMessageContaining("not YAML");
  }
}
