package dev.grep11.gateway.rpc;

import dev.grep11.gateway.certmgr.Administration;
import dev.grep11.gateway.certmgr.AdministrativeEvents;
import dev.grep11.gateway.iam.CallBudget;
import dev.grep11.gateway.tls.Connections;
import io.grpc.ServerInterceptors;
import io.netty.handler.ssl.SslContext;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.Optional;
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

  private final CryptoListener listener;
  private final PoolDispatcher dispatcher;

  private CertificateManagerListener(CryptoListener listener, PoolDispatcher dispatcher) {
    this.listener = listener;
    this.dispatcher = dispatcher;
  }

  /**
   * Starts to serve.
   *
   * @param ssl that asks for no client certificate
   * @param instance the one instance of this gateway; empty when host name or header selects it
   * @param callsPerMinute that an address has, and an administrator; refusals count more
   */
  public static CertificateManagerListener start(
      InetSocketAddress address,
      SslContext ssl,
      Connections connections,
      Optional<UUID> instance,
      int callsPerMinute,
      TokenAccess tokens,
      Administration administration,
      AdministrativeEvents events)
      throws IOException {
    var budget = new CallBudget(callsPerMinute);
    var access = new CertificateManagerAccess(tokens, budget);
    var dispatcher = new PoolDispatcher();
    var services =
        new Routes.Services(
            new Admission(new InstanceSelection(instance), access, ClientCertificates.NOT_NEEDED),
            dispatcher,
            new AdministrationAudit(events),
            new AdministrationFailures());
    try {
      return new CertificateManagerListener(
          CryptoListener.start(
              address,
              ssl,
              connections,
              LIMITS,
              ServerInterceptors.intercept(
                  CertificateManagerService.bind(administration, access, services),
                  new AddressLimit(budget))),
          dispatcher);
    } catch (IOException | RuntimeException e) {
      dispatcher.close();
      throw e;
    }
  }

  public int port() {
    return listener.port();
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
  }
}
