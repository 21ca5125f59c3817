package dev.grep11.client;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.SecureRandom;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.ECGenParameterSpec;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.Date;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.operator.OperatorCreationException;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;

/** A certificate authority in memory whose certificates and keys lie as PEM in a directory. */
final class TestAuthority {
  record Identity(Path certificate, Path key, PrivateKey privateKey, X509Certificate x509) {}

  private final Path directory;
  private final String name;
  private final java.security.KeyPair pair = ecPair();
  private final X509Certificate certificate;

  TestAuthority(Path directory, String name) throws Exception {
    this.directory = directory;
    this.name = name;
    this.certificate = issue(name, pair, true);
    Files.writeString(ca(), pem("CERTIFICATE", certificate.getEncoded()));
  }

  Path ca() {
    return directory.resolve(name + "-ca.pem");
  }

  Identity issue(String subject) throws Exception {
    var keys = ecPair();
    var leaf = issue(subject, keys, false);
    var identity =
        new Identity(
            directory.resolve(name + "-" + subject + ".pem"),
            directory.resolve(name + "-" + subject + ".key"),
            keys.getPrivate(),
            leaf);
    Files.writeString(identity.certificate, pem("CERTIFICATE", leaf.getEncoded()));
    Files.writeString(identity.key, pem("PRIVATE KEY", keys.getPrivate().getEncoded()));
    return identity;
  }

  static String pem(String label, byte[] der) {
    return "-----BEGIN %s-----\n%s\n-----END %s-----\n"
        .formatted(label, Base64.getMimeEncoder().encodeToString(der), label);
  }

  private X509Certificate issue(String subject, java.security.KeyPair keys, boolean authority)
      throws GeneralSecurityException, IOException, OperatorCreationException {
    var now = Instant.now();
    var builder =
        new JcaX509v3CertificateBuilder(
            new X500Name("CN=" + name),
            new BigInteger(64, new SecureRandom()),
            Date.from(now.minusSeconds(60)),
            Date.from(now.plus(Duration.ofHours(1))),
            new X500Name("CN=" + subject),
            keys.getPublic());
    builder.addExtension(Extension.basicConstraints, true, new BasicConstraints(authority));
    if (!authority) {
      builder.addExtension(
          Extension.subjectAlternativeName,
          false,
          new GeneralNames(
              new GeneralName[] {
                new GeneralName(GeneralName.dNSName, "localhost"),
                new GeneralName(GeneralName.iPAddress, "127.0.0.1")
              }));
    }
    byte[] der =
        builder
            .build(new JcaContentSignerBuilder("SHA256withECDSA").build(pair.getPrivate()))
            .getEncoded();
    return (X509Certificate)
        CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(der));
  }

  static java.security.KeyPair ecPair() {
    try {
      var generator = KeyPairGenerator.getInstance("EC");
      generator.initialize(new ECGenParameterSpec("secp256r1"));
      return generator.generateKeyPair();
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }
}
