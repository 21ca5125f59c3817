package dev.grep11.certmgr;

import dev.grep11.client.certmgr.CertificatePem;
import java.nio.file.Path;
import java.security.cert.CertificateEncodingException;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.regex.Pattern;

/**
 * What can be said of a client CA before it is sent. The gateway judges again, and more: this only
 * keeps plain mistakes from being sent and audited.
 */
final class ClientCaFile {
  private static final int MAX_BYTES = 16 * 1024;
  private static final Pattern ID = Pattern.compile("[A-Za-z0-9._-]{1,64}");
  private static final int KEY_CERT_SIGN = 5;

  static X509Certificate read(Path file, Instant now) {
    var certificate = CertificatePem.readOne(file);
    try {
      int length = certificate.getEncoded().length;
      if (length > MAX_BYTES) {
        throw new CommandFailure(
            "%s: %d bytes; a certificate has at most %d".formatted(file, length, MAX_BYTES));
      }
    } catch (CertificateEncodingException e) {
      throw new CommandFailure(file + ": cannot be encoded", e);
    }
    if (certificate.getBasicConstraints() < 0) {
      throw new CommandFailure(
          "%s: not a CA (X.509 v%d without basicConstraints CA:TRUE); register the CA that issued this"
                  .formatted(file, certificate.getVersion())
              + " certificate, not the certificate itself");
    }
    var usage = certificate.getKeyUsage();
    if (usage != null && !usage[KEY_CERT_SIGN]) {
      throw new CommandFailure(file + ": not a CA for certificates (keyUsage without keyCertSign)");
    }
    if (now.isAfter(certificate.getNotAfter().toInstant())) {
      throw new CommandFailure(
          "%s: expired %s".formatted(file, certificate.getNotAfter().toInstant()));
    }
    return certificate;
  }

  static void requireId(String id) {
    if (!ID.matcher(id).matches()) {
      throw new CommandFailure(
          "certificate id \"%s\": 1 to 64 of the characters A-Z a-z 0-9 . _ -".formatted(id));
    }
  }

  private ClientCaFile() {}
}
