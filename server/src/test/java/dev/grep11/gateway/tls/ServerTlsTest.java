package dev.grep11.gateway.tls;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.grep11.gateway.trust.ClientChain;
import io.grpc.netty.NettyServerBuilder;
import io.netty.handler.ssl.ClientAuth;
import io.netty.handler.ssl.SslContext;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.KeyStore;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.X509TrustManager;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ServerTlsTest {
  private static final Duration POLL = Duration.ofMillis(30);

  @TempDir Path directory;
  private final DemoCa ca = DemoCa.create();
  private final List<String> problems = new CopyOnWriteArrayList<>();

  @BeforeEach
  void makeIdentity() throws IOException {
    ca.write(directory);
    DemoCa.write(ca.server(), directory);
  }

  private Path chain() {
    return directory.resolve("server.pem");
  }

  private Path key() {
    return directory.resolve("server.key");
  }

  private ServerTls start() throws IdentityException {
    return ServerTls.start(chain(), key(), POLL, problems::add);
  }

  @ParameterizedTest
  @ValueSource(strings = {"-tls1_3", "-tls1_2"})
  void neverResumesASession(String version) throws Exception {
    try (var port = new Port(start())) {
      var session = directory.resolve("session.pem");

      var first = openssl(port, version, "-sess_out", session.toString());
      assertThat(first).contains("Verify return code: 0");
      assertThat(first).containsPattern("New, TLSv1\\.[23]");

      if (Files.exists(session)) {
        assertThat(openssl(port, version, "-sess_in", session.toString()))
            .doesNotContain("Reused")
            .containsPattern("New, TLSv1\\.[23]");
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"-tls1_1", "-tls1"})
  void refusesOlderVersions(String version) throws Exception {
    try (var port = new Port(start())) {
      assertThat(openssl(port, version, "-cipher", "DEFAULT@SECLEVEL=0"))
          .contains("Cipher is (NONE)");
    }
  }

  @Test
  void newHandshakesUseANewIdentityAndOpenConnectionsGoOn() throws Exception {
    try (var port = new Port(start());
        var open = port.connect()) {
      var before = leaf(open);
      replace(ca.server());

      await()
          .atMost(10, TimeUnit.SECONDS)
          .untilAsserted(() -> {
            try (var next = port.connect()) {
              assertThat(leaf(next)).isNotEqualTo(before);
            }
          });
      assertThat(open.isClosed()).isFalse();
      open.getOutputStream().write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".getBytes(US_ASCII));
      assertThat(open.getInputStream().read()).isNotNegative();
      assertThat(problems).isEmpty();
    }
  }

  @Test
  void followsASymbolicLinkThatIsSwapped() throws Exception {
    var one = Files.createDirectory(directory.resolve("one"));
    var two = Files.createDirectory(directory.resolve("two"));
    DemoCa.write(ca.server(), one);
    DemoCa.write(ca.server(), two);
    var link = Files.createSymbolicLink(directory.resolve("live"), one);
    try (var port =
        new Port(
            ServerTls.start(
                link.resolve("server.pem"), link.resolve("server.key"), POLL, problems::add))) {
      X509Certificate before;
      try (var socket = port.connect()) {
        before = leaf(socket);
      }
      Files.move(
          Files.createSymbolicLink(directory.resolve("next"), two),
          link,
          StandardCopyOption.ATOMIC_MOVE);

      await()
          .atMost(10, TimeUnit.SECONDS)
          .untilAsserted(() -> {
            try (var socket = port.connect()) {
              assertThat(leaf(socket)).isNotEqualTo(before);
            }
          });
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"foreign key", "half a file", "gone"})
  void keepsTheOldIdentityWhenTheNewPairIsNoGoodAndSaysSoOnce(String what) throws Exception {
    try (var port = new Port(start())) {
      switch (what) {
        case "foreign key" ->
            Files.write(key(), pem("PRIVATE KEY", ca.server().key().getEncoded()));
        case "half a file" ->
            Files.write(chain(), java.util.Arrays.copyOf(Files.readAllBytes(chain()), 200));
        default -> Files.delete(key());
      }
      await().atMost(10, TimeUnit.SECONDS).untilAsserted(() -> assertThat(problems).hasSize(1));

      try (var socket = port.connect()) {
        assertThat(leaf(socket).getSubjectX500Principal().getName()).isEqualTo("CN=localhost");
      }
      Thread.sleep(POLL.toMillis() * 4);
      assertThat(problems).hasSize(1);
      assertThat(problems.getFirst()).contains(directory.toString());
    }
  }

  @ParameterizedTest
  @CsvSource({
    "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048, PRIVATE KEY",
    "genrsa -traditional 2048, RSA PRIVATE KEY",
    "ecparam -name prime256v1 -genkey, EC PRIVATE KEY",
    "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384, PRIVATE KEY"
  })
  void readsPrivateKeysInTheFormsPeopleHave(String command, String label) throws Exception {
    var file = directory.resolve("made.key");
    Files.write(file, run(command));
    assertThat(Files.readString(file)).contains("-----BEGIN " + label + "-----");
    var certificate = directory.resolve("made.pem");
    Files.write(certificate, run("req -x509 -new -key " + file + " -subj /CN=made -days 2"));

    assertThat(ServerIdentity.read(certificate, file).chain()).hasSize(1);
  }

  @Test
  void namesWhatIsWrongWithAnIdentity() throws Exception {
    var expired = ca.server(Duration.ofMinutes(-1));
    replace(expired);
    assertThatThrownBy(() -> ServerIdentity.read(chain(), key()))
        .isInstanceOf(IdentityException.class)
        .hasMessageContaining("CN=localhost")
        .hasMessageContaining("expired");

    replace(ca.server());
    Files.write(
        chain(),
        (Files.readString(directory.resolve("ca.pem")) + Files.readString(chain()))
            .getBytes(US_ASCII));
    assertThatThrownBy(() -> ServerIdentity.read(chain(), key())).hasMessageContaining("order");

    Files.writeString(key(), Files.readString(chain()));
    assertThatThrownBy(() -> ServerIdentity.read(directory.resolve("ca.pem"), key()))
        .hasMessageContaining("no private key");
    assertThatThrownBy(() -> ServerIdentity.read(directory.resolve("absent.pem"), key()))
        .hasMessageContaining("absent.pem");
  }

  @Test
  void demoKeysAreReadableByTheirOwnerOnly() throws Exception {
    for (var name : List.of("ca.key", "server.key")) {
      assertThat(
              PosixFilePermissions.toString(Files.getPosixFilePermissions(directory.resolve(name))))
          .isEqualTo("rw-------");
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"TLSv1.2", "TLSv1.3"})
  void aConnectionKeepsTheChainThatItsHandshakeJudgedWithTheSignaturesThatItVerified(String version)
      throws Exception {
    var judged = new CopyOnWriteArrayList<ClientChain>();
    var tls = start();
    tls.askClients(
        new ClientTrust(
            ClientAuth.REQUIRE,
            List.of(),
            chain -> {
              judged.add(chain);
              return Optional.empty();
            }));
    var client = ca.server();
    try (var port = new Port(tls, tls.cryptoContext());
        var socket = port.connect(version, client)) {
      socket.getOutputStream().write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".getBytes(US_ASCII));
      // An empty SETTINGS frame, by which gRPC takes a connection for one (RFC 9113, 3.4).
      socket.getOutputStream().write(new byte[] {0, 0, 0, 4, 0, 0, 0, 0, 0});

      await().atMost(10, TimeUnit.SECONDS).until(() -> !port.connections.live().isEmpty());
      var connection = port.connections.live().iterator().next();
      assertThat(judged).hasSize(1);
      assertThat(connection.judged()).isSameAs(judged.getFirst());
      assertThat(connection.clientChain().getFirst()).isEqualTo(client.chain().getFirst());
    }
  }

  private void replace(ServerIdentity identity) throws IOException {
    var next = Files.createTempDirectory(directory, "next");
    DemoCa.write(identity, next);
    for (var name : List.of("server.pem", "server.key")) {
      Files.move(next.resolve(name), directory.resolve(name), StandardCopyOption.REPLACE_EXISTING);
    }
  }

  private static byte[] pem(String label, byte[] der) {
    return ("-----BEGIN "
            + label
            + "-----\n"
            + java.util.Base64.getMimeEncoder().encodeToString(der)
            + "\n-----END "
            + label
            + "-----\n")
        .getBytes(US_ASCII);
  }

  private static X509Certificate leaf(SSLSocket socket) throws IOException {
    return (X509Certificate) socket.getSession().getPeerCertificates()[0];
  }

  private byte[] run(String arguments) throws Exception {
    var command = new ArrayList<>(List.of("openssl"));
    command.addAll(List.of(arguments.split(" ", -1)));
    var process = new ProcessBuilder(command).start();
    process.getOutputStream().close();
    var output = process.getInputStream().readAllBytes();
    assertThat(process.waitFor()).describedAs(arguments).isZero();
    return output;
  }

  private String openssl(Port port, String... arguments) throws Exception {
    var command =
        new ArrayList<>(
            List.of(
                "openssl",
                "s_client",
                "-connect",
                "127.0.0.1:" + port.number(),
                "-alpn",
                "h2",
                "-CAfile",
                directory.resolve("ca.pem").toString()));
    command.addAll(List.of(arguments));
    var process = new ProcessBuilder(command).redirectErrorStream(true).start();
    // TLS 1.3 tickets come after the handshake: a client that leaves at once would see none.
    Thread.sleep(500);
    process.getOutputStream().close();
    var output = new String(process.getInputStream().readAllBytes(), US_ASCII);
    process.waitFor();
    return output;
  }

  /** A grpc listener without services, which is all that a handshake needs. */
  private static final class Port implements AutoCloseable {
    private final ServerTls tls;
    private final Connections connections = new Connections(1);
    private final io.grpc.Server server;

    Port(ServerTls tls) throws IOException {
      this(tls, tls.grpcContext());
    }

    Port(ServerTls tls, SslContext context) throws IOException {
      this.tls = tls;
      server =
          NettyServerBuilder.forAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
              .bossEventLoopGroup(connections.acceptors())
              .workerEventLoopGroup(connections.eventLoops())
              .channelFactory(connections.channelFactory())
              .sslContext(context)
              .addTransportFilter(connections)
              .build()
              .start();
    }

    int number() {
      return server.getPort();
    }

    SSLSocket connect() throws Exception {
      return connect("TLS", new KeyManager[0]);
    }

    /** By a client with a certificate. */
    SSLSocket connect(String version, ServerIdentity client) throws Exception {
      var keys = KeyStore.getInstance("PKCS12");
      keys.load(null, null);
      keys.setKeyEntry(
          "client", client.key(), new char[0], client.chain().toArray(X509Certificate[]::new));
      var managers = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
      managers.init(keys, new char[0]);
      return connect(version, managers.getKeyManagers());
    }

    private SSLSocket connect(String version, KeyManager[] keys) throws Exception {
      var context = SSLContext.getInstance(version);
      context.init(keys, new X509TrustManager[] {new TakeAll()}, null);
      var socket =
          (SSLSocket)
              context.getSocketFactory().createSocket(InetAddress.getLoopbackAddress(), number());
      var parameters = socket.getSSLParameters();
      parameters.setApplicationProtocols(new String[] {"h2"});
      socket.setSSLParameters(parameters);
      socket.startHandshake();
      return socket;
    }

    @Override
    public void close() {
      server.shutdownNow();
      connections.close();
      tls.close();
    }
  }

  /** These tests look at the certificate themselves. */
  private static final class TakeAll implements X509TrustManager {
    @Override
    public void checkClientTrusted(X509Certificate[] chain, String authType) {}

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String authType) {}

    @Override
    public X509Certificate[] getAcceptedIssuers() {
      return new X509Certificate[0];
    }
  }
}
