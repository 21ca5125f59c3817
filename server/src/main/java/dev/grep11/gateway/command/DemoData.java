package dev.grep11.gateway.command;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.nio.file.StandardOpenOption.CREATE;
import static java.nio.file.StandardOpenOption.WRITE;

import dev.grep11.gateway.Gateway;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.config.IoCause;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.iam.ApiKeys;
import dev.grep11.gateway.iam.GrantRegister;
import dev.grep11.gateway.iam.Roles;
import dev.grep11.gateway.store.Entitlement;
import dev.grep11.gateway.store.Grant;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.tls.DemoCa;
import dev.grep11.gateway.token.StartException;
import dev.grep11.softhsm.SoftHsmToken;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Everything a demo gateway needs, in one directory: a SoftHSM token, a CA and a server
 * certificate, a configuration, an instance and an API key. Made once, as a whole, and only where
 * there is nothing yet.
 */
public final class DemoData {
  private static final Logger LOG = LoggerFactory.getLogger(DemoData.class);
  private static final String TOKEN_LABEL = "grep11-demo";

  /** Where everything is made at first, so that a creation that is cut off leaves no half demo. */
  private static final String UNFINISHED = ".unfinished";

  private static final String FINISHED = "finished";

  /** Of the instance and its account. */
  private static final String NAME = "demo";

  private static final String LOCATION = "local";

  /** The API key of PKCS #11 applications that do not log in. */
  private static final String GUEST = "demo-guest";

  /** sockaddr_un has 108 bytes (unix(7)), of which some are for a name beside it. */
  private static final int LONGEST_SOCKET = 100;

  private static final Pattern SOFTHSM_SETTINGS =
      Pattern.compile("\\s*SOFTHSM2_CONF:\\s*\"?([^\"]+?)\"?\\s*");
  private static final FileAttribute<?> FOR_ITS_OWNER =
      PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------"));
  private static final SecureRandom RANDOM = new SecureRandom();

  private final Path directory;

  private DemoData(Path directory) {
    this.directory = directory;
  }

  /**
   * The demo in a directory, made where there is none.
   *
   * @throws StartException naming what is missing where only a part is there
   */
  public static DemoData open(Path directory) {
    var data = new DemoData(directory.toAbsolutePath().normalize());
    try {
      Files.createDirectories(data.directory, FOR_ITS_OWNER);
      try (var lock = FileChannel.open(data.directory.resolve("lock"), CREATE, WRITE);
          // A second process that comes during the first creation waits and finds it done.
          var _ = lock.lock()) {
        data.complete();
      }
    } catch (IOException e) {
      throw new StartException(
          "%s cannot be written: %s; name a directory of yours by --data"
              .formatted(
                  data.directory,
                  Files.isDirectory(data.directory)
                      ? IoCause.of(e)
                      : "no directory can be made there"),
          e);
    }
    return data;
  }

  private void complete() throws IOException {
    var unfinished = directory.resolve(UNFINISHED);
    if (Files.exists(unfinished.resolve(FINISHED))) {
      publish(unfinished);
    } else if (Files.exists(unfinished)) {
      // Nobody was ever served from it: a gateway starts from a complete directory only.
      delete(unfinished);
    }
    var parts = parts();
    var missing = parts.stream().filter(part -> !Files.exists(part)).toList();
    if (missing.size() == parts.size()) {
      Files.createDirectory(unfinished, FOR_ITS_OWNER);
      new DemoData(unfinished).create(directory);
      Files.createFile(unfinished.resolve(FINISHED));
      publish(unfinished);
    } else if (!missing.isEmpty()) {
      throw new StartException(
          "%s holds a part of a demo; missing: %s. Restore it, or begin with an empty directory"
              .formatted(
                  directory, String.join(", ", missing.stream().map(Path::toString).toList())));
    }
    settle();
    if (!Files.exists(guestKeyFile())) {
      // Made before there were keystores.
      var config = GatewayConfig.read(config());
      if (config.tokenService().isPresent()) {
        try (var host = Host.open(config)) {
          prepareKeystores(host, config);
        }
      }
    }
  }

  /** Where the settings of a demo are. */
  static Path configurationFile(Path directory) {
    return new DemoData(directory.toAbsolutePath().normalize()).config();
  }

