package dev.grep11.gateway.certmgr;

import dev.grep11.gateway.certmgr.CommandRefusedException.Reason;
import dev.grep11.gateway.trust.ClientCa;
import java.io.ByteArrayInputStream;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.List;

/** Keys and certificates that callers give: read, or refused as malformed. */
final class Given {
  private static final int LONGEST_CERTIFICATE = 16 * 1024;
  private static final int LONGEST_CHAIN = 8;

  private Given() {}

  static AdministratorKey key(byte[] publicKey) {
    try {
      return AdministratorKey.read(publicKey);
    } catch (IllegalArgumentException e) {
      throw new CommandRefusedException(Reason.MALFORMED, "public key: " + e.getMessage());
    }
  }

  static ClientCa ca(byte[] der, Instant now) {
    requireLength(der);
    try {
      return ClientCa.read(der, now);
    } catch (IllegalArgumentException e) {
      throw new CommandRefusedException(Reason.MALFORMED, "certificate: " + e.getMessage());
    }
  }

  static List<X509Certificate> chain(List<byte[]> chain) {
    if (chain.isEmpty() || chain.size() > LONGEST_CHAIN) {
      throw new CommandRefusedException(
          Reason.MALFORMED, "a client's chain has 1 to %d certificates".formatted(LONGEST_CHAIN));
    }
    return chain.stream().map(Given::x509).toList();
  }

  static X509Certificate x509(byte[] der) {
    requireLength(der);
    try {
      var in = new ByteArrayInputStream(der);
      var certificate = CertificateFactory.getInstance("X.509").generateCertificate(in);
      if (in.available() == 0 && certificate instanceof X509Certificate x509) {
        return x509;
      }
    } catch (CertificateException e) {
      // As for what is no X.509 certificate alone.
    }
    throw new CommandRefusedException(Reason.MALFORMED, "not one X.509 certificate in DER");
  }

  private static void requireLength(byte[] der) {
    if (der.length == 0 || der.length > LONGEST_CERTIFICATE) {
      throw new CommandRefusedException(
          Reason.MALFORMED, "a certificate has 1 to %d bytes".formatted(LONGEST_CERTIFICATE));
    }
  }
}
