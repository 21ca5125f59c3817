package dev.grep11.containers;

import static org.assertj.core.api.Assertions.assertThat;

import com.github.dockerjava.api.model.Bind;
import com.github.dockerjava.api.model.Capability;
import dev.grep11.client.Curve;
import dev.grep11.client.EcdsaSignature;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.KeyPair;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.Templates;
import java.io.IOException;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;
import java.util.stream.Stream;
import org.testcontainers.containers.GenericContainer;
import org.testcontainers.containers.wait.strategy.Wait;
import org.testcontainers.utility.DockerImageName;

/** What an operator prepares on a host for gateways that run from the image, as docs/image.md. */
final class Installation {
  static final String IMAGE = setting("GREP11_IMAGE");
  static final String POSTGRES_IMAGE = setting("GREP11_POSTGRES_IMAGE");

  /** The directory docker of a checkout. */
  static final Path SHIPPED = Path.of(setting("GREP11_DOCKER_FILES"));

  /** Of the image: docs/image.md. */
  static final String USER = "10001:10001";

  static final byte[] MESSAGE = "pay 10 to Alice".getBytes(StandardCharsets.UTF_8);
  private static final String PIN = "12345678";

  final Path directory;
  private final UUID instance;

  /**
   * @param directory that becomes it; with {@code etc}, {@code data} and {@code log}, which are
   *     mounted
   */
  Installation(Path directory) throws IOException {
    this(directory, UUID.randomUUID());
  }

  Installation(Path directory, UUID instance) throws IOException {
    this.directory = directory;
    this.instance = instance;
    for (var name : List.of("etc", "data", "log")) {
      Files.createDirectory(directory.resolve(name));
    }
    Command.makeCertificates(etc(), Map.of("server", "DNS:localhost,IP:127.0.0.1"));
    Files.writeString(etc().resolve("pin"), PIN + "\n");
    for (var secret : List.of("pin", "server.key")) {
      Command.run("chmod", "600", etc().resolve(secret).toString()).succeeded();
    }
    Files.createDirectory(directory.resolve("data").resolve("tokens"));
    own(USER, "/mnt/etc", "/mnt/data", "/mnt/log");
    Command.run("chmod", "700", directory.resolve("data").toString()).succeeded();
  }

  Path etc() {
    return directory.resolve("etc");
  }

  Path certificate() {
    return etc().resolve("ca.pem");
  }

  /** Changes owners as root, which a test need not be. */
  void own(String owner, String... paths) {
    var words =
        new ArrayList<>(
            List.of(
                "docker",
                "run",
                "--rm",
                "--user",
                "0:0",
                "-v",
                directory + ":/mnt",
                "--entrypoint",
                "chown",
                IMAGE,
                "-R",
                owner));
    words.addAll(List.of(paths));
    Command.run(Map.of(), words).succeeded();
  }

  void initialiseToken() {
    docker(
            List.of("--entrypoint", "softhsm2-util"),
            "--init-token",
            "--free",
            "--label",
            "grep11",
            "--pin",
            PIN,
            "--so-pin",
            PIN)
        .succeeded();
  }

  /**
   * Settings for a gateway on loopback.
   *
   * @param name of the file, without its ending
   * @param store the section, as YAML in one line
   */
  void configure(String name, int portBase, String store) throws IOException {
    Files.writeString(
        etc().resolve(name + ".yaml"),
        """
        instance: %s
        listen: {host: 127.0.0.1, portBase: %d}
        tls: {certificate: server.pem, key: server.key}
        hsm: {module: /usr/lib/softhsm/libsofthsm2.so, tokenLabel: grep11, pinFile: pin}
        store: %s
        tokenService: {issuer: "https://localhost/identity"}
        audit: {file: /var/log/grep11/%s.jsonl}
        """
            .formatted(instance, portBase, store, name));
  }

  /** What a container of the gateway is given, by the options of {@code docker run}. */
  private List<String> options() {
    return List.of(
        "--network",
        "host",
        "--read-only",
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
        "--tmpfs",
        "/tmp:size=64m,mode=1777,noexec,nosuid,nodev",
        "-v",
        etc() + ":/etc/grep11:ro",
        "-v",
        directory.resolve("data") + ":/var/lib/grep11",
        "-v",
        directory.resolve("log") + ":/var/log/grep11");
  }

