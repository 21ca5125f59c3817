package dev.grep11.doctor;

import dev.grep11.agent.config.ClientConfig.Connection;
import dev.grep11.agent.config.ClientConfig.Iam;
import dev.grep11.agent.config.ClientConfig.Storage;
import dev.grep11.agent.config.ClientConfig.Token;
import dev.grep11.agent.config.ClientConfig.User;
import dev.grep11.agent.config.ClientConfigFile;
import dev.grep11.agent.config.ConfigException;
import dev.grep11.agent.config.Secret;
import dev.grep11.agent.store.FileStore;
import dev.grep11.agent.store.PostgresStore;
import dev.grep11.agent.store.StoreException;
import dev.grep11.client.Ckr;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.Template;
import dev.grep11.client.TlsProbe;
import dev.grep11.findings.Findings;
import dev.grep11.findings.Validity;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.CertificateParsingException;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.InstantSource;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * Looks at everything between a PKCS #11 application and its keys: the {@code grep11client.yaml},
 * its certificates, the gateway and the token service that it names, users and keystores, and the
 * agent of this host. Nothing is changed, here or at the gateway.
 */
public final class Pkcs11Doctor {
  private static final Duration DEADLINE = Duration.ofSeconds(10);
  private static final int HTTPS = 443;
  private static final String READY_LINE =
      "compare %s with what the gateway's ready line says, and see that it runs";

  /** An unknown key of a slot's storage, as a warning begins. */
  private static final Pattern STORAGE = Pattern.compile("^tokens\\.\\d+\\.storage\\..*: ");

  private static final String RENEW = "have a new one issued, and put it in the file's place";

  private final Path file;
  private final Optional<Pin> pin;
  private final LocalParts local;
  private final InstantSource clock;
  private final Findings findings = new Findings();

  /** The API key of user 1, as an application would give it to C_Login. */
  public record Pin(String apiKey) {
    @Override
    public String toString() {
      return "***";
    }
  }

  /**
   * @param file the configuration
   * @param pin without it, what needs it is not looked at
   * @param local agent and modules of this host
   */
  public Pkcs11Doctor(Path file, Optional<Pin> pin, LocalParts local, InstantSource clock) {
    this.file = file;
    this.pin = pin;
    this.local = local;
    this.clock = clock;
  }

  /** Looks once. A fault stops no check but those that cannot be made with it. */
  public Findings examine() {
    try {
      var reading = ClientConfigFile.examine(file);
      configuration(reading);
      var problems = new Problems(reading.problems());
      for (var token : reading.config().tokens().values()) {
        slot(token, problems);
      }
    } catch (ConfigException e) {
      for (var problem : e.problems()) {
        findings.bad("configuration", problem, "correct " + file);
      }
      findings.warning(
          "gateway", "not checked", "the configuration cannot be read: correct it first");
    }
    local.examine(findings);
    return findings;
  }

  private void configuration(ClientConfigFile.Reading reading) {
    var slots = reading.config().tokens().size();
    for (var problem : reading.problems()) {
      findings.bad("configuration", problem, "correct " + file);
    }
    if (reading.problems().isEmpty()) {
      findings.good(
          "configuration", "%s: %d %s".formatted(file, slots, slots == 1 ? "slot" : "slots"));
    }
    for (var warning : reading.config().warnings()) {
      if (STORAGE.matcher(warning).find()) {
        // The agent starts and says so in its log. Whoever wrote it wants keys that stay.
        findings.bad(
            "configuration",
            warning + ", so that the storage which it was meant for is off",
            "name one of remotestore, filestore and localpostgres in " + file);
      } else {
        findings.warning("configuration", warning, "correct " + file);
      }
    }
  }

  /**
   * The keys that are told of already.
   *
   * @param all each begins with the full name of its key and a colon
   */
  private record Problems(List<String> all) {
    /** Whether this key is wrong, or one below or above it. */
    boolean concern(String key) {
      return all.stream()
          .map(problem -> problem.split(": ", 2)[0])
          .anyMatch(wrong ->
              wrong.equals(key) || wrong.startsWith(key + ".") || key.startsWith(wrong + "."));
    }
  }

  // ---- A slot