  /**
   * The configuration of the demo in a directory, for commands on it.
   *
   * @throws StartException when there is none, or it is a copy that would use the original's token
   */
  static GatewayConfig configuration(Path directory) {
    var data = new DemoData(directory.toAbsolutePath().normalize());
    if (!Files.isDirectory(data.directory)) {
      throw new StartException(
          "there is no directory %s; make a demo gateway by: grep11 up --data %s"
              .formatted(data.directory, directory));
    }
    if (!Files.exists(data.config())) {
      throw new StartException(
          "%s holds no demo gateway, there is no %s in it; make one in an empty directory by: grep11 up --data DIR"
              .formatted(data.directory, data.config().getFileName()));
    }
    if (Files.exists(data.token()) && Files.exists(data.config())) {
      try {
        data.settle();
      } catch (IOException e) {
        throw new StartException(data.directory + " cannot be read: " + IoCause.of(e), e);
      }
    }
    return GatewayConfig.read(data.config());
  }

  /**
   * SoftHSM's settings and ours name the token by an absolute path, which still is the original's
   * in a directory that was copied or moved. Mended where the original is gone; where it is not, a
   * copy must not work on its keys.
   */
  private void settle() throws IOException {
    for (var named : named()) {
      if (Files.exists(named) && !Files.isSameFile(named, token())) {
        throw new StartException(
            "%s was copied from elsewhere and would use the token of the original, %s. Run the original, begin with an empty directory, or give the copy its own token: sed -i 's|%s|%s|' %s %s"
                .formatted(
                    directory, named, named, token(), token().resolve("softhsm2.conf"), config()));
      }
    }
    for (var named : named()) {
      if (!Files.exists(named)) {
        SoftHsmToken.settle(token());
        var text = Files.readString(config());
        replacePrivately(config(), text.replace(named.toString(), token().toString()));
      }
    }
    if (SoftHsmToken.mend(token())) {
      LOG.warn(
          "{}: the token's own object was empty, because a process was killed while it logged in;"
              + " the copy that was kept is back",
          token());
    }
  }

  /** The directories that are named as the token's, whether they are or not. */
  private List<Path> named() throws IOException {
    if (!Files.exists(token().resolve("softhsm2.conf"))) {
      return List.of();
    }
    var bySettings = SoftHsmToken.tokensNamedIn(token());
    var byConfiguration =
        Files.readString(config())
            .lines()
            .map(SOFTHSM_SETTINGS::matcher)
            .filter(Matcher::matches)
            .map(found -> Path.of(found.group(1)))
            .toList();
    return Stream.concat(bySettings.stream(), byConfiguration.stream())
        .map(Path::getParent)
        .filter(Objects::nonNull)
        .distinct()
        .toList();
  }

  /** Moves the parts to their places; goes on where an earlier attempt was cut off. */
  private void publish(Path finished) throws IOException {
    for (var part : Stream.concat(parts().stream(), Stream.of(guestKeyFile())).toList()) {
      var made = finished.resolve(directory.relativize(part));
      if (Files.exists(made)) {
        Files.move(made, part, StandardCopyOption.ATOMIC_MOVE);
      }
    }
    delete(finished);
  }

  private static void delete(Path tree) throws IOException {
    try (var all = Files.walk(tree)) {
      for (var path : all.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(path);
      }
    }
  }

  private List<Path> parts() {
    return List.of(token(), tls(), config(), store(), apiKeyFile(), administratorKeyFile());
  }

  private Path token() {
    return directory.resolve("token");
  }

  private Path tls() {
    return directory.resolve("tls");
  }

  private Path store() {
    return directory.resolve("store");
  }

  private Path apiKeyFile() {
    return directory.resolve("apikey");
  }

  /** Of the certificate administrator. */
  private Path administratorKeyFile() {
    return directory.resolve("certmgr-apikey");
  }

  /** Of PKCS #11 applications that do not log in. Not a part: demos of before have none. */
  private Path guestKeyFile() {
    return directory.resolve("guest-apikey");
  }

  /** Production settings as well as the demo's name it: the gateway that this directory is. */
  public Path config() {
    return config(directory);
  }

  public static Path config(Path directory) {
    return directory.resolve("gateway.yaml");
  }

  public Path ca() {
    return tls().resolve("ca.pem");
  }