  /** A command of the image, such as {@code instance list}, to its end. */
  Command grep11(String... arguments) {
    return docker(List.of(), arguments);
  }

  Command docker(List<String> more, String... arguments) {
    var words = new ArrayList<>(List.of("docker", "run", "--rm"));
    words.addAll(options());
    words.addAll(more);
    words.add(IMAGE);
    words.addAll(List.of(arguments));
    return Command.run(Map.of(), words);
  }

  /** A gateway with the settings of {@code configure}; the caller starts and stops it. */
  GenericContainer<?> gateway(String name) {
    return new GenericContainer<>(DockerImageName.parse(IMAGE))
        .withNetworkMode("host")
        .withTmpFs(Map.of("/tmp", "size=64m,mode=1777,noexec,nosuid,nodev"))
        .withCreateContainerCmdModifier(create ->
            Objects.requireNonNull(create.getHostConfig())
                .withBinds(
                    bind(etc() + ":/etc/grep11:ro"),
                    bind(directory.resolve("data") + ":/var/lib/grep11"),
                    bind(directory.resolve("log") + ":/var/log/grep11"))
                .withReadonlyRootfs(true)
                .withCapDrop(Capability.ALL)
                .withSecurityOpts(List.of("no-new-privileges")))
        .withCommand("serve", "--config", "/etc/grep11/" + name + ".yaml")
        .waitingFor(Wait.forLogMessage("(?s).*ready grep11=.*", 1))
        .withStartupTimeout(Duration.ofSeconds(60));
  }

  /** As {@code docker run -v}. */
  static Bind bind(String fromTo) {
    return Bind.parse(fromTo);
  }

  String createApiKey(String config) {
    return grep11(
            "apikey",
            "create",
            "--config",
            "/etc/grep11/" + config + ".yaml",
            "--name",
            "app",
            "--role",
            "Writer")
        .succeeded()
        .lines()
        .filter(line -> line.startsWith("apikey: "))
        .map(line -> line.substring("apikey: ".length()))
        .findFirst()
        .orElseThrow();
  }

  /** Makes a pair, signs with it, and checks the signature with the JDK's own provider. */
  static KeyPair signs(Grep11Client client) throws GeneralSecurityException {
    var pair = client.generateKeyPair(Templates.ecPair(Curve.P256));
    signs(client, pair);
    return pair;
  }

  static void signs(Grep11Client client, KeyPair pair) throws GeneralSecurityException {
    var signature = client.sign(Mechanisms.ecdsaSha256(), pair.privateKey(), MESSAGE);
    var outside = Signature.getInstance("SHA256withECDSA", "SunEC");
    outside.initVerify(
        KeyFactory.getInstance("EC", "SunEC")
            .generatePublic(new X509EncodedKeySpec(pair.publicKey().x509())));
    outside.update(MESSAGE);
    assertThat(outside.verify(EcdsaSignature.toDer(signature))).isTrue();
  }

  /**
   * @param portBases of the gateways, in the order in which they are tried
   */
  Grep11Client client(String apiKey, int... portBases) {
    return client(certificate(), apiKey, portBases);
  }

  static Grep11Client client(Path ca, String apiKey, int... portBases) {
    var addresses = Arrays.stream(portBases).mapToObj(base -> "localhost:" + base).toList();
    return Grep11Client.builder(
            addresses.getFirst(), addresses.stream().skip(1).toArray(String[]::new))
        .trustedCa(ca)
        .apiKey(apiKey.toCharArray(), URI.create("https://localhost:" + (portBases[0] + 2)))
        .build();
  }

  /** A base with three more free ports after it, below those that Linux hands out by itself. */
  static int freePorts() throws IOException {
    for (int attempt = 0; attempt < 50; attempt++) {
      int base = 4 * ThreadLocalRandom.current().nextInt(12_000 / 4, 32_000 / 4);
      try (var _ = new ServerSocket(base);
          var _ = new ServerSocket(base + 1);
          var _ = new ServerSocket(base + 2);
          var _ = new ServerSocket(base + 3)) {
        return base;
      } catch (IOException e) {
        // One of them is taken.
      }
    }
    throw new IOException("no four ports are free");
  }

  static String setting(String name) {
    return Stream.ofNullable(System.getenv(name))
        .filter(value -> !value.isEmpty())
        .findFirst()
        .orElseThrow(() -> new AssertionError(name + " is not set; run ./grep11 test --all"));
  }
}
