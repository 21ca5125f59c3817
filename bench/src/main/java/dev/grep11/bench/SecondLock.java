package dev.grep11.bench;

import dev.grep11.client.Grep11Client;
import dev.grep11.client.certmgr.AdministratorKeyPair;
import dev.grep11.client.certmgr.CertificateManagerClient;
import dev.grep11.client.certmgr.CertificatePem;
import java.time.Duration;
import java.util.List;
import java.util.UUID;

/**
 * The second lock of the gateway under test, closed for the run: an administrator's key and a
 * client CA of the run's own, both taken away at its end.
 */
final class SecondLock implements AutoCloseable {
  private static final String CERTIFICATE_ID = "bench";

  private final CertificateManagerClient manager;
  private final AdministratorKeyPair pair =
      AdministratorKeyPair.generate(AdministratorKeyPair.Type.P256);

  private SecondLock(CertificateManagerClient manager) {
    this.manager = manager;
  }

  /**
   * Closes the lock for whoever has no certificate of this CA.
   *
   * @throws BenchException where somebody administers the instance already: what others registered
   *     is neither changed nor taken away
   */
  static SecondLock close(Target target, Target.Administration administration, ClientIdentity by) {
    var manager =
        new CertificateManagerClient(
            Grep11Client.builder(administration.address())
                .trustedCa(target.ca())
                .deadline(Duration.ofSeconds(10))
                .apiKey(administration.apiKey().toCharArray(), target.iamEndpoint())
                .connect(),
            UUID.fromString(administration.instance()));
    try {
      if (manager.administratorKey().isRegistered() || manager.certificates().locked()) {
        throw new BenchException(
            "the instance is administered already; measure a gateway of its own: ./grep11 bench");
      }
      var lock = new SecondLock(manager);
      manager.execute(manager.signedBy(lock.pair).setAdministratorKey(null));
      var change =
          manager.execute(
              manager
                  .signedBy(lock.pair)
                  .setCertificate(
                      CERTIFICATE_ID, CertificatePem.readOne(by.ca()), false, List.of()));
      if (!change.locked()) {
        throw new BenchException("a client CA is registered, and the lock is open");
      }
      return lock;
    } catch (RuntimeException e) {
      manager.close();
      throw e;
    }
  }

  @Override
  public void close() {
    try (manager) {
      manager.execute(manager.signedBy(pair).deleteCertificate(CERTIFICATE_ID));
      manager.execute(manager.signedBy(pair).deleteAdministratorKey(false));
    }
  }
}
