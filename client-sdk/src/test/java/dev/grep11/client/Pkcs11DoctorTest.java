package dev.grep11.client;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.agent.store.FileStore;
import dev.grep11.doctor.LocalParts;
import dev.grep11.doctor.Pkcs11Doctor;
import dev.grep11.doctor.Pkcs11Doctor.Pin;
import dev.grep11.findings.Finding;
import dev.grep11.findings.Finding.Level;
import dev.grep11.findings.Findings;
import io.grpc.Grpc;
import io.grpc.TlsServerCredentials;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Planted faults of everything but keystores, which need a gateway: interop/pkcs11/story.sh. */
class Pkcs11DoctorTest {
  private static final String KEY = "an API key of user 1";

  @TempDir private Path directory;
  private TestAuthority authority;
  private TestAuthority.Identity client;
  private FakeTokenService tokens;
  private FakeGateway gateway;
  private Instant now = Instant.now();

  @BeforeEach
  void start() throws Exception {
    authority = new TestAuthority(directory, "known");
    client = authority.issue("client");
    Files.setPosixFilePermissions(client.key(), PosixFilePermissions.fromString("rw-------"));
    var server = authority.issue("server");
    tokens = new FakeTokenService(server);
    gateway = new FakeGateway(server, null);
  }

  @AfterEach
  void stop() {
    gateway.close();
    tokens.close();
  }

  private String yaml() {
    return """
    iamcredentialtemplate: &iam { enabled: true, endpoint: "%s" }
    tokens:
      0:
        grep11connection:
          address: "localhost"
          port: "%d"
          tls: { enabled: true, mutual: true, cacert: "%s", certfile: "%s", keyfile: "%s" }
        users:
          0: { name: officer, iamauth: *iam }
          1: { name: orders, tokenspaceID: 7c0c7d1e-07c4-4a6b-8d3c-0e5f5f3f6a11, iamauth: *iam }
          2:
            name: guest
            tokenspaceID: b1f3f2d6-5b0d-4f0a-9d54-2a6f3c8e7720
            iamauth: { <<: *iam, apikey: of-the-guest }
    """
        .formatted(tokens.endpoint(), port(), authority.ca(), client.certificate(), client.key());
  }

  private int port() {
    return Integer.parseInt(gateway.address().replaceFirst(".*:", ""));
  }

  private Findings examine(String yaml) throws Exception {
    return examine(yaml, directory.resolve("none.sock"));
  }

  private Findings examine(String yaml, Path socket) throws Exception {
    var file = directory.resolve("grep11client.yaml");
    Files.writeString(file, yaml);
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-------"));
    return new Pkcs11Doctor(
            file,
            Optional.of(new Pin(KEY)),
            new LocalParts(socket, Optional.empty(), Optional.empty()),
            () -> now)
        .examine();
  }

  private static List<Finding> of(Findings findings, Level level) {
    return findings.all().stream().filter(finding -> finding.level() == level).toList();
  }

  private static void assertFound(
      Findings findings, Level level, String check, String detail, String remedy) {
    assertThat(findings.all())
        .anySatisfy(finding -> {
          assertThat(finding.level()).isEqualTo(level);
          assertThat(finding.check()).contains(check);
          assertThat(finding.detail()).contains(detail);
          assertThat(finding.remedy()).contains(remedy);
        });
    assertThat(findings.exitCode()).isEqualTo(level == Level.BAD ? 1 : 0);
  }

  @Test
  void findsNothingBadWhereAllIsWell() throws Exception {
    now = Instant.now().minus(Duration.ofSeconds(30));
    // Certificates of the tests are good for an hour, which is a finding of its own.
    var bad = of(examine(yaml()), Level.BAD);
    assertThat(bad).allSatisfy(finding -> assertThat(finding.detail()).contains("expires in"));
    assertThat(of(examine(yaml()), Level.GOOD))
        .extracting(Finding::check)
        .contains(
            "configuration",
            "slot 0, gateway",
            "slot 0, token service",
            "slot 0, second lock",
            "slot 0, user 1 \"orders\"",
            "slot 0, user 2 \"guest\"");
  }

  @Test
  void showsNoKey() throws Exception {
    var findings = examine(yaml());
    for (var format : Findings.Format.values()) {
      assertThat(findings.as(format)).doesNotContain(KEY).doesNotContain("of-the-guest");
    }
  }

