package dev.grep11.gateway.host;

import dev.grep11.gateway.audit.AuditHead;
import dev.grep11.gateway.audit.AuditLog;
import dev.grep11.gateway.store.AuditHeadRecord;
import dev.grep11.gateway.store.Snapshot;
import dev.grep11.gateway.store.Store;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/** The last checkpoints of audit files, as the store keeps them. */
public final class AuditHeads {
  private AuditHeads() {}

  public static List<AuditHead> known(Snapshot snapshot) {
    return snapshot.auditHeads().stream().map(AuditHeads::head).toList();
  }

  /**
   * Keeps a checkpoint. Earlier ones of the same file go when the file still has them: the chain of
   * this one then covers them. One that the file has no more stays, since it is the evidence.
   */
  public static void put(Store.Change change, AuditHead head) {
    for (var earlier : change.snapshot().auditHeads()) {
      if (earlier.file().equals(head.file())
          && !earlier.source().equals(head.source())
          && isHeld(earlier)) {
        change.remove(earlier);
      }
    }
    change.put(
        new AuditHeadRecord(
            head.file(),
            head.source(),
            head.path(),
            head.sequence(),
            head.chain(),
            head.offset(),
            head.time(),
            head.closing()));
  }

  private static boolean isHeld(AuditHeadRecord earlier) {
    try {
      return AuditLog.holds(Path.of(earlier.path()), head(earlier));
    } catch (IOException _) {
      return false;
    }
  }

  private static AuditHead head(AuditHeadRecord kept) {
    return new AuditHead(
        kept.file(),
        kept.path(),
        kept.source(),
        kept.sequence(),
        kept.chain(),
        kept.offset(),
        kept.time(),
        kept.closing());
  }
}
