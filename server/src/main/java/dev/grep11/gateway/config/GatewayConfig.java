package dev.grep11.gateway.config;

import com.fasterxml.jackson.core.JsonPointer;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import dev.grep11.gateway.audit.AuditSettings;
import dev.grep11.gateway.certmgr.Enrolment;
import dev.grep11.gateway.hsm.FileOwner;
import dev.grep11.gateway.hsm.HsmSettings;
import dev.grep11.gateway.hsm.PinSource;
import dev.grep11.gateway.iam.IssuerSettings;
import dev.grep11.gateway.iam.TokenServiceSettings;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.rpc.Limits;
import dev.grep11.gateway.rpc.ListenAddresses;
import dev.grep11.gateway.rpc.NetworkPolicies;
import dev.grep11.gateway.rpc.NetworkPolicy;
import dev.grep11.gateway.store.FollowSettings;
import dev.grep11.gateway.store.StoreLocation;
import dev.grep11.gateway.tls.AddressRange;
import dev.grep11.gateway.tls.ConnectionLimits;
import dev.grep11.gateway.trace.TracingSettings;
import dev.grep11.gateway.trust.RevocationSettings;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.UnknownHostException;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * Everything an operator decides, checked. Plaintext ports cannot be expressed.
 *
 * @param clientCertificates whether the last client CA may be deleted; {@code REQUIRED} also
 *     refuses every crypto rpc while none is registered
 * @param revocations files of client certificates that are refused although their CA is registered
 * @param enrolment what a certificate administrator needs to register a first key
 * @param administrativeCallsPerMinute of each kind at the certificate manager: that an address may
 *     have refused, and that an administrator may make with a signature, or without
 * @param privateListen where crypto and certificate manager listen in a private network besides;
 *     its other two ports are not used
 * @param network from where instances are reached
 * @param instance the one instance of the crypto port; empty when it serves several and host name
 *     or header selects
 * @param hosts names by which clients reach the gateway; its certificate is to have them all
 * @param identityPoll how often the server's certificate files are looked at
 * @param privateObjects whether working copies of keys carry CKA_PRIVATE
 * @param cachedKeys working copies an instance may have in the token
 * @param bufferedBytes data that the state of an operation in parts may hold, where the token
 *     cannot stop in between
 * @param store directory of the ids of the gateway's own keys, and of the database where it is
 *     embedded
 * @param database where the records are
 * @param quarantine how long a generation of sealing keys is retired before it may be destroyed
 * @param tokenService empty when tokens come from other issuers only
 * @param connections of the crypto port
 * @param reflection whether the crypto port tells its callers which services it has
 * @param tracing where spans of calls go; empty when nobody follows them
 */
