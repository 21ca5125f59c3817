package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.MANAGER;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.grep11.client.Grep11Client;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.Templates;
import dev.grep11.gateway.trust.TestCertificates;
import dev.grep11.gateway.trust.TestCertificates.Identity;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * What servers are trusted by and what clients are trusted by never mix. Each of two CAs issues a
 * certificate that is fit for either end, and each end shows either: only a server of the servers'
 * CA and a client of the clients' CA meet.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class TrustDomainsTest {
  private static final Domain SERVERS = Domain.of("servers");
  private static final Domain CLIENTS = Domain.of("clients");

  private record Domain(String name, Identity ca, Identity leaf) {
    private static Domain of(String name) {
      var ca = TestCertificates.ca("CN=CA of " + name).selfSigned();
      var leaf =
          TestCertificates.client("CN=one of " + name)
              .purpose(KeyPurposeId.id_kp_serverAuth, KeyPurposeId.id_kp_clientAuth)
              .dnsName("localhost")
              .signedBy(ca);
      return new Domain(name, ca, leaf);
    }

    private Path certificate(Path directory) {
      return directory.resolve(name + ".pem");
    }

    private Path key(Path directory) {
      return directory.resolve(name + ".key");
    }
  }

  private Path directory = Path.of("");
  private RunningGateway running;
  private Gateway impostor;

  @BeforeAll
  void start(@TempDir Path directory) throws Exception {
    this.directory = directory;
    for (var domain : List.of(SERVERS, CLIENTS)) {
      domain.leaf.write(directory, domain.name);
      Files.setPosixFilePermissions(
          domain.key(directory), PosixFilePermissions.fromString("rw-------"));
    }
    SERVERS.ca.write(directory, "trusted");
    running = RunningGateway.start(directory.resolve("demo"), shows(SERVERS));
    impostor = running.another("impostor", shows(CLIENTS));
    running.registerClientCas(running.instance, List.of(CLIENTS.ca.der()));
    await().atMost(Duration.ofSeconds(20)).until(() -> !isOpenToStrangers());
  }

  private Map<String, Object> shows(Domain domain) {
    return Map.of(
        "/tls/certificate", domain.certificate(directory).toString(),
        "/tls/key", domain.key(directory).toString());
  }

  @AfterAll
  void stop() {
    impostor.close();
    running.close();
  }

  private Grep11Client.Builder client(Domain server) {
    var gateway = server.equals(SERVERS) ? running.gateway : impostor;
    return Grep11Client.builder("localhost:" + gateway.cryptoPort())
        .trustedCa(directory.resolve("trusted.pem"))
        .token(() -> running.token(MANAGER))
        .deadline(Duration.ofSeconds(20));
  }

  private boolean generates(Domain server, Domain client) {
    try (var calls =
        client(server)
            .clientCertificate(client.certificate(directory), client.key(directory))
            .build()) {
      return calls.generateKey(Mechanisms.aesKeyGen(), Templates.aes(256)) != null;
    }
  }

  private boolean isOpenToStrangers() {
    try (var calls = client(SERVERS).build()) {
      return calls.generateKey(Mechanisms.aesKeyGen(), Templates.aes(256)) != null;
    } catch (Grep11Exception e) {
      return false;
    }
  }

  @ParameterizedTest
  @CsvSource({"true, true", "true, false", "false, true", "false, false"})
  void eachEndTakesOnlyThoseOfItsOwnDomain(boolean serverOfServers, boolean clientOfClients) {
    int before = running.calls.generated();
    var server = serverOfServers ? SERVERS : CLIENTS;
    var client = clientOfClients ? CLIENTS : SERVERS;

    if (serverOfServers && clientOfClients) {
      assertThat(generates(server, client)).isTrue();
      assertThat(running.calls.generated()).isEqualTo(before + 1);
    } else {
      assertThatThrownBy(() -> generates(server, client)).isInstanceOf(Grep11Exception.class);
      assertThat(running.calls.generated()).isEqualTo(before);
    }
  }
}
