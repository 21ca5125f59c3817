package dev.grep11.agent.config;

import dev.grep11.agent.config.ClientConfig.Connection;
import dev.grep11.agent.config.ClientConfig.Iam;
import dev.grep11.agent.config.ClientConfig.LogLevel;
import dev.grep11.agent.config.ClientConfig.Storage;
import dev.grep11.agent.config.ClientConfig.Token;
import dev.grep11.agent.config.ClientConfig.User;
import dev.grep11.client.Grep11Client;
import java.io.IOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import org.yaml.snakeyaml.LoaderOptions;
import org.yaml.snakeyaml.Yaml;
import org.yaml.snakeyaml.constructor.SafeConstructor;
import org.yaml.snakeyaml.error.MarkedYAMLException;
import org.yaml.snakeyaml.error.YAMLException;

/**
 * Finds and reads {@code grep11client.yaml}, the configuration file of IBM's PKCS #11 library.
 *
 * <p>Everything wrong is reported together, by the full name of its key. What is unknown is a
 * warning: files have keys of other versions in them.
 */
public final class ClientConfigFile {
  /** Names the file; when it is set nothing else is looked at. */
  public static final String VARIABLE = "EP11CLIENT_CFG";

  private static final String NAME = "grep11client.yaml";
  private static final Path SYSTEM = Path.of("/etc/ep11client", NAME);
  private static final Set<PosixFilePermission> OF_OTHERS =
      Set.of(PosixFilePermission.GROUP_READ, PosixFilePermission.OTHERS_READ);
  private static final int LARGEST = 1 << 20;

  private final Section.Findings findings = new Section.Findings();
  private final Path file;

  private ClientConfigFile(Path file) {
    this.file = file;
  }

  /**
   * Where the configuration is: what {@code EP11CLIENT_CFG} names, else {@code
   * /etc/ep11client/grep11client.yaml}, else the file in the working directory.
   *
   * @param environment the process's variables
   * @param directory the application's own
   * @throws ConfigException when there is none
   */
  public static Path find(Map<String, String> environment, Path directory) {
    return find(environment, SYSTEM, directory);
  }

  static Path find(Map<String, String> environment, Path system, Path directory) {
    var named = environment.get(VARIABLE);
    if (named != null && !named.isEmpty()) {
      // Set and unreadable is an error: another file would be another gateway.
      return Path.of(named);
    }
    Path local = directory.resolve(NAME);
    for (Path candidate : List.of(system, local)) {
      if (Files.exists(candidate)) {
        return candidate;
      }
    }
    throw new ConfigException(
        "no configuration: %s is not set, and neither %s nor %s exists"
            .formatted(VARIABLE, system, local));
  }

  /**
   * The configuration in that file.
   *
   * @throws ConfigException naming every key that is wrong
   */
  public static ClientConfig read(Path file) {
    return new ClientConfigFile(file).read();
  }

  /**
   * A file with faults in it.
   *
   * @param config as far as it could be read; nobody connects by what {@code problems} are about
   * @param problems each begins with the full name of its key and a colon
   */
  public record Reading(ClientConfig config, List<String> problems) {
    public Reading {
      problems = List.copyOf(problems);
    }
  }

  /**
   * As much of that file as can be read, for an examination of the rest.
   *
   * @throws ConfigException when it is no file of keys and values at all
   */
  public static Reading examine(Path file) {
    var reading = new ClientConfigFile(file);
    var config = reading.readAll();
    return new Reading(config, reading.findings.problems);
  }

  private ClientConfig read() {
    var config = readAll();
    if (!findings.problems.isEmpty()) {
      throw new ConfigException(file, findings.problems);
    }
    return config;
  }

  private ClientConfig readAll() {
    var root = Section.root(load(), findings);
    var tokens = tokens(root.required("tokens"));
    var logging = root.section("logging");
    var level = level(logging);
    var logFile = logging.path("logpath");
    logging.warnOfUnknown();
    // Templates have no effect by themselves; what refers to them is read where it is used.
    root.has("iamcredentialtemplate");
    root.has("sessionauthtemplate");
    root.warnOfUnknown();
    return new ClientConfig(file, tokens, level, logFile, List.copyOf(findings.warnings));
  }

