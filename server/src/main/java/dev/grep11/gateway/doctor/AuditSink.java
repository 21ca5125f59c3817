package dev.grep11.gateway.doctor;

import dev.grep11.findings.Findings;
import dev.grep11.gateway.audit.AuditLog;
import dev.grep11.gateway.audit.AuditVerification;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.config.IoCause;
import dev.grep11.gateway.host.AuditHeads;
import dev.grep11.gateway.store.Snapshot;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.Optional;

/** Where events go. Opens nothing for writing: a gateway that runs holds the file. */
final class AuditSink {
  private static final String CHECK = "audit file";
  private static final String CHAIN = "audit chain";
  private static final long MIB = 1024 * 1024;
  private static final long NO_SPACE = 64 * MIB;
  private static final long LITTLE_SPACE = 1024 * MIB;

  /** Some ten thousand events, which are read in less than a second. */
  private static final long TAIL = 4 * MIB;

  private final GatewayConfig config;
  private final Surroundings surroundings;
  private final Findings findings;

  private AuditSink(GatewayConfig config, Surroundings surroundings, Findings findings) {
    this.config = config;
    this.surroundings = surroundings;
    this.findings = findings;
  }

  /**
   * Looks.
   *
   * @param snapshot with the last checkpoints of audit files, where the store could be read
   */
  static void look(
      GatewayConfig config,
      Faulty faulty,
      Surroundings surroundings,
      Optional<Snapshot> snapshot,
      Findings findings) {
    if (faulty.concern("audit")) {
      findings.warning(CHECK, "not checked", "correct the section audit first");
      return;
    }
    var file = config.audit().file();
    if (file.isEmpty()) {
      findings.good(CHECK, "events go to standard output");
      return;
    }
    var sink = new AuditSink(config, surroundings, findings);
    if (sink.writable(file.get())) {
      sink.writer(file.get());
      sink.space(file.get());
      sink.chain(file.get(), snapshot);
      sink.chain(AuditLog.commandsFile(file.get()), Optional.empty());
    }
  }

  private boolean writable(Path file) {
    var directory = file.toAbsolutePath().getParent();
    if (directory == null || !Files.isDirectory(directory)) {
      findings.bad(
          CHECK,
          "%s: the directory %s is not there".formatted(file, directory),
          "make it, owner the gateway's user, mode rwx------");
      return false;
    }
    boolean there = Files.exists(file, LinkOption.NOFOLLOW_LINKS);
    if (there && !Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)) {
      findings.bad(
          CHECK, file + " is no regular file", "name another by audit.file, or move it away");
      return false;
    }
    if (!Files.isWritable(there ? file : directory)) {
      findings.bad(
          CHECK,
          "%s cannot be written by this user".formatted(there ? file : directory),
          "chown it to the gateway's user; see that the file system is not mounted read-only");
      return false;
    }
    if (!AuditLog.isLockable(file)) {
      findings.bad(
          CHECK,
          "%s.lock beside it cannot be made or written by this user".formatted(file),
          "let the gateway's user write in its directory");
      return false;
    }
    findings.good(CHECK, there ? file + " can be written" : file + " will be made at start");
    return true;
  }

  /** A gateway of this configuration is called by its address. */
  private void writer(Path file) {
    if (config.listen().portBase() == 0) {
      return;
    }
    var own = config.listen().crypto();
    var name = own.getAddress().getHostAddress() + ":" + own.getPort() + " ";
    try {
      AuditLog.writer(file)
          .filter(writer -> !writer.startsWith(name))
          .ifPresent(writer ->
              findings.bad(
                  CHECK,
                  "%s is written by another gateway, %s".formatted(file, printable(writer)),
                  "give each gateway an audit.file of its own"));
    } catch (IOException e) {
      findings.warning(
          CHECK, "it is not known who writes it: " + IoCause.of(e), "look by fuser " + file);
    }
  }

  private static String printable(String text) {
    return text.replaceAll("[^ -~]", "?");
  }

  private void space(Path file) {
    var check = "audit space";
    var directory = file.toAbsolutePath().getParent();
    if (directory == null) {
      return;
    }
    try {
      long left = surroundings.space().left(directory);
      boolean blocks =
          config.audit().whenFull() == dev.grep11.gateway.audit.AuditSettings.WhenFull.BLOCK;
      var full =
          blocks ? "every call is refused when it is full" : "events are lost when it is full";
      var remedy =
          "make room on its file system, and have the file rotated (operations-reference.md, Audit)";
      if (left < NO_SPACE) {
        findings.bad(check, "%d MiB are left, and %s".formatted(left / MIB, full), remedy);
      } else if (left < LITTLE_SPACE) {
        findings.warning(check, "%d MiB are left, and %s".formatted(left / MIB, full), remedy);
      } else {
        findings.good(check, "%d MiB are left".formatted(left / MIB));
      }
    } catch (IOException e) {
      findings.warning(
          check, "it is not known how much is left: " + e.getMessage(), "look by df " + directory);
    }
  }

  private void chain(Path file, Optional<Snapshot> snapshot) {
    if (!Files.exists(file)) {
      return;
    }
    try {
      int before = findings.all().size();
      for (var finding : AuditVerification.verifyTail(file, TAIL)) {
        findings.bad(
            CHAIN,
            "%s is not as it was written: %s".formatted(file, finding.what()),
            "keep it as evidence, and look at all of it: grep11 audit verify");
        break;
      }
      if (snapshot.isPresent()) {
        missing(file, snapshot.get());
      }
      if (findings.all().size() == before) {
        findings.good(
            CHAIN,
            Files.size(file) > TAIL
                ? "%s is unbroken over its last %d MiB".formatted(file, TAIL / MIB)
                : "%s is unbroken".formatted(file));
      }
    } catch (IOException e) {
      findings.bad(
          CHAIN,
          "%s cannot be read: %s".formatted(file, e.getMessage()),
          "have it belong to the gateway's user");
    }
  }

  private void missing(Path file, Snapshot snapshot) throws IOException {
    for (var head : AuditLog.missing(file, AuditHeads.known(snapshot))) {
      findings.bad(
          CHAIN,
          "%s lacks the checkpoint of %s that the store knows: its end was cut off, or changed"
              .formatted(file, head.time()),
          "keep it as evidence, and look at all of it: grep11 audit verify");
    }
  }
}
