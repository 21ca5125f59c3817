package dev.grep11.certmgr;

import dev.grep11.client.certmgr.CertificateManagerException;
import dev.grep11.client.certmgr.CertificateManagerException.Kind;
import java.util.function.Supplier;

/** Changes that another administrator's change made outdated. */
final class Repeat {
  /**
   * Looks and signs once more. Not for a deletion: whether one is still wanted may depend on what
   * changed.
   */
  static <T> T onceIfOutdated(Supplier<T> change) {
    try {
      return change.get();
    } catch (CertificateManagerException e) {
      if (e.kind() != Kind.OUTDATED) {
        throw e;
      }
      return change.get();
    }
  }

  private Repeat() {}
}
