package dev.grep11.certmgr;

import dev.grep11.client.certmgr.AdministratorKeyPair;
import dev.grep11.client.certmgr.CertificateManagerClient;
import dev.grep11.client.certmgr.CertificateManagerException;
import dev.grep11.client.certmgr.CertificateManagerException.Kind;
import dev.grep11.client.certmgr.Change;
import java.util.Optional;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Registers a key whose private half is on disk already. A file goes away again only when its key
 * was certainly not registered: a lost answer must not become a lost key.
 *
 * @param created the files that this run wrote; null for an existing pair
 * @param keyFile for the messages
 */
record KeyRegistration(
    CertificateManagerClient manager,
    AdministratorKeyPair pair,
    @Nullable AdministratorKeyFiles created,
    String keyFile) {
  private static final String MUST_BE_COUNTERSIGNED = "countersignature-needed";

  /**
   * Makes the change.
   *
   * @param countersigning what to say where another administrator must countersign first
   * @return empty when the answer was lost but the key is registered
   */
  Optional<Change> complete(Supplier<Change> change, Supplier<String> countersigning) {
    try {
      return Optional.of(change.get());
    } catch (CertificateManagerException e) {
      if (e.kind() == Kind.UNCERTAIN) {
        if (isRegistered(e)) {
          return Optional.empty();
        }
        // A call that timed out may still arrive.
        throw uncertain(e);
      }
      if (e.reasonWord().equals(MUST_BE_COUNTERSIGNED)) {
        throw new CommandFailure(countersigning.get(), e);
      }
      if (created != null) {
        created.delete();
      }
      throw e;
    }
  }

  private boolean isRegistered(CertificateManagerException lost) {
    try {
      return manager.administratorKey().is(pair);
    } catch (CertificateManagerException e) {
      lost.addSuppressed(e);
      return false;
    }
  }

  private CommandFailure uncertain(CertificateManagerException lost) {
    return new CommandFailure(
        ("%s; it is unknown whether the key of %s (fingerprint %s) was registered, so it is kept:"
                + " see adminkey get")
            .formatted(lost.getMessage(), keyFile, Fingerprint.of(pair)),
        lost);
  }
}
