package dev.grep11.gateway.trust;

import java.io.ByteArrayInputStream;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.time.Instant;

/** A certificate that may be registered as a client CA. */
public record ClientCa(X509Certificate certificate) {

  /**
   * Reads and judges what an administrator wants to register.
   *
   * @param der one certificate, nothing after it, encoded as DER demands
   * @throws IllegalArgumentException saying what is wrong with it, in words for that administrator
   */
  public static ClientCa read(byte[] der, Instant now) {
    try {
      var certificate =
          (X509Certificate)
              CertificateFactory.getInstance("X.509")
                  .generateCertificate(new ByteArrayInputStream(der));
      if (certificate.getBasicConstraints() < 0) {
        throw new IllegalArgumentException("not a CA certificate: basicConstraints lack CA:TRUE");
      }
      return new ClientCa(certificate);
    } catch (CertificateException e) {
      throw new IllegalArgumentException("not an X.509 certificate in DER", e);
    }
  }
}