  /**
   * Makes everything here.
   *
   * @param destination where it is going to be moved
   */
  private void create(Path destination) throws IOException {
    var token = createToken();
    Files.createDirectory(tls());
    var ca = DemoCa.create();
    ca.write(tls());
    DemoCa.write(ca.server(), tls());
    var instance = UUID.randomUUID();
    writePrivately(config(), configuration(token, instance));
    var config = GatewayConfig.read(config());
    try (var host = Host.openOrBegin(config)) {
      var record = host.createUnrecordedInstance(instance, NAME, NAME, LOCATION);
      var issuer = config.tokenService().orElseThrow().issuer();
      var keys = new ApiKeys(host.store(), Roles.standard(), issuer);
      try (var secret = keys.create("demo", record.id(), "Manager").secret()) {
        writePrivately(apiKeyFile(), new String(secret.chars()));
      }
      try (var secret = keys.create("demo-certmgr", record.id(), "Certificate Manager").secret()) {
        writePrivately(administratorKeyFile(), new String(secret.chars()));
      }
      prepareKeystores(host, config);
    }
    // SoftHSM knows absolute paths only.
    var there = token.prepareMove(new DemoData(destination).token());
    Files.delete(config());
    writePrivately(config(), configuration(there, instance));
  }

  /**
   * Makes what PKCS #11 applications need: two keystores, and an API key that reaches the public
   * one only (pkcs11-client.md, 8). The key's file is written last, so that what was cut off is
   * begun again.
   */
  private void prepareKeystores(Host host, GatewayConfig config) throws IOException {
    var instance = config.instance().orElseThrow();
    var publicKeystore = publicKeystore(instance);
    // False where it is there already.
    var _ = host.createKeystore(instance, privateKeystore(instance), NAME);
    var _ = host.createKeystore(instance, publicKeystore, NAME);
    var roles = Roles.standard();
    var keys = new ApiKeys(host.store(), roles, config.tokenService().orElseThrow().issuer());
    keys.delete(GUEST);
    var made = keys.create(GUEST, instance, "Crypto operator");
    try (var secret = made.secret()) {
      new GrantRegister(host.store(), roles)
          .add(
              new Grant(
                  made.record().subject(),
                  instance,
                  new Entitlement.Role("Key operator"),
                  Optional.of("keystore:" + publicKeystore)));
      writePrivately(guestKeyFile(), new String(secret.chars()));
    }
  }

  /** Of user 1. Follows from the instance, so that nothing has to remember it. */
  private static UUID privateKeystore(UUID instance) {
    return UUID.nameUUIDFromBytes(("private keystore of " + instance).getBytes(UTF_8));
  }

  /** Of user 2. */
  private static UUID publicKeystore(UUID instance) {
    return UUID.nameUUIDFromBytes(("public keystore of " + instance).getBytes(UTF_8));
  }

  private SoftHsmToken createToken() {
    var userPin = pin();
    var soPin = pin();
    try {
      return SoftHsmToken.create(token(), TOKEN_LABEL, userPin, soPin);
    } finally {
      Arrays.fill(userPin, '\0');
      Arrays.fill(soPin, '\0');
    }
  }

  private static char[] pin() {
    var bytes = new byte[12];
    RANDOM.nextBytes(bytes);
    return HexFormat.of().formatHex(bytes).toCharArray();
  }

  private String configuration(SoftHsmToken token, UUID instance) {
    var environment = new StringBuilder();
    token
        .environment()
        .forEach((name, value) -> environment.append("    %s: \"%s\"%n".formatted(name, value)));
    return """
    # Made by: grep11 up
    mode: demo
    instance: %s
    listen:
      host: 127.0.0.1
    tls:
      certificate: tls/server.pem
      key: tls/server.key
    hsm:
      module: %s
      tokenLabel: %s
      pinFile: %s
      environment:
    %s
    store:
      directory: store
    tokenService:
      issuer: https://localhost/identity
    audit:
      file: audit.jsonl
    """
        .formatted(
            instance,
            token.module(),
            TOKEN_LABEL,
            token.directory().getFileName().resolve(token.pinFile().getFileName()),
            environment.toString().stripTrailing());
  }

  /**
   * The settings of one process of this gateway. Each process writes an audit file of its own.
   *
   * @param portBase 0 takes free ports
   */
  public GatewayConfig settings(int portBase) {
    return GatewayConfig.read(
        config(), Map.of("/listen/portBase", portBase, "/audit/file", auditFile(portBase)));
  }

  /** Free ports say nothing of which process it is. */
  private static String auditFile(int portBase) {
    return portBase == 0
        ? "audit-process-" + ProcessHandle.current().pid() + ".jsonl"
        : "audit-" + portBase + ".jsonl";
  }

