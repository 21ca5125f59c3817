package dev.grep11.certmgr;

import picocli.CommandLine.Option;

/** The id of one certificate. */
final class CertificateIdOption {
  @Option(
      names = "--cert-id",
      required = true,
      paramLabel = "CERT_ID",
      description = "id of the certificate: 1 to 64 of A-Z a-z 0-9 . _ -")
  private String id = "";

  String checked() {
    ClientCaFile.requireId(id);
    return id;
  }
}