  private void slot(Token token, Problems problems) {
    var name = "slot " + token.slot();
    var keys = "tokens." + token.slot();
    var tls = keys + ".grep11connection.tls";
    var connection = token.connection();
    if (!problems.concern(tls + ".cacert")) {
      connection.ca().ifPresent(ca -> certificates(name + ", cacert", ca, false));
    }
    boolean isIdentified =
        !problems.concern(tls + ".certfile") && !problems.concern(tls + ".keyfile");
    if (!problems.concern(tls + ".certfile")) {
      connection
          .certificate()
          .ifPresent(certificate -> certificates(name + ", certfile", certificate, true));
    }
    boolean reached;
    if (problems.concern(keys + ".grep11connection.address")
        || problems.concern(keys + ".grep11connection.port")) {
      reached = notChecked(name + ", gateway", "address and port");
    } else if (problems.concern(tls + ".cacert")) {
      reached = onlyReached(name + ", gateway", connection);
    } else {
      reached = gateway(name, token, isIdentified);
    }
    if (!problems.concern(tls + ".cacert")) {
      endpoints(name, token);
    }
    if (!problems.concern(keys + ".storage")) {
      storage(name, token);
    }
    if (reached && !problems.concern(keys + ".users")) {
      var usable = isIdentified ? token : withoutIdentity(token);
      normal(name, usable);
      anonymous(name, usable);
    } else {
      findings.warning(
          name + ", users",
          "not checked",
          reached
              ? "correct the keys of users first"
              : "first the connection to the gateway has to work");
    }
  }

  /** Whose lock is open, and asks for none. */
  private static Token withoutIdentity(Token token) {
    var connection = token.connection();
    return new Token(
        token.slot(),
        new Connection(
            connection.host(),
            connection.port(),
            connection.ca(),
            Optional.empty(),
            Optional.empty()),
        token.storage(),
        token.officer(),
        token.normal(),
        token.anonymous());
  }

  private boolean notChecked(String check, String keys) {
    findings.warning(check, "not checked", "correct %s first".formatted(keys));
    return false;
  }

  /** Without a CA to judge it by. */
  private boolean onlyReached(String check, Connection connection) {
    try (var socket = new Socket()) {
      socket.connect(
          new InetSocketAddress(connection.host(), connection.port()),
          Math.toIntExact(DEADLINE.toMillis()));
      return notChecked(
          check + ", which answers at %s:%d".formatted(connection.host(), connection.port()),
          "tls.cacert");
    } catch (IOException | IllegalArgumentException e) {
      findings.bad(
          check,
          "%s:%d cannot be reached: %s"
              .formatted(connection.host(), connection.port(), e.getMessage()),
          READY_LINE.formatted("address and port"));
      return false;
    }
  }

  // ---- Certificates

  /** That the key belongs to it was judged with the configuration. */
  private void certificates(String check, Path pem, boolean ownFirst) {
    List<X509Certificate> all;
    try {
      all = read(pem);
    } catch (IOException | GeneralSecurityException e) {
      findings.bad(check, pem + ": " + e.getMessage(), "name a PEM file of certificates");
      return;
    }
    for (var certificate : ownFirst ? all.subList(0, 1) : all) {
      expiry(check, pem + ", " + subject(certificate), certificate);
    }
    for (var intermediate : ownFirst ? all.subList(1, all.size()) : List.<X509Certificate>of()) {
      expiry(check, pem + ", intermediate " + subject(intermediate), intermediate);
    }
  }

  private static List<X509Certificate> read(Path pem) throws IOException, GeneralSecurityException {
    Collection<? extends Certificate> read;
    try (InputStream in = Files.newInputStream(pem)) {
      read = CertificateFactory.getInstance("X.509").generateCertificates(in);
    }
    if (read.isEmpty()) {
      throw new IOException("no certificate");
    }
    return read.stream().map(X509Certificate.class::cast).toList();
  }

  private static String subject(X509Certificate certificate) {
    return "\"" + certificate.getSubjectX500Principal().getName() + "\"";
  }

  private void expiry(String check, String what, X509Certificate certificate) {
    Validity.look(findings, check, what, certificate, clock.instant(), RENEW);
  }

  // ---- Servers