  private Map<?, ?> load() {
    var options = new LoaderOptions();
    options.setAllowDuplicateKeys(false);
    options.setCodePointLimit(LARGEST);
    options.setMaxAliasesForCollections(100);
    try {
      warnIfReadable(file.toString(), file, "may hold API keys and passwords");
      Object loaded = new Yaml(new SafeConstructor(options)).load(Files.readString(file));
      if (loaded instanceof Map<?, ?> map) {
        return map;
      }
      throw new ConfigException(file, List.of("not a YAML file of keys and values"));
    } catch (MarkedYAMLException e) {
      // Not its whole message, which quotes the line: it may hold a secret.
      var mark = e.getProblemMark();
      throw new ConfigException(
          file,
          List.of(
              "not YAML: %s, line %d"
                  .formatted(e.getProblem(), mark == null ? 0 : mark.getLine() + 1)));
    } catch (YAMLException e) {
      throw new ConfigException(file, List.of("not YAML, or larger than 1 MiB"));
    } catch (IOException e) {
      throw new ConfigException(file, List.of(reason(e)));
    }
  }

  private LogLevel level(Section logging) {
    var text = logging.text("loglevel").orElse("warning").toLowerCase(Locale.ROOT);
    for (LogLevel level : LogLevel.values()) {
      if (level.name().toLowerCase(Locale.ROOT).equals(text)) {
        return level;
      }
    }
    if (!text.equals("warn")) {
      logging.problem(
          "loglevel",
          "\"%s\" is none of panic, fatal, error, warning, warn, info, debug, trace"
              .formatted(text));
    }
    return LogLevel.WARNING;
  }

  private Map<Long, Token> tokens(Section tokens) {
    var bySlot = new TreeMap<Long, Token>();
    for (String key : tokens.keys()) {
      try {
        long slot = Long.parseUnsignedLong(key);
        if (slot > Integer.MAX_VALUE || slot < 0) {
          throw new NumberFormatException();
        }
        bySlot.put(slot, token(slot, tokens.section(key)));
      } catch (NumberFormatException e) {
        tokens.problem(key, "a slot number is expected, such as 0");
      }
    }
    if (tokens.keys().isEmpty() && findings.problems.isEmpty()) {
      findings.problems.add("tokens: at least one slot is needed");
    }
    return bySlot;
  }

  private Token token(long slot, Section token) {
    var connection = connection(token.required("grep11connection"));
    var storage = storage(token.section("storage"));
    var users = token.required("users");
    for (String key : users.keys()) {
      if (!Set.of("0", "1", "2").contains(key)) {
        users.problem(
            key, "users are 0 (security officer), 1 (normal user) and 2 (anonymous), no others");
      }
    }
    var officer = user(users.required("0"), 0);
    var normal = user(users.required("1"), 1);
    var anonymous = user(users.required("2"), 2);
    if (normal.keystore().isPresent() && normal.keystore().equals(anonymous.keystore())) {
      users.problem(
          "2.tokenspaceID",
          "the same keystore as users.1.tokenspaceID; the private and the public one must differ");
    }
    if (!normal.keystorePassword().equals(anonymous.keystorePassword())) {
      users.problem(
          "2.sessionauth", "not as users.1.sessionauth; both keystores have one password or none");
    }
    if (users.has("1") && normal.iam().isEmpty() && normal.keystorePassword().isEmpty()) {
      users.problem(
          "1",
          "neither iamauth nor sessionauth is enabled, so that C_Login could check nothing; enable"
              + " one of them");
    }
    token.warnOfUnknown();
    return new Token(slot, connection, storage, officer, normal, anonymous);
  }

  // ---- grep11connection

