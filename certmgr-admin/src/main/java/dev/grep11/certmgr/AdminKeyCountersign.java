package dev.grep11.certmgr;

import dev.grep11.client.certmgr.AdministratorKeyPair;
import dev.grep11.client.certmgr.CertificateManagerClient;
import java.util.HexFormat;
import java.util.Locale;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
    name = "countersign",
    description = {
      "Allows another administrator to register a first key.",
      "Compare the fingerprint with its owner by another way than the one it came."
    })
final class AdminKeyCountersign extends ServiceCommand {
  @Mixin private final KeyOptions key = new KeyOptions();

  @Option(
      names = "--fingerprint",
      required = true,
      paramLabel = "SHA256",
      description = "of the other's public key, 64 hexadecimal digits, as adminkey set told it")
  private String fingerprint = "";

  @Option(
      names = "--subject",
      required = true,
      paramLabel = "SUBJECT",
      description = "the other administrator")
  private String subject = "";

  @Option(
      names = "--issuer",
      paramLabel = "URL",
      description = "of the other's tokens; default: that of yours")
  private @Nullable String issuer;

  private @Nullable AdministratorKeyPair pair;
  private byte[] digest = {};

  AdminKeyCountersign(Surroundings surroundings) {
    super(surroundings);
  }

  @Override
  void prepare() {
    var digits = fingerprint.replace(":", "").toLowerCase(Locale.ROOT);
    if (!digits.matches("[0-9a-f]{64}")) {
      throw new CommandFailure(
          "--fingerprint is a SHA-256 of 64 hexadecimal digits, not \"" + fingerprint + "\"");
    }
    digest = HexFormat.of().parseHex(digits);
    pair = key.read(surroundings);
  }

  @Override
  int run(CertificateManagerClient manager, Printout printout) {
    var signer = Objects.requireNonNull(pair, "prepared");
    var change =
        Repeat.onceIfOutdated(() -> {
          var seen = registered(manager, signer, key);
          return manager.execute(
              manager
                  .signedBy(signer, seen)
                  .countersign(issuer == null ? seen.issuer() : issuer, subject, digest));
        });
    tellAside(change, printout);
    printout.completed(fields(change));
    return 0;
  }
}