  /** Whether calls can be made. */
  private boolean gateway(String name, Token token, boolean isIdentified) {
    var connection = token.connection();
    var check = name + ", gateway";
    TlsProbe probe;
    try {
      probe =
          TlsProbe.of(
              connection.host(),
              connection.port(),
              connection.trusted(),
              isIdentified ? connection.certificate() : Optional.empty(),
              isIdentified ? connection.privateKey() : Optional.empty(),
              "h2");
    } catch (IllegalArgumentException e) {
      findings.bad(check, String.valueOf(e.getMessage()), "correct " + file);
      return false;
    }
    if (!server(check, token.address(), connection.trusted(), probe, "address and port")) {
      return false;
    }
    if (probe.protocol().isEmpty() && probe.refused().isEmpty()) {
      findings.bad(
          check,
          "%s speaks TLS and not HTTP/2: no gateway's crypto port, perhaps its token service (crypto"
                  .formatted(token.address())
              + " port + 2) or health port (+ 3)",
          READY_LINE.formatted("address and port"));
      return false;
    }
    if (!isIdentified && (probe.asked() || probe.refused().isPresent())) {
      findings.warning(
          name + ", second lock",
          "%s asks for a client certificate; ours is not tried".formatted(token.address()),
          "correct certfile and keyfile first");
      return false;
    }
    if (probe.asked() && !connection.mutual()) {
      findings.bad(
          name + ", second lock",
          "%s asks for a client certificate, and mutual is false".formatted(token.address()),
          "set tls.mutual to true, and certfile and keyfile to those that a registered CA issued");
      return false;
    }
    if (probe.refused().isPresent()) {
      findings.bad(
          name + ", second lock",
          "%s refuses this client: %s".formatted(token.address(), probe.refused().get()),
          connection.mutual()
              ? "have certfile issued by a CA that a certificate administrator registered"
                  + " (certmgr cert list), intermediates after it"
              : "look into the gateway's log");
      return false;
    }
    findings.good(
        name + ", second lock",
        probe.asked()
            ? "closed, and the client certificate is accepted"
            : connection.mutual()
                ? "open: no client certificate is asked for"
                : "open, and mutual is false");
    return true;
  }

  /** Whether it is the server that it should be. */
  private boolean server(
      String check, String address, Optional<Path> ca, TlsProbe probe, String keys) {
    if (probe.unreachable().isPresent()) {
      findings.bad(
          check,
          "%s cannot be reached: %s".formatted(address, probe.unreachable().get()),
          READY_LINE.formatted(keys));
      return false;
    }
    if (probe.untrusted().isPresent()) {
      findings.bad(
          check,
          "%s is not trusted: %s; what answers there is %s"
              .formatted(address, probe.untrusted().get(), shown(probe)),
          "set tls.cacert to the CA that issued its certificate; if that is another server's, correct"
              + " "
              + keys);
      return false;
    }
    if (probe.misnamed().isPresent()) {
      findings.bad(
          check,
          "%s has a certificate of another name: %s; it is for %s"
              .formatted(address, probe.misnamed().get(), names(probe.chain().get(0))),
          "use one of these names, or give the server a certificate with this one");
      return false;
    }
    if (probe.chain().isEmpty()) {
      findings.bad(
          check,
          "%s is open, and what answers there speaks no TLS: %s"
              .formatted(address, probe.refused().orElse("no certificate")),
          READY_LINE.formatted(keys));
      return false;
    }
    var leaf = probe.chain().get(0);
    findings.good(
        check,
        "%s is %s, trusted by %s"
            .formatted(
                address, subject(leaf), ca.map(Path::toString).orElse("the CAs of this system")));
    expiry(check, "the server's certificate " + subject(leaf), leaf);
    return true;
  }

  private static String shown(TlsProbe probe) {
    return probe.chain().isEmpty()
        ? "unknown"
        : "%s, issued by \"%s\", for %s"
            .formatted(
                subject(probe.chain().get(0)),
                probe.chain().get(0).getIssuerX500Principal().getName(),
                names(probe.chain().get(0)));
  }

  /** Subject alternative names (RFC 5280, 4.2.1.6): DNS names and IP addresses. */
  private static String names(X509Certificate certificate) {
    try {
      var names = certificate.getSubjectAlternativeNames();
      return names == null
          ? "no name"
          : names.stream()
              .filter(name -> name.get(0).equals(2) || name.get(0).equals(7))
              .map(name -> String.valueOf(name.get(1)))
              .collect(Collectors.joining(", "));
    } catch (CertificateParsingException e) {
      return "names that cannot be read";
    }
  }

