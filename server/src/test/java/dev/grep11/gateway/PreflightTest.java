package dev.grep11.gateway;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.grep11.gateway.Preflight.Finding;
import dev.grep11.gateway.Preflight.Result;
import dev.grep11.gateway.command.DemoData;
import dev.grep11.gateway.tls.DemoCa;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.stream.Collectors;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** What {@code doctor --config} says of a configuration that can be read. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class PreflightTest {
  private Path directory = Path.of("");

  @BeforeAll
  void make(@TempDir Path parent) {
    directory = parent.resolve("demo");
    DemoData.open(directory);
  }

  private GatewayConfig config(Map<String, Object> changed) {
    var settings = new HashMap<String, Object>(Map.of("/listen/portBase", 0));
    settings.putAll(changed);
    return GatewayConfig.read(DemoData.config(directory), settings);
  }

  private Map<String, Finding> look(Map<String, Object> changed) {
    return Preflight.look(config(changed)).stream()
        .collect(Collectors.toMap(Finding::check, finding -> finding));
  }

  @Test
  void findsNothingWrongWithADemoAndLeavesNothingBehind() {
    var found = look(Map.of("/audit/file", "audit-of-preflight.jsonl"));

    assertThat(found.values()).extracting(Finding::result).containsOnly(Result.OK);
    assertThat(found)
        .containsKeys(
            "server certificate",
            "audit",
            "token",
            "token mechanisms",
            "store",
            "instance",
            "sealing keys",
            "token-signing key",
            "crypto port",
            "token service port",
            "health port");
    assertThat(directory.resolve("audit-of-preflight.jsonl")).doesNotExist();
  }

  @Test
  void tellsAllThatIsWrongInOneGo() throws Exception {
    var other = Files.createDirectory(directory.resolve("other"));
    DemoCa.write(DemoCa.create().server(), other);
    Files.writeString(directory.resolve("no-keys.json"), "{\"keys\":[]}");
    var instance = UUID.randomUUID();
    try (var taken = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      var found =
          look(
              Map.of(
                  "/tls/certificate",
                  "other/server.pem",
                  "/audit/file",
                  "absent/audit.jsonl",
                  "/instance",
                  instance.toString(),
                  "/listen/portBase",
                  taken.getLocalPort(),
                  "/issuers",
                  List.of(
                      issuer("of-a-file", "jwksFile", "no-keys.json"),
                      issuer("of-a-url", "jwksUrl", "https://127.0.0.1:1/keys"))));

      says(found, "server certificate", Result.FAILED, "is not the key of the first certificate");
      says(found, "audit", Result.FAILED, "absent is not there");
      says(found, "instance", Result.FAILED, "no instance " + instance);
      says(found, "sealing keys", Result.OK, "");
      says(found, "keys of issuer of-a-file", Result.FAILED, "no-keys.json: not a usable JWK set");
      says(found, "keys of issuer of-a-url", Result.WARNING, "https://127.0.0.1:1/keys: ");
      says(found, "crypto port", Result.FAILED, taken.getLocalPort() + " cannot be bound");
    }
  }

  @Test
  void saysThatClientsWouldBeRefusedForRevocationsThatCannotBeRead() {
    var missing =
        look(
            Map.of(
                "/clientCas/denyFile",
                "absent",
                "/clientCas/crls",
                List.of(Map.of("ca", "tls/ca.pem", "crl", "absent.crl"))));

    says(missing, "revoked client certificates", Result.FAILED, "absent cannot be read");
  }

  @Test
  void warnsBeforeACertificateEnds() throws Exception {
    var ending = Files.createDirectory(directory.resolve("ending"));
    DemoCa.write(DemoCa.create().server(Duration.ofDays(29)), ending);

    var found =
        look(Map.of("/tls/certificate", "ending/server.pem", "/tls/key", "ending/server.key"));

    says(found, "server certificate", Result.WARNING, "renew it");
  }

  @Test
  void saysWhatCouldNotBeCheckedWithoutTheToken() {
    var found = look(Map.of("/hsm/tokenLabel", "another"));

    says(found, "token", Result.FAILED, "\"another\"");
    for (var check : List.of("token mechanisms", "store", "instance", "sealing keys")) {
      says(found, check, Result.NOT_CHECKED, "the token is not open");
    }
    says(found, "server certificate", Result.OK, "");
    says(found, "health port", Result.OK, "");
  }

  @Test
  void aStartIsRefusedForWhatTheChecksCallFailed() throws Exception {
    Files.writeString(directory.resolve("empty.json"), "{\"keys\":[]}");
    var config =
        config(
            Map.of(
                "/audit/file",
                "audit-of-refusal.jsonl",
                "/issuers",
                List.of(issuer("of-a-file", "jwksFile", "empty.json"))));

    assertThatThrownBy(() -> Gateway.start(config).close())
        .isInstanceOf(StartException.class)
        .hasMessageContaining("issuer of-a-file")
        .hasMessageContaining("empty.json: not a usable JWK set");
  }

  private static Map<String, String> issuer(String name, String source, String value) {
    return Map.of("issuer", name, source, value, "audience", "grep11");
  }

  private static void says(Map<String, Finding> found, String check, Result result, String detail) {
    assertThat(found.get(check))
        .as(check)
        .isNotNull()
        .satisfies(finding -> {
          assertThat(finding.result()).as(finding.detail()).isEqualTo(result);
          assertThat(finding.detail()).contains(detail);
        });
  }
}
