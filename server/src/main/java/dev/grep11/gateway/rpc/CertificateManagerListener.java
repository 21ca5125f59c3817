package dev.grep11.gateway.rpc;

import dev.grep11.gateway.certmgr.Administration;
import dev.grep11.gateway.certmgr.AdministrativeEvents;
import dev.grep11.gateway.iam.CallBudget;
import dev.grep11.gateway.tls.Connections;
import io.grpc.ServerInterceptors;
import io.netty.handler.ssl.SslContext;
import java.io.IOException;
import java.time.Duration;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/**
 * The port of the certificate manager. It never asks for a client certificate: who shut the lock by
 * mistake must be able to open it (certmgr S12).
 */
public final class CertificateManagerListener implements AutoCloseable {
  private static final Limits LIMITS =
      new Limits(
          256 * 1024,
          16L * Limits.MIB,
          16 * 1024,
          16,
          50,
          Duration.ofSeconds(30),
          Duration.ofSeconds(10),
          Duration.ofMinutes(2),
          Duration.ofSeconds(10));

  /** A flood of attempts is one event in this time, with their number. */
  private static final Duration BETWEEN_COUNTS = Duration.ofMinutes(1);

  private final CryptoListener listener;
  private final PoolDispatcher dispatcher;
  private final AdministrationAudit audit;

  private CertificateManagerListener(
      CryptoListener listener, PoolDispatcher dispatcher, AdministrationAudit audit) {
    this.listener = listener;
    this.dispatcher = dispatcher;
    this.audit = audit;
  }

  /**
   * Starts to serve.
   *
   * @param ssl that asks for no client certificate
   * @param instance the one instance of this gateway; empty when host name or header selects it
   * @param callsPerMinute that an address may have refused, and that an administrator may make,
   *     those with a signature apart
   */
  public static CertificateManagerListener start(
      ListenAddresses addresses,
      SslContext ssl,
      Connections connections,
      Optional<UUID> instance,
      int callsPerMinute,
      TokenAccess tokens,
      Administration administration,
      AdministrativeEvents events,
      NetworkPolicies network)
      throws IOException {
    var refusals = new CallBudget(callsPerMinute);
    var access = new CertificateManagerAccess(tokens, callsPerMinute);
    var audit = new AdministrationAudit(events, refusals, BETWEEN_COUNTS);
    var dispatcher = new PoolDispatcher();
    var services =
        new Routes.Services(
            new Admission(
                new InstanceSelection(instance),
                NetworkAccess.by(network, addresses, NetworkPolicy::refusalOfAdministration),
                access,
                ClientCertificates.NOT_NEEDED,
                CallRates.ANY),
            dispatcher,
            audit,
            new AdministrationFailures());
    try {
      return new CertificateManagerListener(
          CryptoListener.start(
              addresses,
              ssl,
              connections,
              LIMITS,
              ServerInterceptors.intercept(
                  CertificateManagerService.bind(administration, access, services),
                  new AddressLimit(refusals))),
          dispatcher,
          audit);
    } catch (IOException | RuntimeException e) {
      audit.close();
      dispatcher.close();
      throw e;
    }
  }

  public int port() {
    return listener.port();
  }

  public OptionalInt privatePort() {
    return listener.privatePort();
  }

  /** Takes no new connections and calls; those that run may end. */
  public void stopAccepting() {
    listener.stopAccepting();
  }

  /** Whether all calls have ended within the time. */
  public boolean awaitQuiet(long time, TimeUnit unit) throws InterruptedException {
    return listener.awaitQuiet(time, unit);
  }

  @Override
  public void close() {
    dispatcher.close();
    listener.close();
    audit.close();
  }
}