  /** Each token service once. */
  private void endpoints(String name, Token token) {
    var endpoints = new LinkedHashMap<String, Iam>();
    for (var user : List.of(token.officer(), token.normal(), token.anonymous())) {
      user.iam().ifPresent(iam -> endpoints.putIfAbsent(iam.endpoint().getAuthority(), iam));
    }
    endpoints.forEach((authority, iam) -> {
      var endpoint = iam.endpoint();
      int port = endpoint.getPort() < 0 ? HTTPS : endpoint.getPort();
      var ca = token.connection().trusted();
      var check = name + ", token service";
      try {
        var probe =
            TlsProbe.of(
                endpoint.getHost(), port, ca, Optional.empty(), Optional.empty(), "http/1.1");
        server(check, authority, ca, probe, "iamauth.endpoint");
      } catch (IllegalArgumentException e) {
        findings.bad(check, String.valueOf(e.getMessage()), "correct " + file);
      }
    });
  }

  // ---- Users

  private void normal(String name, Token token) {
    var user = token.normal();
    var check = "%s, user 1 \"%s\"".formatted(name, user.name());
    if (user.iam().isEmpty()) {
      findings.good(check, "logs in with the password of its keystore");
      calls(check, token, user, "private", "");
      return;
    }
    if (pin.isEmpty()) {
      findings.warning(
          check,
          "login and keystore are not checked: no API key",
          "set GREP11_APIKEY, or give --apikey-file or --ask");
      return;
    }
    var key = pin.get().apiKey();
    if (isAnonymous(token, key)) {
      findings.bad(
          check,
          "the API key is that of the anonymous user, which C_Login refuses",
          "make a key of its own: grep11 apikey create");
      return;
    }
    calls(check, token, user, "private", key);
  }

  private static boolean isAnonymous(Token token, String key) {
    return token
        .anonymous()
        .iam()
        .flatMap(Iam::apiKey)
        .filter(other -> other.is(key.getBytes(StandardCharsets.UTF_8)))
        .isPresent();
  }

  private void anonymous(String name, Token token) {
    var user = token.anonymous();
    var check = "%s, user 2 \"%s\"".formatted(name, user.name());
    var key = user.iam().flatMap(Iam::apiKey).map(secret -> new String(secret.chars())).orElse("");
    calls(check, token, user, "public", key);
  }

  /** The gateway's answers to this user. */
  private void calls(String check, Token token, User user, String kind, String apiKey) {
    try (var client = connect(token, user, apiKey)) {
      int mechanisms = client.mechanisms().size();
      findings.good(check, "may use the gateway, which has %d mechanisms".formatted(mechanisms));
      if (token.storage() instanceof Storage.Remote && user.keystore().isPresent()) {
        keystore(check, client, user, user.keystore().get(), kind);
      }
    } catch (IllegalArgumentException e) {
      findings.bad(check, String.valueOf(e.getMessage()), "correct " + file);
    } catch (Grep11Exception e) {
      if (e.status().name().equals("UNIMPLEMENTED")) {
        findings.bad(
            check,
            "%s answers gRPC and has no crypto service: perhaps it is the gateway's certificate manager (crypto port + 1)"
                .formatted(token.address()),
            READY_LINE.formatted("address and port"));
        return;
      }
      findings.bad(
          check,
          "the gateway does not serve it: " + e.detail(),
          e.answered() || e.status().name().equals("PERMISSION_DENIED")
              ? "give its API key the role Crypto operator on the instance: grep11 grant add"
              : "see that its API key exists (grep11 apikey list) and that iamauth.endpoint is"
                  + " the gateway's own token service");
    }
  }

  private void keystore(String check, Grep11Client client, User user, UUID id, String kind) {
    try {
      lookInto(check, client, user, id, kind);
    } catch (Grep11Exception e) {
      findings.bad(
          check,
          "the %s keystore %s does not open: %s".formatted(kind, id, e.detail()),
          e.returnValue() == Ckr.CKR_PIN_INCORRECT
              ? "correct tokenspaceIDPassword; a lost one cannot be found again"
              : "give the API key Key operator on it: grep11 apikey create --keystore");
    }
  }

