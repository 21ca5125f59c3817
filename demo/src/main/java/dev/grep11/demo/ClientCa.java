package dev.grep11.demo;

import java.io.IOException;
import java.nio.file.Path;

/**
 * A client CA that openssl makes, and one client of it, as docs/certificate-manager.md tells; on
 * curves, which take no time.
 */
record ClientCa(Path ca, Path clientCertificate, Path clientKey) {

  /** Makes the files in a directory. */
  static ClientCa in(Path directory) throws IOException, InterruptedException {
    openssl(
        directory,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
            + " -subj /O=Demo/CN=Demo-CA -keyout ca.key -out ca.pem");
    openssl(
        directory,
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
            + " -subj /O=Demo/CN=payments-1 -keyout client.key -out client.csr");
    openssl(
        directory,
        "x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1"
            + " -out client.pem");
    return new ClientCa(
        directory.resolve("ca.pem"),
        directory.resolve("client.pem"),
        directory.resolve("client.key"));
  }

  private static void openssl(Path directory, String arguments)
      throws IOException, InterruptedException {
    var outcome = Openssl.run(directory, arguments.split(" ", -1));
    if (outcome.exitCode() != 0) {
      throw new IOException(outcome.command() + " said: " + outcome.output());
    }
  }
}
