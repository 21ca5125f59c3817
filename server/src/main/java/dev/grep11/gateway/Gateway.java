package dev.grep11.gateway;

import dev.grep11.gateway.audit.AuditLog;
import dev.grep11.gateway.certmgr.Administration;
import dev.grep11.gateway.certmgr.ClientCas;
import dev.grep11.gateway.certmgr.Replicas;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.StartSteps;
import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.HsmSettings;
import dev.grep11.gateway.http.HttpListener;
import dev.grep11.gateway.iam.Grants;
import dev.grep11.gateway.iam.IssuerSettings;
import dev.grep11.gateway.iam.Roles;
import dev.grep11.gateway.iam.TokenService;
import dev.grep11.gateway.iam.TokenVerifier;
import dev.grep11.gateway.key.KeySealer;
import dev.grep11.gateway.key.Keyring;
import dev.grep11.gateway.key.Keys;
import dev.grep11.gateway.key.SealingKeys;
import dev.grep11.gateway.key.StateSealer;
import dev.grep11.gateway.keystore.KeystoreKeeper;
import dev.grep11.gateway.keystore.Keystores;
import dev.grep11.gateway.metrics.Metrics;
import dev.grep11.gateway.operation.Operations;
import dev.grep11.gateway.pkcs11.MechanismCatalog;
import dev.grep11.gateway.rpc.CallAudit;
import dev.grep11.gateway.rpc.CallAuditLog;
import dev.grep11.gateway.rpc.CertificateManagerListener;
import dev.grep11.gateway.rpc.CryptoListener;
import dev.grep11.gateway.rpc.KeystoreAuditLog;
import dev.grep11.gateway.rpc.ListenAddresses;
import dev.grep11.gateway.rpc.MeteredCalls;
import dev.grep11.gateway.rpc.RefusedStrangers;
import dev.grep11.gateway.rpc.TokenAccess;
import dev.grep11.gateway.store.ReplicaRecord;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.StoreFollower;
import dev.grep11.gateway.tls.ConnectionLimits;
import dev.grep11.gateway.tls.Connections;
import dev.grep11.gateway.tls.IdentityException;
import dev.grep11.gateway.tls.RefusedConnection;
import dev.grep11.gateway.tls.RefusedConnections;
import dev.grep11.gateway.tls.RefusedHandshakes;
import dev.grep11.gateway.tls.SecondLock;
import dev.grep11.gateway.tls.ServerTls;
import dev.grep11.gateway.token.HsmCalls;
import dev.grep11.gateway.token.HsmCheckpointMac;
import dev.grep11.gateway.token.HsmKeyBlobs;
import dev.grep11.gateway.token.HsmTokenSigner;
import dev.grep11.gateway.token.KeyringFollower;
import dev.grep11.gateway.token.Lease;
import dev.grep11.gateway.token.StartException;
import dev.grep11.gateway.token.TokenKeys;
import dev.grep11.gateway.trace.OtlpTracing;
import dev.grep11.gateway.trace.Tracing;
import dev.grep11.gateway.trust.RevocationFiles;
import dev.grep11.gateway.trust.TrustAnchors;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.TimeUnit;
import java.util.function.BiFunction;
import java.util.function.Function;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A running gateway: the one place that builds everything and closes it in the opposite order. */
public final class Gateway implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(Gateway.class);
  private static final Duration DRAIN = Duration.ofSeconds(10);

  // Ports, where connections that were refused are counted.
  private static final String CRYPTO = "crypto";
  private static final String CERTIFICATE_MANAGER = "certificate-manager";
  private static final String TOKEN_SERVICE = "token-service";
  private static final String HEALTH = "health";

  /** What Netty's native transport puts before the system's own words. */
  private static final Pattern NATIVE_BIND =
      Pattern.compile("^bind\\(\\.\\.\\) failed with error\\(-?\\d+\\): ");

  private final Deque<AutoCloseable> parts = new ArrayDeque<>();
  private @Nullable CryptoListener crypto;
  private @Nullable CertificateManagerListener certificateManager;
  private @Nullable HttpListener tokenService;
  private @Nullable HealthListener health;
  private volatile boolean started;
  private volatile boolean stopping;

  /**
   * By which certificates expire, events are dated and, beside one that only counts, leases end.
   */
  private final InstantSource clock;

  private Gateway(InstantSource clock) {
    this.clock = clock;
  }

  /**
   * Starts a gateway; on return its ports serve.
   *
   * @throws StartException naming what is missing
   */
  public static Gateway start(GatewayConfig config) {
    return start(config, Hsm::open);
  }

  /** As {@link #start(GatewayConfig)}, over a token that a test has wrapped. */
  static Gateway start(GatewayConfig config, Function<HsmSettings, Hsm> openHsm) {
    return start(config, openHsm, InstantSource.system());
  }

  /** As {@link #start(GatewayConfig, Function)}, by the wall clock of a test. */
  static Gateway start(
      GatewayConfig config, Function<HsmSettings, Hsm> openHsm, InstantSource clock) {
    return start(config, openHsm, StartSteps::openStore, clock);
  }

  /** The same, over a store that a test has wrapped. */
  static Gateway start(
      GatewayConfig config,
      Function<HsmSettings, Hsm> openHsm,
      BiFunction<GatewayConfig, HsmCalls, Store> openStore,
      InstantSource clock) {
    ServerTls.requireNoResumption();
    var gateway = new Gateway(clock);
    try {
      gateway.build(config, openHsm, openStore);
      return gateway;
    } catch (IOException | IdentityException e) {
      gateway.close();
      throw new StartException(String.valueOf(e.getMessage()), e);
    } catch (RuntimeException e) {
      gateway.close();
      throw e;
    }
  }

  private void build(
      GatewayConfig config,
      Function<HsmSettings, Hsm> openHsm,
      BiFunction<GatewayConfig, HsmCalls, Store> openStore)
      throws IOException, IdentityException {
    var audit = closing(AuditLog.open(config.audit(), replicaName(config)));
    StartSteps.requireHosts(config);
    var tls =
        closing(
            ServerTls.start(
                config.certificateChain(),
                config.certificateKey(),
                config.identityPoll(),
                problem -> LOG.error("the server identity stays as it was: {}", problem)));

    var hsm = closing(openHsm.apply(config.hsm()));
    var calls = new HsmCalls(hsm);
    var store = closing(openStore.apply(config, calls));
    var mac = new HsmCheckpointMac(StartSteps.envelope(config, calls));
    var events = closing(EventExporter.start(store, audit, mac, auditWriter(config), clock));
    var instances = store.instances();
    StartSteps.requireInstance(instances, config.instance());

    SealingKeys.requireMechanisms(hsm.mechanisms().keySet());
    var lease = new Lease(System::nanoTime, clock);
    var keyring = Keyring.leased(hsm, lease::lasts);
    var privateObjects = config.privateObjects() || !hsm.publicSessionObjects();
    var sealer = new KeySealer(hsm, keyring, privateObjects, config.softwareFallback());
    var keys = new Keys(hsm, sealer, config.cachedKeys());
    var follower =
        closing(StoreFollower.leased(store, config.follow(), System::nanoTime, lease::lasts));
    boolean certificatesRequired =
        config.clientCertificates() == GatewayConfig.ClientCertificateRule.REQUIRED;
    var replica =
        closing(
            KeyringFollower.start(
                store,
                calls,
                lease,
                keyring,
                keys,
                config.follow(),
                replicaName(config),
                follower,
                new ReplicaRecord.Rules(certificatesRequired, config.enrolment().name()),
                clock));
    var signer = new HsmTokenSigner(calls, TokenKeys.read(config.store()));
    var probe = closing(TokenProbe.start(signer));
    var metrics = Measured.metrics(config, instances);
    var catalog =
        MechanismCatalog.of(hsm.mechanisms().keySet(), config.policy(), config.softwareFallback());
    var operations =
        new Operations(
            hsm,
            catalog,
            sealer,
            new StateSealer(hsm, keyring),
            keys,
            config.policy(),
            config.softwareFallback(),
            config.bufferedBytes());

    var keystores =
        new Keystores(store.keystores(), new HsmKeyBlobs(hsm, sealer), follower::current, clock);
    closing(KeystoreKeeper.start(keystores, store.keystores(), follower::current));

    var revocations = new RevocationFiles(config.revocations());
    Function<List<X509Certificate>, TrustAnchors> trust =
        certificates -> TrustAnchors.of(certificates, revocations.current());
    // Before the grants, so that nobody is granted anything in an instance whose lock is unknown.
    var clientCas = ClientCas.follow(follower, certificatesRequired, trust);
    closing(RevocationWatch.start(revocations, clientCas));
    closing(
        ExpiryWatch.start(
            follower, config.instance(), tls::chain, config.certificateChain(), events, clock));
    var grants = new Grants(follower, Roles.standard());
    // A rate can be told of a counter that was 0 before.
    for (var port : List.of(CRYPTO, CERTIFICATE_MANAGER, TOKEN_SERVICE, HEALTH)) {
      for (var reason : RefusedConnection.Reason.values()) {
        var _ = metrics.refusedConnections(port, reason.word());
      }
    }
    var tooMany =
        closing(
            new RefusedConnections(
                audit,
                config.instance(),
                (port, reason) -> metrics.refusedConnections(port, reason.word()).inc()));
    StartSteps.requireKeyFiles(config.issuers());
    var issuers = new ArrayList<IssuerSettings>(config.issuers());
    if (config.tokenService().isPresent()) {
      var settings = config.tokenService().get();
      issuers.add(TokenService.issuerSettings(settings, signer));
      var visitors =
          closing(
              // A handshake with an RSA key takes milliseconds of an event loop.
              new Connections(
                  Runtime.getRuntime().availableProcessors(),
                  config.connections().ofVisits(),
                  _ -> {},
                  tooMany.of(TOKEN_SERVICE)));
      var service = new TokenService(settings, signer, grants, audit);
      tokenService =
          closing(
              listening(
                  "the token service port, " + text(settings.address()),
                  () ->
                      HttpListener.start(
                          settings.address(),
                          tls.httpContext(),
                          visitors,
                          TokenService.LIMITS,
                          service)));
    }
    var verifier = new TokenVerifier(issuers);
    verifier.fetchAhead();
    var access = closing(new TokenAccess(verifier, grants));

    var refused =
        closing(
            new RefusedHandshakes(
                audit,
                config.instance(),
                (outcome, reason) -> metrics.handshakes(word(outcome), reason).inc()));
    // A rate can be told of a counter that was 0 before.
    RefusedHandshakes.reasons()
        .forEach((outcome, reasons) ->
            reasons.forEach(reason -> metrics.handshakes(word(outcome), reason)));
    var connections =
        closing(
            new Connections(
                Runtime.getRuntime().availableProcessors(),
                config.connections(),
                refused,
                tooMany.of(CRYPTO)));
    var lock = closing(SecondLock.start(clientCas, config.instance(), connections, tls, clock));
    var tracing =
        config.tracing().isEmpty()
            ? Tracing.OFF
            : closing(
                OtlpTracing.start(config.tracing().get(), Measured.version(), replicaName(config)));
    var inline = config.execution() == GatewayConfig.Execution.LOCAL;
    if (inline) {
      for (var loop : connections.eventLoops()) {
        loop.submit(hsm::adoptCurrentThread).syncUninterruptibly();
      }
    }
    crypto =
        closing(
            listening(
                "the crypto port, " + text(config.cryptoAddresses()),
                () ->
                    CryptoListener.start(
                        config.cryptoAddresses(),
                        tls.cryptoContext(),
                        connections,
                        config.instance(),
                        config.limits(),
                        new CryptoListener.Collaborators(
                            operations,
                            config.policy(),
                            new LaneDispatcher(hsm, operations, new InlineWatch(inline)),
                            access,
                            lock::refusal,
                            recorded(new CallAuditLog(audit), metrics),
                            Optional.of(
                                new CryptoListener.KeystoreCollaborators(
                                    keystores, recorded(new KeystoreAuditLog(audit), metrics))),
                            config.network(),
                            config.reflection(),
                            tracing))));
    var replicas =
        new Replicas(follower, replica.id(), replicaName(config), config.follow().lease(), clock);
    var administration =
        new Administration(
            store,
            follower,
            replicas,
            events,
            trust,
            new Administration.Rules(config.enrolment(), certificatesRequired),
            clock);
    var administrators =
        closing(
            new Connections(1, ConnectionLimits.SMALL, _ -> {}, tooMany.of(CERTIFICATE_MANAGER)));
    certificateManager =
        closing(
            listening(
                "the certificate manager, " + text(config.certificateManagerAddresses()),
                () ->
                    CertificateManagerListener.start(
                        config.certificateManagerAddresses(),
                        tls.grpcContext(),
                        administrators,
                        config.instance(),
                        config.administrativeCallsPerMinute(),
                        access,
                        administration,
                        events,
                        config.network())));
    Measured.token(metrics, hsm, keys, probe);
    Measured.tokens(metrics, verifier);
    Measured.store(metrics, follower, lease);
    Measured.backups(metrics, follower, clock);
    Measured.locks(metrics, follower, config.instance(), clientCas, tls, connections);
    Measured.revocations(metrics, revocations, clock);
    Measured.audit(metrics, audit, events);
    var ready =
        new Readiness()
            .when("start", () -> started && !stopping, "the gateway is starting, or stopping")
            .when("token", () -> hsm.epoch().live(), "the token is not there")
            .when("signature", probe::succeededOfLate, "the token does not sign")
            .when("store", grants::available, "grants could not be confirmed within the lease")
            .when("sealingKeys", keyring::available, "sealing keys could not be confirmed");
    var supervisors =
        closing(new Connections(1, ConnectionLimits.SMALL, _ -> {}, tooMany.of(HEALTH)));
    health =
        closing(
            listening(
                "the health port, " + text(config.listen().health()),
                () ->
                    new HealthListener(
                        config.listen().health(),
                        tls.healthContext(),
                        supervisors,
                        () -> started,
                        ready,
                        metrics)));
    started = true;
    showHealth();
    LOG.info(
        "serving: mode {}, policy {}, softwareFallback {}, token \"{}\" ({} {}), {} instances",
        config.mode(),
        config.policy(),
        config.softwareFallback(),
        hsm.tokenInfo().label(),
        hsm.tokenInfo().manufacturer(),
        hsm.tokenInfo().model(),
        instances.size());
  }

  private static String word(RefusedHandshakes.Outcome outcome) {
    return outcome.name().toLowerCase(Locale.ROOT);
  }

  private static String text(ListenAddresses addresses) {
    return text(addresses.publicly())
        + addresses.privately().map(address -> " and " + text(address)).orElse("");
  }

  /** As a host and a port, without the slash of Java's own form. */
  private static String text(InetSocketAddress address) {
    return address.toString().replaceFirst("^[^/]*/", "");
  }

  private interface Listening<T> {
    T start() throws IOException;
  }

  /** Says which port it was that could not be had. */
  private static <T> T listening(String what, Listening<T> listener) {
    try {
      return listener.start();
    } catch (IOException e) {
      var cause = e.getCause() == null ? e : e.getCause();
      var why = NATIVE_BIND.matcher(String.valueOf(cause.getMessage())).replaceFirst("");
      throw new StartException(
          "%s: %s; choose another listen.portBase (--port-base)".formatted(what, why), e);
    }
  }

  private <T extends AutoCloseable> T closing(T part) {
    parts.push(part);
    return part;
  }

  /** Where a command says that it waits for this gateway. */
  private static String replicaName(GatewayConfig config) {
    var address = config.listen().crypto();
    return "%s:%d (process %d)"
        .formatted(
            address.getAddress().getHostAddress(),
            address.getPort(),
            ProcessHandle.current().pid());
  }

  /** What tells the rows of this gateway from those of others, also after a restart. */
  private static String auditWriter(GatewayConfig config) {
    return config.listen().crypto()
        + " "
        + config
            .audit()
            .file()
            .map(file -> file.toAbsolutePath().normalize().toString())
            .orElse("standard output");
  }

  public int cryptoPort() {
    return crypto == null ? 0 : crypto.port();
  }

  public int certificateManagerPort() {
    return certificateManager == null ? 0 : certificateManager.port();
  }

  /** Of the crypto port in the private network, where it listens there. */
  public OptionalInt privateCryptoPort() {
    return crypto == null ? OptionalInt.empty() : crypto.privatePort();
  }

  /** Of the certificate manager in the private network, where it listens there. */
  public OptionalInt privateCertificateManagerPort() {
    return certificateManager == null ? OptionalInt.empty() : certificateManager.privatePort();
  }

  public int healthPort() {
    return health == null ? 0 : health.port();
  }

  public Optional<InetSocketAddress> tokenService() {
    return Optional.ofNullable(tokenService).map(HttpListener::address);
  }

  /** Takes nothing new, lets running calls end within a bound, and closes. */
  public void drain() {
    LOG.info("stopping: no new calls, at most {} for those that run", DRAIN);
    stopping = true;
    showHealth();
    var administration = certificateManager;
    if (administration != null) {
      administration.stopAccepting();
    }
    var listener = crypto;
    if (listener != null) {
      listener.stopAccepting();
      try {
        if (!listener.awaitQuiet(DRAIN.toSeconds(), TimeUnit.SECONDS)) {
          LOG.warn("calls were still running after {}; they are cut off", DRAIN);
        }
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
    }
    close();
  }

  private CallAudit recorded(CallAudit audit, Metrics metrics) {
    return new MeteredCalls(closing(new RefusedStrangers(audit)), metrics.calls());
  }

  private void showHealth() {
    var listener = health;
    if (listener != null) {
      listener.show();
    }
  }

  @Override
  public void close() {
    while (!parts.isEmpty()) {
      var part = parts.pop();
      try {
        part.close();
      } catch (Exception e) {
        LOG.warn("{} did not close cleanly", part.getClass().getSimpleName(), e);
      }
    }
  }
}