  private void lookInto(String check, Grep11Client client, User user, UUID id, String kind) {
    var found = client.keystores().find(id);
    if (found.isEmpty()) {
      findings.bad(
          check,
          "the %s keystore %s does not exist, or it has no right on it".formatted(kind, id),
          "make it by C_InitToken, or give the API key Key operator on it: grep11 apikey create"
              + " --keystore");
      return;
    }
    var info = found.get();
    if (info.passwordProtected() && user.keystorePassword().isEmpty()) {
      findings.bad(
          check,
          "the %s keystore %s has a password, and sessionauth is off".formatted(kind, id),
          "enable sessionauth with its tokenspaceIDPassword");
      return;
    }
    if (!info.passwordProtected() && user.keystorePassword().isPresent()) {
      findings.bad(
          check,
          "the %s keystore %s has no password, and sessionauth is on".formatted(kind, id),
          "switch sessionauth off, or make the keystore anew with a password by C_InitToken");
      return;
    }
    var keystores = client.keystores();
    var opened =
        user.keystorePassword()
            .map(password -> keystores.open(id, password.chars()))
            .orElseGet(() -> keystores.open(id));
    var unused = opened.firstPage(Template.empty(), 1);
    findings.good(
        check,
        "opens the %s keystore \"%s\" with %d objects".formatted(kind, info.name(), info.keys()));
  }

  private static Grep11Client connect(Token token, User user, String apiKey) {
    var builder = Grep11Client.builder(token.address()).deadline(DEADLINE);
    var connection = token.connection();
    connection.trusted().ifPresent(builder::trustedCa);
    if (connection.certificate().isPresent() && connection.privateKey().isPresent()) {
      builder.clientCertificate(connection.certificate().get(), connection.privateKey().get());
    }
    user.iam()
        .ifPresent(iam -> {
          builder.apiKey(apiKey.toCharArray(), iam.endpoint());
          iam.instance().ifPresent(builder::instance);
        });
    return builder.build();
  }

  // ---- Storage

  private void storage(String name, Token token) {
    var check = name + ", storage";
    var storage = token.storage();
    if (storage instanceof Storage.None) {
      findings.warning(
          check,
          "none is enabled: applications have session objects only",
          "enable remotestore where keys are to stay");
    } else if (storage instanceof Storage.LocalPostgres postgres) {
      database(check, postgres);
    } else if (storage instanceof Storage.Files files) {
      directory(check, token, files.directory());
    } else {
      findings.good(check, "remotestore: keystores of the gateway");
    }
  }

  private void database(String check, Storage.LocalPostgres postgres) {
    try {
      PostgresStore.requireReachable(new String(postgres.connection().chars()));
      findings.good(check, "localpostgres: the database takes this user");
    } catch (StoreException e) {
      findings.bad(
          check,
          String.valueOf(e.getMessage()),
          "start the database, or correct storage.localpostgres.connectionstring");
    }
  }

  private void directory(String check, Token token, Path directory) {
    if (!Files.exists(directory)) {
      findings.warning(
          check, directory + " is not there yet", "the agent makes it with the first object");
    } else if (!Files.isDirectory(directory) || !Files.isWritable(directory)) {
      findings.bad(
          check,
          directory + " is no directory that this user may write",
          "name another storagepath, or give it to the agent's user");
    } else if (opens(check, "private", token.normal(), directory)
        && opens(check, "public", token.anonymous(), directory)) {
      findings.good(check, "filestore in " + directory);
    }
  }

  /** Whether nothing is wrong with it; one that is not made yet has no password either. */
  private boolean opens(String check, String kind, User user, Path directory) {
    if (user.keystore().isEmpty()) {
      return true;
    }
    try {
      boolean unused =
          FileStore.opens(
              directory,
              user.keystore().get(),
              user.keystorePassword().map(Secret::chars).orElse(null));
      return true;
    } catch (StoreException e) {
      findings.bad(
          check,
          "the %s keystore does not open: %s".formatted(kind, e.getMessage()),
          "correct sessionauth and its tokenspaceIDPassword; a lost one cannot be found again");
      return false;
    }
  }
}