  private Connection connection(Section section) {
    var host = section.text("address");
    if (host.isEmpty()) {
      section.problem("address", "is missing: the host of the gateway");
    }
    int port = port(section);
    var tls = section.required("tls");
    boolean enabled = tls.flag("enabled", true);
    boolean mutual = tls.flag("mutual", false);
    var ca = tls.path("cacert");
    var certificate = tls.path("certfile");
    var key = tls.path("keyfile");
    if (!enabled) {
      tls.problem(
          "enabled",
          mutual
              ? "false, and mutual is true; a client certificate needs TLS: set enabled to true"
              : "false; tokens and API keys are never sent in clear: set it to true");
    }
    if (mutual) {
      requirePresent(tls, "certfile", certificate);
      requirePresent(tls, "keyfile", key);
    }
    ca.ifPresent(path -> requireReadable(tls, "cacert", path));
    if (mutual) {
      certificate.ifPresent(path -> requireReadable(tls, "certfile", path));
      key.ifPresent(path -> {
        if (requireReadable(tls, "keyfile", path)) {
          warnIfReadable(tls.name("keyfile"), path, "is a private key");
        }
      });
    } else if (certificate.isPresent() || key.isPresent()) {
      tls.warning("mutual", "false, so that certfile and keyfile are not used");
    }
    tls.warnOfUnknown();
    section.warnOfUnknown();
    var connection =
        new Connection(
            host.orElse(""),
            port,
            ca,
            mutual ? certificate : Optional.empty(),
            mutual ? key : Optional.empty());
    if (findings.problems.isEmpty()) {
      tryFiles(tls, connection);
    }
    return connection;
  }

  private static int port(Section section) {
    var text = section.text("port");
    try {
      int port = Integer.parseInt(text.orElse(""));
      if (port >= 1 && port <= 65535) {
        return port;
      }
    } catch (NumberFormatException e) {
      // Said below.
    }
    section.problem(
        "port",
        text.map(value -> "\"" + value + "\" is no TCP port").orElse("is missing")
            + "; 1 to 65535 is expected, 9876 by convention");
    return 1;
  }

  private static void requirePresent(Section tls, String key, Optional<Path> path) {
    if (path.isEmpty()) {
      tls.problem(key, "is missing, and mutual is true; name the PEM file");
    }
  }

  private static boolean requireReadable(Section section, String key, Path path) {
    try (var in = Files.newInputStream(path)) {
      in.read();
      return true;
    } catch (IOException e) {
      section.problem(key, path + ": " + reason(e));
      return false;
    }
  }

  /** Whether PEM, chain and key fit together, as the SDK tells it. */
  private static void tryFiles(Section tls, Connection connection) {
    var builder = Grep11Client.builder(connection.host() + ":" + connection.port());
    connection.trusted().ifPresent(builder::trustedCa);
    if (connection.certificate().isPresent() && connection.privateKey().isPresent()) {
      builder.clientCertificate(connection.certificate().get(), connection.privateKey().get());
    }
    try {
      builder.connect().close();
    } catch (IllegalArgumentException e) {
      var message = String.valueOf(e.getMessage());
      boolean ofCa =
          connection.trusted().filter(ca -> message.startsWith(ca.toString())).isPresent();
      boolean ofKey =
          connection.privateKey().filter(key -> message.startsWith(key.toString())).isPresent();
      tls.problem(ofCa ? "cacert" : ofKey ? "keyfile" : "certfile", message);
    }
  }

  // ---- storage

