package dev.grep11.client.certmgr;

import java.io.ByteArrayInputStream;
import java.nio.file.Path;
import java.security.cert.CertificateEncodingException;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.Arrays;
import java.util.List;

/**
 * Certificates in PEM files, read strictly: nothing but certificates, and each of them exactly one
 * DER value.
 *
 * <p>Every failure is an {@link IllegalArgumentException} that names the file.
 */
public final class CertificatePem {
  private static final String LABEL = "CERTIFICATE";

  /** The only certificate of a file. */
  public static X509Certificate readOne(Path file) {
    var chain = readChain(file);
    if (chain.size() != 1) {
      throw new IllegalArgumentException(
          "%s: holds %d certificates; one certificate is registered under one id, so put each in a"
                  .formatted(file, chain.size())
              + " file of its own");
    }
    return chain.get(0);
  }

  /** All certificates of a file in its order, at least one. */
  public static List<X509Certificate> readChain(Path file) {
    var blocks = PemFile.blocks(file);
    if (blocks.stream().anyMatch(block -> block.label().contains("PRIVATE KEY"))) {
      throw new IllegalArgumentException(
          file
              + ": holds a private key, which must not leave its owner; name a file with the"
              + " certificate only");
    }
    if (blocks.isEmpty()) {
      throw new IllegalArgumentException(
          file + ": no PEM certificate; DER is converted by: openssl x509 -inform DER -in FILE");
    }
    return blocks.stream().map(block -> certificate(file, block)).toList();
  }

  private static X509Certificate certificate(Path file, PemFile.Block block) {
    if (!block.label().equals(LABEL)) {
      throw new IllegalArgumentException(
          "%s: holds a %s, not a certificate".formatted(file, block.label()));
    }
    try {
      var certificate = of(block.der());
      // The factory stops at the end of the first value and ignores what follows it.
      if (!Arrays.equals(certificate.getEncoded(), block.der())) {
        throw new IllegalArgumentException(
            file + ": bytes follow the certificate inside its block");
      }
      return certificate;
    } catch (CertificateException e) {
      throw new IllegalArgumentException(file + ": no X.509 certificate: " + e.getMessage(), e);
    }
  }

  static X509Certificate of(byte[] der) throws CertificateException {
    return (X509Certificate)
        CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(der));
  }

  static byte[] der(X509Certificate certificate) {
    try {
      return certificate.getEncoded();
    } catch (CertificateEncodingException e) {
      throw new IllegalArgumentException("a certificate that cannot be encoded", e);
    }
  }

  /** PEM with lines of 64 characters, ending with a line end. */
  public static String write(X509Certificate certificate) {
    return PemFile.encode(LABEL, der(certificate));
  }

  private CertificatePem() {}
}
