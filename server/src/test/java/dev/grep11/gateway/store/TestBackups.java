package dev.grep11.gateway.store;

import java.nio.file.Path;
import java.time.Instant;
import java.util.List;

/** Backups that no program writes any more, or none should. */
public final class TestBackups {
  private TestBackups() {}

  /**
   * Without samples: of format 1 as programs wrote them that made none, of format 2 as one whose
   * master keys were not in the token.
   */
  public static void write(
      int format, Store store, Path target, Envelope envelope, BackupManifest.Token token) {
    try (var made =
        store.backUp(target, false, envelope, token, Instant.now(), _ -> List.of(), format)) {
      made.publish(false);
    }
  }
}
