package dev.grep11.certmgr;

import dev.grep11.client.certmgr.AdministratorKey;
import dev.grep11.client.certmgr.AdministratorKeyPair;
import dev.grep11.client.certmgr.CertificateManagerClient;
import dev.grep11.client.certmgr.CertificateManagerException;
import dev.grep11.client.certmgr.Change;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * A command of the certificate manager, in two halves: {@link #prepare} checks all that can be
 * checked here, and only then is anything sent.
 */
abstract class ServiceCommand implements Callable<Integer> {
  final Surroundings surroundings;

  @Mixin final ServiceOptions service = new ServiceOptions();

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "this text")
  boolean help;

  ServiceCommand(Surroundings surroundings) {
    this.surroundings = surroundings;
  }

  /** Checks arguments and files. */
  void prepare() {}

  /** Does it; the connection is there. */
  abstract int run(CertificateManagerClient manager, Printout printout);

  @Override
  public final Integer call() {
    prepare();
    var connection = service.connection(surroundings);
    Logs.silence();
    var printout = service.printout(surroundings);
    printout.connecting(connection.address());
    surroundings.out().flush();
    try (var manager = new CertificateManagerClient(connection, service.crn().instance())) {
      return run(manager, printout);
    }
  }

  /** What the administrator's next command must say, if this pair may sign it. */
  AdministratorKey registered(
      CertificateManagerClient manager, AdministratorKeyPair pair, KeyOptions key) {
    var seen = manager.administratorKey();
    if (!seen.isRegistered()) {
      throw new CommandFailure(
          "no administrator key is registered for %s; run: %s adminkey set --crn %s"
              .formatted(seen.subject(), surroundings.name(), service.crn().text()));
    }
    if (!seen.is(pair)) {
      throw new CommandFailure(
          "signature rejected: %s (fingerprint %s) is not the registered key (fingerprint %s);"
                  .formatted(
                      key.file(), Fingerprint.of(pair), Fingerprint.ofPublicKey(seen.publicKey()))
              + " nothing was changed");
    }
    return seen;
  }

  /** Tells what of a change is not part of the documented output. */
  void tellAside(Change change, Printout printout) {
    change.notes().forEach(note -> printout.aside("note: " + note));
    if (!change.outstanding().isEmpty()) {
      printout.aside(
          "note: gateways that have not confirmed the change: %s; it binds everywhere by %s"
              .formatted(String.join(", ", change.outstanding()), change.binding()));
    }
    if (!change.adoptedBy().isEmpty()) {
      printout.aside("note: the certificates were handed over to " + change.adoptedBy());
    }
  }

  static Map<String, Object> fields(Change change) {
    var fields = new LinkedHashMap<String, Object>();
    fields.put("generation", change.generation());
    fields.put("locked", change.locked());
    fields.put("ownCertificates", change.own());
    fields.put("otherCertificates", change.others());
    fields.put("confirmed", change.confirmed());
    fields.put("outstanding", change.outstanding());
    fields.put("binding", change.binding().toString());
    fields.put("notes", change.notes());
    fields.put("adoptedBy", change.adoptedBy());
    return fields;
  }

  /** The state of the lock in words, for an administrator who sees only certificates of his own. */
  static String lock(int others, boolean locked) {
    return "other administrators hold %d certificate%s; mutual TLS is %s for this instance"
        .formatted(others, others == 1 ? "" : "s", locked ? "on" : "off");
  }

  static CertificateManagerException named(
      CertificateManagerException failure, String certificateId) {
    if (failure.kind() == CertificateManagerException.Kind.NOT_FOUND) {
      throw new CommandFailure(
          "certificate \"%s\": not found among the certificates that you manage"
              .formatted(certificateId),
          failure);
    }
    return failure;
  }

  final Instant now() {
    return surroundings.clock().instant();
  }
}