public record GatewayConfig(
    Mode mode,
    Policy policy,
    Execution execution,
    boolean softwareFallback,
    ClientCertificateRule clientCertificates,
    Enrolment enrolment,
    RevocationSettings revocations,
    int administrativeCallsPerMinute,
    Listen listen,
    Optional<Listen> privateListen,
    NetworkPolicies network,
    Optional<UUID> instance,
    Path certificateChain,
    Path certificateKey,
    List<String> hosts,
    Duration identityPoll,
    HsmSettings hsm,
    boolean privateObjects,
    int cachedKeys,
    Path store,
    StoreLocation database,
    FollowSettings follow,
    List<IssuerSettings> issuers,
    Optional<TokenServiceSettings> tokenService,
    AuditSettings audit,
    Limits limits,
    ConnectionLimits connections,
    boolean reflection,
    Optional<TracingSettings> tracing,
    int bufferedBytes,
    Duration quarantine) {

  public enum Mode {
    PRODUCTION,
    DEMO
  }

  /** Where cheap operations run. */
  public enum Execution {
    LOCAL,
    NETWORK
  }

  public enum ClientCertificateRule {
    OPTIONAL,
    REQUIRED
  }

  public enum KeyVisibility {
    PRIVATE,
    PUBLIC
  }

  public enum WhenUnavailable {
    BLOCK,
    DROP
  }

  /**
   * Four ports from a base: crypto, certificate manager, token service, health.
   *
   * @param address to bind
   * @param portBase N of interfaces 3; 0 takes free ports
   * @param healthAddress to bind for the last one
   */
  public record Listen(InetAddress address, int portBase, InetAddress healthAddress) {
    private static final int CERTIFICATE_MANAGER = 1;
    private static final int TOKEN_SERVICE = 2;
    private static final int HEALTH = 3;

    /** All on one address. */
    public Listen(InetAddress address, int portBase) {
      this(address, portBase, address);
    }

    public InetSocketAddress crypto() {
      return at(address, 0);
    }

    public InetSocketAddress certificateManager() {
      return at(address, CERTIFICATE_MANAGER);
    }

    public InetSocketAddress tokenService() {
      return at(address, TOKEN_SERVICE);
    }

    public InetSocketAddress health() {
      return at(healthAddress, HEALTH);
    }

    private List<InetSocketAddress> all() {
      return List.of(crypto(), certificateManager(), tokenService(), health());
    }

    /** Its ports that somebody else listens on at present. */
    public List<Integer> taken() {
      return all().stream().filter(Listen::isTaken).map(InetSocketAddress::getPort).toList();
    }

    private static boolean isTaken(InetSocketAddress address) {
      try (var socket = new ServerSocket()) {
        // As the listeners do: what a connection left behind is no hindrance.
        socket.setReuseAddress(true);
        socket.bind(address);
        return false;
      } catch (IOException e) {
        return true;
      }
    }

    private InetSocketAddress at(InetAddress address, int offset) {
      return new InetSocketAddress(address, portBase == 0 ? 0 : portBase + offset);
    }
  }

  public static final int DEFAULT_PORT_BASE = 9876;
  private static final String EXAMPLE = "; docs/gateway.yaml is one to begin with";

  /** SnakeYAML names two: where what it read began, and where it went wrong. */
  private static final Pattern PLACE_IN_YAML = Pattern.compile("in 'reader', line (\\d+)");

  private static final YAMLMapper YAML =
      YAMLMapper.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();

  /**
   * Reads and checks a file. Relative paths in it start from its directory.
   *
   * @throws ConfigException with every problem
   */
  public static GatewayConfig read(Path file) {
    return read(file, Map.of());
  }

  /**
   * A file with faults in it.
   *
   * @param config with harmless values in the place of those that {@code problems} are about
   * @param problems each begins with the name of its setting and a colon
   */
  public record Reading(GatewayConfig config, List<String> problems) {
    public Reading {
      problems = List.copyOf(problems);
    }
  }

  /**
   * Reads as much of a file as can be read, for an examination of the rest. Nobody starts from it.
   *
   * @throws ConfigException when it is no file of settings at all
   */
  public static Reading examine(Path file, Map<String, Object> replaced) {
    var settings = settings(file, replaced);
    var config = config(settings);
    return new Reading(config, settings.problems());
  }

  /**
   * As {@link #read(Path)}, with some settings replaced.
   *
   * @param replaced values by JSON pointer, such as {@code /listen/portBase}
   */
  public static GatewayConfig read(Path file, Map<String, Object> replaced) {
    return read(file.toString(), settings(file, replaced));
  }

  private static SettingsReader settings(Path file, Map<String, Object> replaced) {
    JsonNode tree;
    try {
      if (Files.isDirectory(file)) {
        throw unusable(file, "is a directory; name the file of settings in it");
      }
      tree = YAML.readTree(Files.readString(file));
      replaced.forEach((pointer, value) -> replace(tree, pointer, value));
    } catch (JsonProcessingException e) {
      throw unusable(file, "not YAML: " + complaint(e) + EXAMPLE);
    } catch (NoSuchFileException e) {
      throw unusable(file, "there is no such file" + EXAMPLE);
    } catch (AccessDeniedException e) {
      throw unusable(
          file, FileOwner.closedDirectory(file).orElseGet(() -> FileOwner.unreadable(file)));
    } catch (IOException e) {
      throw unusable(file, "cannot be read: " + IoCause.of(e) + EXAMPLE);
    }
    if (!tree.isObject()) {
      throw unusable(
          file, (tree.isMissingNode() ? "is empty" : "is not a mapping of settings") + EXAMPLE);
    }
    var absolute = file.toAbsolutePath();
    var parent = absolute.getParent();
    return SettingsReader.root(tree, parent == null ? absolute : parent);
  }

  private static void replace(JsonNode tree, String pointer, Object value) {
    var at = JsonPointer.compile(pointer);
    if (tree instanceof ObjectNode root) {
      root.withObject(at.head()).set(at.last().getMatchingProperty(), YAML.valueToTree(value));
    }
  }

  private static ConfigException unusable(Path file, String why) {
    return new ConfigException(file.toString(), List.of(why));
  }

  /**
   * What the parser has to say, in one line. It quotes the lines in question besides, indented:
   * they may be a PIN that was written into the wrong file.
   */
  private static String complaint(JsonProcessingException e) {
    var said = String.valueOf(e.getOriginalMessage());
    var line = e.getLocation() == null ? "?" : String.valueOf(e.getLocation().getLineNr());
    for (var place = PLACE_IN_YAML.matcher(said); place.find(); ) {
      line = place.group(1);
    }
    return said.lines()
        .filter(part -> !part.startsWith(" "))
        .collect(Collectors.joining(", ", "", " (line " + line + ")"));
  }

  static GatewayConfig read(String source, SettingsReader settings) {
    var config = config(settings);
    var problems = settings.problems();
    if (!problems.isEmpty()) {
      throw new ConfigException(source, problems);
    }
    return config;
  }

  private static GatewayConfig config(SettingsReader settings) {
    var mode = settings.oneOf("mode", Mode.class, Mode.PRODUCTION);
    var demo = mode == Mode.DEMO;
    var listening = settings.section("listen");
    var listen = listen(listening, demo);
    var privateListen = privateListen(listening, listen);
    var instance = instance(settings);
    var tls = settings.section("tls");
    var hsm = settings.section("hsm");
    var store = settings.section("store");
    var storeDirectory = store.requiredDirectory("directory");
    var limits = settings.section("limits");
    var tokenService = tokenService(settings, listen);
    var issuers = issuers(settings);
    if (issuers.isEmpty() && tokenService.isEmpty()) {
      settings.problem(
          "issuers",
          "nobody could call: neither issuers nor tokenService is configured; configure one of them");
    }
    return new GatewayConfig(
        mode,
        settings.oneOf("policy", Policy.class, demo ? Policy.COMPATIBLE : Policy.STRICT),
        settings.oneOf("execution", Execution.class, Execution.LOCAL),
        settings.flag("softwareFallback", demo),
        settings.oneOf(
            "clientCertificates", ClientCertificateRule.class, ClientCertificateRule.OPTIONAL),
        enrolment(settings, demo),
        revocations(settings.section("clientCas")),
        limits.number("administrativeCallsPerMinute", 10, 1_000_000, 600),
        listen,
        privateListen,
        network(settings.section("network"), instance, listening.has("private")),
        instance,
        tls.requiredFile("certificate"),
        tls.requiredSecretFile("key"),
        List.copyOf(tls.texts("hosts")),
        Duration.ofSeconds(tls.number("pollSeconds", 1, 3600, 5)),
        hsm(hsm),
        hsm.oneOf("keyVisibility", KeyVisibility.class, KeyVisibility.PUBLIC)
            == KeyVisibility.PRIVATE,
        hsm.number("cachedKeys", 16, 100_000, 1000),
        storeDirectory,
        database(store, storeDirectory),
        follow(store),
        issuers,
        tokenService,
        audit(settings.section("audit")),
        limits(limits),
        connectionLimits(limits),
        settings.flag("reflection", false),
        tracing(settings),
        limits.number("bufferedBytes", 0, 6144, 4096),
        quarantine(settings.section("masterKey"), demo));
  }

  private static RevocationSettings revocations(SettingsReader clientCas) {
    var crls = new ArrayList<RevocationSettings.CrlSetting>();
    for (var entry : clientCas.sections("crls")) {
      var ca = entry.requiredPath("ca");
      var crl = entry.requiredPath("crl");
      crls.add(new RevocationSettings.CrlSetting(ca, crl));
    }
    return new RevocationSettings(clientCas.path("denyFile"), crls);
  }

  private static Enrolment enrolment(SettingsReader settings, boolean demo) {
    var enrolment =
        settings.oneOf("enrolment", Enrolment.class, demo ? Enrolment.OPEN : Enrolment.INVITED);
    if (enrolment == Enrolment.OPEN && !demo) {
      settings.problem(
          "enrolment",
          "open lets every token with the role become an administrator, which is for demonstrations;"
              + " it is invited or countersigned");
    }
    return enrolment;
  }

  private static Listen listen(SettingsReader listen, boolean demo) {
    var host = listen.text("host").orElse(demo ? "127.0.0.1" : "0.0.0.0");
    var address = address(listen, "host", host);
    return new Listen(
        address,
        listen.number("portBase", 0, 65_532, DEFAULT_PORT_BASE),
        listen.text("healthHost").map(own -> address(listen, "healthHost", own)).orElse(address));
  }

  private static InetAddress address(SettingsReader listen, String key, String host) {
    try {
      return InetAddress.getByName(host);
    } catch (UnknownHostException e) {
      listen.problem(
          key,
          "\"%s\" is not an address of this host; name one, such as 0.0.0.0 for all"
              .formatted(host));
      return InetAddress.getLoopbackAddress();
    }
  }

  private static Optional<Listen> privateListen(SettingsReader listen, Listen publicly) {
    if (!listen.has("private")) {
      return Optional.empty();
    }
    var section = listen.section("private");
    var host = section.requiredText("host");
    var portBase = section.number("portBase", 0, 65_534, publicly.portBase());
    if (host.isEmpty()) {
      return Optional.empty();
    }
    var privately = new Listen(address(section, "host", host), portBase);
    return section.checked(
        "",
        () -> {
          for (var own : List.of(privately.crypto(), privately.certificateManager())) {
            for (var other : publicly.all()) {
              var _ = new ListenAddresses(other, Optional.of(own));
            }
          }
          return privately;
        });
  }

  private static NetworkPolicies network(
      SettingsReader network, Optional<UUID> only, boolean hasPrivate) {
    var standard = networkPolicy(network, hasPrivate, NetworkPolicy.OPEN);
    var byInstance = new HashMap<UUID, NetworkPolicy>();
    for (var entry : network.sections("instances")) {
      var policy = networkPolicy(entry, hasPrivate, standard);
      entry.require("instance");
      entry
          .uuid("instance")
          .ifPresent(instance -> {
            if (only.isPresent() && !only.get().equals(instance)) {
              entry.problem("instance", "is not the instance that this gateway serves");
            }
            if (byInstance.put(instance, policy) != null) {
              entry.problem("instance", "has a policy already");
            }
          });
    }
    return new NetworkPolicies(standard, byInstance);
  }

  /** What is left out is as in the other one. */
  private static NetworkPolicy networkPolicy(
      SettingsReader entry, boolean hasPrivate, NetworkPolicy otherwise) {
    var reach = entry.oneOf("policy", NetworkPolicy.Reach.class, otherwise.reach());
    if (reach == NetworkPolicy.Reach.PRIVATE_ONLY && !hasPrivate && entry.has("policy")) {
      entry.problem(
          "policy",
          "private-only without listen.private: nobody could reach the certificate manager, and"
              + " nobody a key");
    }
    return new NetworkPolicy(
        reach,
        ranges(entry, "crypto").or(otherwise::crypto),
        ranges(entry, "certificateManager").or(otherwise::certificateManager));
  }

  private static Optional<List<AddressRange>> ranges(SettingsReader entry, String key) {
    if (!entry.has(key)) {
      return Optional.empty();
    }
    var ranges = new ArrayList<AddressRange>();
    var texts = entry.texts(key);
    for (var text : texts) {
      entry.checked(key, () -> AddressRange.parse(text)).ifPresent(ranges::add);
    }
    if (texts.isEmpty()) {
      entry.problem(
          key, "allows no address, so nobody could reach it; without it all addresses are allowed");
    }
    return ranges.isEmpty() ? Optional.empty() : Optional.of(ranges);
  }

  private static Optional<UUID> instance(SettingsReader settings) {
    var several = settings.flag("multiInstance", false);
    var named = settings.uuid("instance");
    if (several == settings.has("instance")) {
      settings.problem(
          "instance",
          "name the one instance of the crypto port, or set multiInstance: true and name none");
    }
    return several ? Optional.empty() : named;
  }

  private static HsmSettings hsm(SettingsReader hsm) {
    var module = hsm.requiredFile("module");
    var label = hsm.requiredText("tokenLabel");
    var pinFile = hsm.secretFile("pinFile");
    var pinVariable = hsm.text("pinEnv");
    if (hsm.has("pinFile") == hsm.has("pinEnv")) {
      hsm.problem(
          "pinFile",
          "this or pinEnv is needed, and not both; name one, the file that holds the PIN or its variable");
    }
    pinVariable
        .filter(variable -> System.getenv(variable) == null)
        .ifPresent(variable ->
            hsm.problem(
                "pinEnv",
                "variable %s is not set; set it in the gateway's environment, or name a pinFile"
                    .formatted(variable)));
    var pin =
        pinFile.map(PinSource::file).orElseGet(() -> PinSource.environment(pinVariable.orElse("")));
    var settings =
        hsm.checked(
                "tokenLabel",
                () ->
                    HsmSettings.of(
                        module,
                        label.isEmpty() ? "absent" : label,
                        pin,
                        hsm.textByName("environment")))
            .orElseThrow();
    var workers = hsm.number("workers", 1, 256, 0);
    return workers == 0 ? settings : settings.withWorkers(workers);
  }

  private static StoreLocation database(SettingsReader store, Path directory) {
    StoreLocation embedded = new StoreLocation.Directory(directory);
    if (!store.has("postgresql")) {
      return embedded;
    }
    var server = store.section("postgresql");
    var url = server.requiredText("url");
    var user = server.requiredText("user");
    var passwordFile = server.requiredSecretFile("passwordFile");
    return url.isEmpty()
        ? embedded
        : server
            .<StoreLocation>checked(
                "url", () -> new StoreLocation.Postgresql(url, user, passwordFile))
            .orElse(embedded);
  }

  private static FollowSettings follow(SettingsReader store) {
    var poll = Duration.ofMillis(store.number("pollMillis", 20, 30_000, 250));
    var lease = Duration.ofSeconds(store.number("leaseSeconds", 2, 86_400, 300));
    return store
        .checked("leaseSeconds", () -> new FollowSettings(poll, lease))
        .orElse(FollowSettings.DEFAULT);
  }

  private static Duration quarantine(SettingsReader masterKey, boolean demo) {
    var seconds = masterKey.number("quarantineSeconds", 0, 366 * 86_400, 7 * 86_400);
    if (!demo && seconds < 86_400) {
      masterKey.problem("quarantineSeconds", "is a day (86400) at least, but in a demo");
    }
    return Duration.ofSeconds(seconds);
  }

  private static List<IssuerSettings> issuers(SettingsReader settings) {
    var issuers = new ArrayList<IssuerSettings>();
    for (var entry : settings.sections("issuers")) {
      var name = entry.requiredText("issuer");
      var url = entry.uri("jwksUrl");
      var file = entry.file("jwksFile");
      var audience = entry.text("audience");
      var notChecked = entry.flag("audienceNotChecked", false);
      var account = entry.section("account");
      var accountClaim = account.text("claim");
      var accountValue = account.text("value");
      var instanceClaim = entry.text("instanceClaim");
      var rolesClaim = entry.text("rolesClaim");
      var caFile = entry.file("caFile");
      var algorithms = algorithms(entry);
      if (entry.has("jwksUrl") == entry.has("jwksFile")) {
        entry.problem("jwksUrl", "name where the issuer's keys are, or jwksFile and a file");
      }
      if (notChecked == entry.has("audience")) {
        entry.problem(
            "audience", "is required; audienceNotChecked: true is the explicit exemption");
      }
      if (accountClaim.isPresent() != accountValue.isPresent()) {
        entry.problem("account", "needs claim and value");
      }
      if (name.isEmpty()
          || (url.isEmpty() && file.isEmpty())
          || (audience.isEmpty() && !notChecked)) {
        continue;
      }
      entry
          .checked(
              "",
              () ->
                  new IssuerSettings(
                      name,
                      url.<IssuerSettings.Jwks>map(IssuerSettings.Jwks.Url::new)
                          .orElseGet(() -> new IssuerSettings.Jwks.File(file.orElseThrow())),
                      audience
                          .<IssuerSettings.Audience>map(IssuerSettings.Audience.Required::new)
                          .orElseGet(IssuerSettings.Audience.NotChecked::new),
                      instanceClaim,
                      rolesClaim,
                      accountClaim.flatMap(claim ->
                          accountValue.map(value -> new IssuerSettings.Account(claim, value))),
                      Optional.empty(),
                      algorithms,
                      caFile))
          .ifPresent(issuers::add);
    }
    return List.copyOf(issuers);
  }

  private static Set<IssuerSettings.Algorithm> algorithms(SettingsReader entry) {
    if (!entry.has("algorithms")) {
      return Set.of(IssuerSettings.Algorithm.values());
    }
    var named = new HashSet<IssuerSettings.Algorithm>();
    for (var text : entry.texts("algorithms")) {
      switch (text) {
        case "RS256" -> named.add(IssuerSettings.Algorithm.RS256);
        case "ES256" -> named.add(IssuerSettings.Algorithm.ES256);
        default -> entry.problem("algorithms", "\"" + text + "\" is not one of RS256, ES256");
      }
    }
    return named;
  }

  private static Optional<TokenServiceSettings> tokenService(
      SettingsReader settings, Listen listen) {
    if (!settings.has("tokenService")) {
      return Optional.empty();
    }
    var section = settings.section("tokenService");
    var issuer = section.requiredText("issuer");
    var audience = section.text("audience").orElse("grep11");
    var account = section.text("account").orElse("grep11");
    var lifetime = Duration.ofSeconds(section.number("lifetimeSeconds", 60, 86_400, 3600));
    var requests = section.number("requestsPerMinute", 1, 1_000_000, 1200);
    return section.checked(
        "",
        () ->
            new TokenServiceSettings(
                listen.tokenService(), issuer, audience, account, lifetime, requests));
  }

  private static AuditSettings audit(SettingsReader audit) {
    var file = audit.writtenFile("file");
    var standardOutput = audit.flag("standardOutput", false);
    var capacity = audit.number("queueCapacity", 1024, 10_000_000, 65_536);
    var rule = audit.oneOf("whenUnavailable", WhenUnavailable.class, WhenUnavailable.BLOCK);
    var wait = Duration.ofMillis(audit.number("maxWaitMillis", 0, 60_000, 200));
    return audit
        .checked(
            "",
            () ->
                new AuditSettings(
                    file,
                    standardOutput,
                    capacity,
                    switch (rule) {
                      case BLOCK -> AuditSettings.WhenFull.BLOCK;
                      case DROP -> AuditSettings.WhenFull.DROP_AND_COUNT;
                    },
                    wait))
        .orElseGet(() -> AuditSettings.toFile(Path.of("absent")));
  }

  private static Optional<TracingSettings> tracing(SettingsReader settings) {
    if (!settings.has("tracing")) {
      return Optional.empty();
    }
    var tracing = settings.section("tracing");
    tracing.require("endpoint");
    var endpoint = tracing.uri("endpoint");
    var caFile = tracing.file("caFile");
    var samplePercent = tracing.number("samplePercent", 0, 100, 0);
    return endpoint.flatMap(
        url -> tracing.checked("endpoint", () -> new TracingSettings(url, caFile, samplePercent)));
  }

  private static Limits limits(SettingsReader limits) {
    var standard = Limits.DEFAULT;
    var inFlight =
        limits.number(
            "inboundMebibytesInFlight",
            64,
            1 << 20,
            Math.toIntExact(standard.inboundBytesInFlight() / Limits.MIB));
    return new Limits(
        standard.inboundMessageBytes(),
        (long) inFlight * Limits.MIB,
        limits.number("headerKibibytes", 4, 64, standard.headerBytes() / 1024) * 1024,
        limits.number(
            "concurrentCallsPerConnection", 1, 100_000, standard.concurrentCallsPerConnection()),
        limits.number("resetsPerWindow", 1, 1_000_000, standard.resetsPerWindow()),
        standard.resetWindow(),
        standard.shortestClientKeepAlive(),
        standard.keepAlive(),
        standard.handshake(),
        limits.number("callsPerSecondPerCaller", 0, 10_000_000, 0),
        limits.number("callsPerSecondPerInstance", 0, 10_000_000, 0));
  }

  private static ConnectionLimits connectionLimits(SettingsReader limits) {
    var standard = ConnectionLimits.DEFAULT;
    int open = limits.number("connections", 1, 1_000_000, standard.open());
    return new ConnectionLimits(
        open,
        limits.number("connectionsPerAddress", 1, 1_000_000, standard.openPerAddress()),
        limits.number("connectionsPerCaller", 1, 1_000_000, Math.max(1, open / 2)),
        limits.number("handshakes", 1, 1_000_000, standard.handshakes()),
        limits.number("handshakesPerAddress", 1, 1_000_000, standard.handshakesPerAddress()),
        limits.number("connectionsPerSecond", 1, 1_000_000, standard.perSecond()),
        limits.number(
            "connectionsPerSecondPerAddress", 1, 1_000_000, standard.perSecondPerAddress()),
        Duration.ofSeconds(
            limits.number(
                "unreadAnswerSeconds", 1, 3600, Math.toIntExact(standard.unread().toSeconds()))));
  }

  /** Where the crypto service listens. */
  public ListenAddresses cryptoAddresses() {
    return new ListenAddresses(listen.crypto(), privateListen.map(Listen::crypto));
  }

  /** Where the certificate manager listens. */
  public ListenAddresses certificateManagerAddresses() {
    return new ListenAddresses(
        listen.certificateManager(), privateListen.map(Listen::certificateManager));
  }

  /** The host part of addresses that clients on this machine can use. */
  public String clientHost() {
    return clientHost(listen.address());
  }

  /** The same of the health port. */
  public String healthHost() {
    return clientHost(listen.healthAddress());
  }

  private static String clientHost(InetAddress address) {
    return address.isAnyLocalAddress() || address.isLoopbackAddress()
        ? "localhost"
        : address.getHostAddress().toLowerCase(Locale.ROOT);
  }
}