  static Stream<Arguments> faults() {
    return Stream.of(
        fault(
            "another host name",
            yaml -> yaml.replace("address: \"localhost\"", "address: \"127.0.0.2\""),
            "gateway",
            "certificate of another name",
            "use one of these names"),
        fault(
            "a host that does not exist",
            yaml -> yaml.replace("address: \"localhost\"", "address: \"gateway.invalid\""),
            "gateway",
            "cannot be reached",
            "address and port"),
        fault(
            "another CA",
            yaml -> yaml.replace("known-ca.pem", "strange-ca.pem"),
            "gateway",
            "is not trusted",
            "tls.cacert"),
        fault(
            "another one's key",
            yaml -> yaml.replace("known-client.key", "known-other.key"),
            "configuration",
            "not the private key",
            "correct"),
        fault(
            "no certificate file",
            yaml -> yaml.replace("known-client.pem", "nothing.pem"),
            "configuration",
            "no such file",
            "correct"),
        fault(
            "the anonymous user's key as PIN",
            yaml -> yaml.replace("of-the-guest", "\"" + KEY + "\""),
            "user 1",
            "that of the anonymous user",
            "apikey create"),
        fault(
            "no user 2",
            yaml -> yaml.replace("      2:\n", "      3:\n"),
            "configuration",
            "users",
            "correct"),
        fault(
            "a database that is named in no known way",
            yaml -> ofDatabase(yaml, "x"),
            "storage",
            "neither pairs",
            "connectionstring"),
        fault(
            "a database that is not there",
            yaml -> ofDatabase(yaml, "host=127.0.0.1 port=1 user=agent password=s3cret"),
            "storage",
            "PostgreSQL: ",
            "start the database"));
  }

  private static String ofDatabase(String yaml, String connection) {
    return yaml.replace(
        "    users:",
        "    storage: { localpostgres: { enabled: true, connectionstring: '%s' } }\n    users:"
            .formatted(connection));
  }