  private Storage storage(Section section) {
    var remote = section.section("remotestore");
    var files = section.section("filestore");
    var postgres = section.section("localpostgres");
    boolean isRemote = remote.flag("enabled", false);
    boolean isFiles = files.flag("enabled", false);
    boolean isPostgres = postgres.flag("enabled", false);
    var directory = files.path("storagepath");
    var connection = postgres.text("connectionstring");
    for (var part : List.of(remote, files, postgres, section)) {
      part.warnOfUnknown();
    }
    if ((isRemote ? 1 : 0) + (isFiles ? 1 : 0) + (isPostgres ? 1 : 0) > 1) {
      section.problem("", "more than one kind of storage is enabled; keep one");
      return new Storage.None();
    }
    if (isFiles) {
      if (directory.isEmpty()) {
        files.problem("storagepath", "is missing; name the directory for the keystores");
        return new Storage.None();
      }
      return new Storage.Files(directory.get());
    }
    if (isPostgres) {
      if (connection.isEmpty()) {
        postgres.problem("connectionstring", "is missing; name the database");
        return new Storage.None();
      }
      return new Storage.LocalPostgres(new Secret(connection.get()));
    }
    return isRemote ? new Storage.Remote() : new Storage.None();
  }

  // ---- users

  private User user(Section section, int index) {
    var name = section.text("name");
    if (name.isEmpty() && !section.keys().isEmpty()) {
      section.problem("name", "is missing");
    }
    var keystore = section.uuid("tokenspaceID");
    if (index > 0 && !section.has("tokenspaceID") && !section.keys().isEmpty()) {
      section.problem("tokenspaceID", "is missing: the UUID of the keystore");
    }
    var iam = iam(section.section("iamauth"), index);
    var password = password(section.section("sessionauth"));
    section.warnOfUnknown();
    return new User(name.orElse(""), keystore, iam, password);
  }

  private Optional<Iam> iam(Section section, int index) {
    boolean enabled = section.flag("enabled", false);
    var endpoint = section.text("endpoint").flatMap(text -> endpoint(section, text, enabled));
    var apiKey = section.text("apikey").map(Secret::new);
    var instance = section.uuid("instance");
    section.warnOfUnknown();
    if (!enabled) {
      return Optional.empty();
    }
    if (endpoint.isEmpty()) {
      if (!section.has("endpoint")) {
        section.problem("endpoint", "is missing, and enabled is true; name the token service");
      }
      return Optional.empty();
    }
    if (index == 2 && apiKey.isEmpty()) {
      section.problem(
          "apikey", "is missing; the anonymous user does not log in, so its key must be here");
    }
    return Optional.of(new Iam(endpoint.get(), apiKey, instance));
  }

  private static Optional<URI> endpoint(Section section, String text, boolean enabled) {
    try {
      var uri = new URI(text);
      if ("https".equalsIgnoreCase(uri.getScheme()) && uri.getHost() != null) {
        return Optional.of(uri);
      }
    } catch (URISyntaxException e) {
      // Said below.
    }
    if (enabled) {
      section.problem("endpoint", "\"" + text + "\" is no https URL; API keys are sent there");
    }
    return Optional.empty();
  }

  private static Optional<Secret> password(Section section) {
    boolean enabled = section.flag("enabled", false);
    var password = section.text("tokenspaceIDPassword").map(Secret::new);
    section.warnOfUnknown();
    if (!enabled) {
      return Optional.empty();
    }
    int length = password.map(Secret::length).orElse(0);
    if (length < 6 || length > 8) {
      section.problem(
          "tokenspaceIDPassword",
          length == 0
              ? "is missing, and enabled is true; 6 to 8 characters are expected"
              : "has " + length + " characters; 6 to 8 are expected");
      return Optional.empty();
    }
    return password;
  }

  // ---- Files

  private void warnIfReadable(String name, Path path, String why) {
    try {
      var rights = Files.getPosixFilePermissions(path);
      if (OF_OTHERS.stream().anyMatch(rights::contains)) {
        findings.warnings.add(
            "%s: %s%s, and others than its owner may read it; chmod 600"
                .formatted(name, name.equals(path.toString()) ? "" : path + " ", why));
      }
    } catch (IOException | UnsupportedOperationException e) {
      // Whether it can be read is told elsewhere.
    }
  }

  private static String reason(IOException e) {
    if (e instanceof NoSuchFileException) {
      return "no such file";
    }
    return e instanceof AccessDeniedException
        ? "the agent's user may not read it"
        : String.valueOf(e.getMessage());
  }
}
