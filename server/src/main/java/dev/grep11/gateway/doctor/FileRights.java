package dev.grep11.gateway.doctor;

import dev.grep11.findings.Findings;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.hsm.PinSource;
import dev.grep11.gateway.iam.IssuerSettings.Jwks;
import dev.grep11.gateway.store.StoreLocation;
import dev.grep11.gateway.trace.TracingSettings;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFileAttributes;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.Set;

/**
 * Who owns the files of a gateway and who else may open them. Whether its secrets are closed is a
 * matter of the configuration, which refuses them.
 */
final class FileRights {
  private static final String CHECK = "files";

  /** Who may write these decides what the gateway runs and trusts. */
  private static final Set<PosixFilePermission> NOT_TO_WRITE =
      PosixFilePermissions.fromString("----w--w-");

  private static final Set<PosixFilePermission> NOT_TO_OPEN =
      PosixFilePermissions.fromString("---rwxrwx");

  private final Findings findings;
  private final String self;
  private final Set<Path> directories = new HashSet<>();
  private int right;
  private int wrong;

  private FileRights(Findings findings, String self) {
    this.findings = findings;
    this.self = self;
  }

  /**
   * Looks at those that are there.
   *
   * @param wrongSettings names of settings whose values are told of already
   */
  static void look(Path file, GatewayConfig config, Faulty wrongSettings, Findings findings) {
    FileRights rights;
    try {
      // The owner of our own process entry is the effective user, whatever user.name says.
      rights =
          new FileRights(
              findings, Files.getOwner(Path.of("/proc/self"), LinkOption.NOFOLLOW_LINKS).getName());
    } catch (IOException e) {
      findings.warning(CHECK, "it is not known whose process this is", "mount /proc");
      return;
    }
    rights.trusted(file);
    if (!wrongSettings.concern("hsm.module")) {
      rights.trusted(config.hsm().module());
    }
    if (config.hsm().pin() instanceof PinSource.FromFile pin) {
      rights.directory(pin.file());
    }
    if (!wrongSettings.concern("tls.certificate")) {
      rights.file(config.certificateChain(), NOT_TO_WRITE);
    }
    if (!wrongSettings.concern("tls.key")) {
      rights.directory(config.certificateKey());
    }
    if (!wrongSettings.concern("store")) {
      rights.file(config.store(), NOT_TO_OPEN);
      rights.file(config.store().resolve("token-keys"), NOT_TO_WRITE);
      switch (config.database()) {
        case StoreLocation.Directory directory ->
            rights.file(directory.path().resolve("store.db"), NOT_TO_OPEN);
        case StoreLocation.Postgresql server -> {
          rights.directory(server.passwordFile());
          server.rootCertificates().ifPresent(rights::trusted);
        }
      }
    }
    for (var issuer : config.issuers()) {
      if (issuer.keys() instanceof Jwks.File keys) {
        rights.trusted(keys.path());
      }
      issuer.caFile().ifPresent(rights::trusted);
    }
    config.revocations().denyFile().ifPresent(rights::trusted);
    for (var list : config.revocations().crls()) {
      rights.trusted(list.ca());
      rights.trusted(list.crl());
    }
    config.tracing().flatMap(TracingSettings::caFile).ifPresent(rights::trusted);
    config
        .audit()
        .file()
        .ifPresent(audit -> {
          rights.file(audit, NOT_TO_OPEN);
          rights.directory(audit);
        });
    if (rights.wrong == 0) {
      findings.good(
          CHECK,
          "%d are closed to others and belong to %s"
              .formatted(
                  rights.right, rights.self.equals("root") ? "root" : rights.self + " or root"));
    }
  }

  private void trusted(Path file) {
    file(file, NOT_TO_WRITE);
    directory(file);
  }

  /** The directory of a file, by whose entry it could be replaced; each is looked at once. */
  private void directory(Path file) {
    var parent = file.toAbsolutePath().normalize().getParent();
    if (parent != null && directories.add(parent)) {
      try {
        int mode = (int) Files.getAttribute(parent, "unix:mode");
        // In one with the sticky bit others cannot replace what is not theirs.
        if ((mode & 01000) == 0) {
          file(parent, NOT_TO_WRITE);
        }
      } catch (IOException _) {
        // That it is not there is told where it is used.
      }
    }
  }

  private void file(Path file, Set<PosixFilePermission> forbidden) {
    PosixFileAttributes attributes;
    try {
      attributes = Files.readAttributes(file, PosixFileAttributes.class);
    } catch (IOException _) {
      return;
    }
    var owner = attributes.owner().getName();
    var open = EnumSet.copyOf(forbidden);
    open.retainAll(attributes.permissions());
    boolean ours = owner.equals(self) || owner.equals("root");
    if (ours && open.isEmpty()) {
      right++;
      return;
    }
    wrong++;
    findings.bad(
        CHECK,
        "%s: owner %s, mode %s; expected owner %s, and %s"
            .formatted(
                file,
                owner,
                PosixFilePermissions.toString(attributes.permissions()),
                self,
                forbidden.equals(NOT_TO_OPEN)
                    ? "no rights of group and others"
                    : "nothing for group and others to write"),
        ours
            ? "chmod %s %s".formatted(forbidden.equals(NOT_TO_OPEN) ? "go=" : "go-w", file)
            : "chown %s %s, or run this as the gateway's user".formatted(self, file));
  }
}