  /** Where a client finds this gateway, as shell variables. */
  public Path writeEnvironment(GatewayConfig config, Gateway gateway) {
    var file = directory.resolve("env-" + gateway.cryptoPort());
    try {
      var text =
          """
          export GREP11_ADDRESS='%s'
          export GREP11_APIKEY='%s'
          export GREP11_IAMENDPOINT='%s'
          export GREP11_CA='%s'
          export GREP11_INSTANCE='%s'
          export HPCS_CRN='%s'
          export CERTMGR_SERVER='%s'
          export CERTMGR_APIKEY='%s'
          """
              .formatted(
                  address(config, gateway),
                  Files.readString(apiKeyFile()).strip(),
                  iamEndpoint(config, gateway),
                  ca(),
                  config.instance().orElseThrow(),
                  crn(config.instance().orElseThrow()),
                  certificateManager(config, gateway),
                  Files.readString(administratorKeyFile()).strip());
      var more = new StringBuilder(text);
      clientConfiguration(gateway)
          .map("export EP11CLIENT_CFG='%s'%n"::formatted)
          .ifPresent(more::append);
      agentSocket(gateway)
          .map("export GREP11_AGENT_SOCKET='%s'%n"::formatted)
          .ifPresent(more::append);
      replacePrivately(file, more.toString());
      return file;
    } catch (IOException e) {
      throw new StartException(file + " cannot be written: " + IoCause.of(e), e);
    }
  }

  /** Empty where the token service was taken out of the configuration: PINs are its API keys. */
  private Optional<Path> clientConfiguration(Gateway gateway) {
    return Optional.of(directory.resolve("grep11client-" + gateway.cryptoPort() + ".yaml"))
        .filter(_ -> gateway.tokenService().isPresent() && Files.exists(guestKeyFile()));
  }

  /** Empty where its path would be too long: then the agent and its modules take their own. */
  private Optional<Path> agentSocket(Gateway gateway) {
    return Optional.of(directory.resolve("agent-" + gateway.cryptoPort() + ".sock"))
        .filter(path -> path.toString().getBytes(UTF_8).length <= LONGEST_SOCKET);
  }

  /**
   * What an agent of PKCS #11 applications needs to know of this gateway, as {@code
   * grep11client.yaml}; empty without a token service.
   */
  public Optional<Path> writeClientConfiguration(GatewayConfig config, Gateway gateway) {
    var named = clientConfiguration(gateway);
    if (named.isEmpty()) {
      return named;
    }
    var file = named.get();
    var instance = config.instance().orElseThrow();
    try {
      replacePrivately(
          file,
          """
          # Made by: grep11 up. Users 0 and 1 log in with GREP11_APIKEY of the env file as their PIN.
          iamcredentialtemplate: &iam { enabled: true, endpoint: '%s' }
          tokens:
            0:
              grep11connection:
                address: '%s'
                port: '%d'
                tls: { enabled: true, mutual: false, cacert: '%s' }
              storage: { remotestore: { enabled: true } }
              users:
                0: { name: officer, iamauth: *iam }
                1: { name: demo, tokenspaceID: %s, iamauth: *iam }
                2: { name: guest, tokenspaceID: %s, iamauth: { <<: *iam, apikey: '%s' } }
          logging: { loglevel: info }
          """
              .formatted(
                  iamEndpoint(config, gateway),
                  config.clientHost(),
                  gateway.cryptoPort(),
                  // YAML 1.2.2, 7.3.2: within single quotes a quote is written twice.
                  ca().toString().replace("'", "''"),
                  privateKeystore(instance),
                  publicKeystore(instance),
                  Files.readString(guestKeyFile()).strip()));
      return named;
    } catch (IOException e) {
      throw new StartException(file + " cannot be written: " + IoCause.of(e), e);
    }
  }

  static String address(GatewayConfig config, Gateway gateway) {
    return config.clientHost() + ":" + gateway.cryptoPort();
  }

  static String certificateManager(GatewayConfig config, Gateway gateway) {
    return config.clientHost() + ":" + gateway.certificateManagerPort();
  }

  /** As the instance was made. */
  private static String crn(UUID instance) {
    return new InstanceRecord(instance, NAME, NAME, LOCATION, List.of()).crn();
  }

  static String iamEndpoint(GatewayConfig config, Gateway gateway) {
    return gateway
        .tokenService()
        .map(address -> "https://" + config.clientHost() + ":" + address.getPort())
        .orElse("none");
  }

  private static void replacePrivately(Path file, String text) throws IOException {
    var next = file.resolveSibling(file.getFileName() + ".next");
    Files.deleteIfExists(next);
    writePrivately(next, text);
    Files.move(next, file, StandardCopyOption.ATOMIC_MOVE);
  }

  private static void writePrivately(Path file, String text) throws IOException {
    try (var channel =
        Files.newByteChannel(
            file,
            Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE),
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")))) {
      channel.write(ByteBuffer.wrap(text.getBytes(UTF_8)));
    }
  }
}