  private static Arguments fault(
      String name, UnaryOperator<String> plant, String check, String detail, String remedy) {
    return Arguments.of(name, plant, check, detail, remedy);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("faults")
  void findsAPlantedFault(
      String name, UnaryOperator<String> plant, String check, String detail, String remedy)
      throws Exception {
    new TestAuthority(directory, "strange");
    authority.issue("other");
    assertFound(examine(plant.apply(yaml())), Level.BAD, check, detail, remedy);
  }

  @Test
  void findsAClosedPort() throws Exception {
    int closed;
    try (var socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      closed = socket.getLocalPort();
    }
    var yaml = yaml().replace("\"" + port() + "\"", "\"" + closed + "\"");
    assertFound(examine(yaml), Level.BAD, "gateway", "cannot be reached", "ready line");
  }

  @Test
  void findsATokenServiceThatIsDown() throws Exception {
    var yaml = yaml();
    tokens.close();
    assertFound(examine(yaml), Level.BAD, "token service", "cannot be reached", "endpoint");
  }

  @Test
  void findsAPortWithoutTls() throws Exception {
    try (var plain = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      var answering =
          new Thread(() -> {
            try (var accepted = plain.accept()) {
              accepted.getOutputStream().write("HTTP/1.1 400 Bad Request\r\n\r\n".getBytes(UTF_8));
            } catch (IOException e) {
              // The test ends.
            }
          });
      answering.setDaemon(true);
      answering.start();
      var yaml = yaml().replace("\"" + port() + "\"", "\"" + plain.getLocalPort() + "\"");
      assertThat(of(examine(yaml), Level.BAD))
          .anySatisfy(finding -> assertThat(finding.check()).isEqualTo("slot 0, gateway"));
    }
  }

  @Test
  void oneLocalFaultStopsNoRemoteCheck() throws Exception {
    var findings =
        examine(yaml().replace("known-client.pem", "nothing.pem") + "logging: {loglevel: x}\n");
    assertFound(findings, Level.BAD, "configuration", "no such file", "correct");
    assertThat(of(findings, Level.GOOD))
        .extracting(Finding::check)
        .contains(
            "slot 0, gateway",
            "slot 0, token service",
            "slot 0, user 1 \"orders\"",
            "slot 0, user 2 \"guest\"");
  }

  @Test
  void saysThatAClosedLockIsNotTriedWithoutItsCertificate() throws Exception {
    gateway.close();
    gateway = new FakeGateway(authority.issue("server"), authority.ca());
    var findings = examine(yaml().replace("known-client.pem", "nothing.pem"));
    assertThat(of(findings, Level.WARNING))
        .anySatisfy(finding -> {
          assertThat(finding.check()).isEqualTo("slot 0, second lock");
          assertThat(finding.detail()).contains("ours is not tried");
        });
    assertThat(findings.as(Findings.Format.TEXT)).doesNotContain("apikey");
  }

  @Test
  void findsThePortOfTheTokenServiceInThePlaceOfTheGateways() throws Exception {
    var yaml = yaml().replace("\"" + port() + "\"", "\"" + tokens.endpoint().getPort() + "\"");
    var findings = examine(yaml);
    assertFound(findings, Level.BAD, "gateway", "TLS and not HTTP/2", "ready line");
    assertThat(findings.as(Findings.Format.TEXT)).doesNotContain("apikey");
  }

  @Test
  void findsAnotherServiceInThePlaceOfTheGateway() throws Exception {
    var identity = authority.issue("server");
    var other =
        Grpc.newServerBuilderForPort(
                0,
                TlsServerCredentials.create(
                    identity.certificate().toFile(), identity.key().toFile()))
            .build()
            .start();
    try {
      var yaml = yaml().replace("\"" + port() + "\"", "\"" + other.getPort() + "\"");
      var findings = examine(yaml);
      assertFound(findings, Level.BAD, "user 1", "has no crypto service", "ready line");
      assertThat(findings.as(Findings.Format.TEXT)).doesNotContain("apikey");
    } finally {
      other.shutdownNow();
    }
  }

  @Test
  void tellsWhatAnswersWhereTheCertificateIsNotTrusted() throws Exception {
    new TestAuthority(directory, "strange");
    assertFound(
        examine(yaml().replace("known-ca.pem", "strange-ca.pem")),
        Level.BAD,
        "gateway",
        "what answers there is \"CN=",
        "correct address and port");
  }

  @Test
  void findsAStorageThatIsSpeltWrong() throws Exception {
    var yaml =
        yaml().replace("    users:", "    storage: { remotstore: { enabled: true } }\n    users:");
    assertFound(
        examine(yaml), Level.BAD, "configuration", "storage.remotstore", "name one of remotestore");
  }

  @Test
  void triesThePasswordOfAFilestoreAndMakesNothing() throws Exception {
    var stores = Files.createDirectory(directory.resolve("stores"));
    var id = UUID.fromString("7c0c7d1e-07c4-4a6b-8d3c-0e5f5f3f6a11");
    FileStore.open(stores, id, "right-pw".toCharArray()).close();
    var right =
        yaml()
            .replace(
                "    users:",
                "    storage: { filestore: { enabled: true, storagepath: '%s' } }\n    users:"
                    .formatted(stores))
            .replace(
                "6a11, iamauth",
                "6a11, sessionauth: { enabled: true, tokenspaceIDPassword: right-pw }, iamauth")
            .replace(
                "        iamauth: { <<",
                "        sessionauth: { enabled: true, tokenspaceIDPassword: right-pw }\n"
                    + "        iamauth: { <<");
    assertFound(
        examine(right.replace("right-pw", "wrong-pw")),
        Level.BAD,
        "storage",
        "the private keystore does not open",
        "tokenspaceIDPassword");
    var findings = examine(right);
    assertThat(of(findings, Level.GOOD))
        .anySatisfy(finding -> assertThat(finding.detail()).isEqualTo("filestore in " + stores));
    try (var made = Files.list(stores)) {
      assertThat(made).as("the public one is not made by a look").hasSize(1);
    }
  }

  @Test
  void findsALockThatIsClosedWhereNoCertificateIsShown() throws Exception {
    gateway.close();
    gateway = new FakeGateway(authority.issue("server"), authority.ca());
    var yaml = yaml().replace("mutual: true", "mutual: false");
    assertFound(examine(yaml), Level.BAD, "second lock", "mutual is false", "tls.mutual");
    assertThat(of(examine(yaml()), Level.GOOD))
        .anySatisfy(finding -> assertThat(finding.detail()).contains("certificate is accepted"));
  }

  @Test
  void findsACertificateThatNoRegisteredCaIssued() throws Exception {
    gateway.close();
    gateway =
        new FakeGateway(authority.issue("server"), new TestAuthority(directory, "registered").ca());
    assertFound(examine(yaml()), Level.BAD, "second lock", "refuses this client", "registered");
  }

  @Test
  void findsAKeyThatOthersMayRead() throws Exception {
    Files.setPosixFilePermissions(client.key(), PosixFilePermissions.fromString("rw-r--r--"));
    assertThat(of(examine(yaml()), Level.WARNING))
        .anySatisfy(finding -> assertThat(finding.detail()).contains("may read it; chmod 600"));
  }

  @Test
  void findsAKeyThatNobodyKnows() throws Exception {
    assertThat(of(examine(yaml() + "loging: { loglevel: info }\n"), Level.WARNING))
        .anySatisfy(finding -> assertThat(finding.detail()).contains("loging"));
  }

  @ParameterizedTest
  @CsvSource({
    "P-1D, BAD, valid from",
    "PT2H, BAD, expired at",
    "PT30M, BAD, expires in 0 hours",
  })
  void findsACertificateThatIsNotValidOrSoonWillNotBe(Duration from, Level level, String detail)
      throws Exception {
    now = Instant.now().plus(from);
    assertThat(of(examine(yaml()), level))
        .anySatisfy(finding -> {
          assertThat(finding.check()).isEqualTo("slot 0, certfile");
          assertThat(finding.detail()).contains(detail);
        });
  }

  @Test
  void findsASocketThatAnAgentLeftBehind() throws Exception {
    var socket = directory.resolve("agent.sock");
    try (var server = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
      server.bind(UnixDomainSocketAddress.of(socket));
    }
    assertThat(of(examine(yaml(), socket), Level.BAD))
        .anySatisfy(finding -> {
          assertThat(finding.check()).isEqualTo("agent");
          assertThat(finding.detail()).contains("nobody listens");
          assertThat(finding.remedy()).contains("left it behind");
        });
    Files.delete(socket);
    Files.writeString(socket, "");
    assertThat(of(examine(yaml(), socket), Level.BAD))
        .anySatisfy(finding -> assertThat(finding.detail()).contains("is no socket"));
  }
}
