package dev.grep11.certmgr;

import dev.grep11.client.certmgr.CertificatePem;
import java.io.ByteArrayInputStream;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
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
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.jspecify.annotations.Nullable;

/** Certificates made in memory, self-signed, as PEM files. */
final class TestPki {
  private TestPki() {}

  record Identity(Path certificate, Path key, X509Certificate x509, KeyPair pair) {}

  /** A CA that is valid for so long from now; negative for one that expired. */
  static Identity ca(Path directory, String name, Duration validity) throws Exception {
    return issued(directory, name, validity, true, null);
  }

  static Identity leaf(Path directory, String name) throws Exception {
    return issued(directory, name, Duration.ofDays(365), false, null);
  }

  /** A client of the CA. */
  static Identity client(Path directory, String name, Identity ca) throws Exception {
    return issued(directory, name, Duration.ofDays(30), false, ca);
  }

  private static Identity issued(
      Path directory, String name, Duration validity, boolean authority, @Nullable Identity issuer)
      throws Exception {
    var generator = KeyPairGenerator.getInstance("EC");
    generator.initialize(new ECGenParameterSpec("secp256r1"));
    KeyPair pair = generator.generateKeyPair();
    var now = Instant.now();
    var subject = new X500Name("CN=" + name);
    var builder =
        new JcaX509v3CertificateBuilder(
            issuer == null
                ? subject
                : X500Name.getInstance(issuer.x509.getSubjectX500Principal().getEncoded()),
            new BigInteger(64, new SecureRandom()),
            Date.from(now.minus(Duration.ofDays(400))),
            Date.from(now.plus(validity)),
            subject,
            pair.getPublic());
    builder.addExtension(Extension.basicConstraints, true, new BasicConstraints(authority));
    if (!authority) {
      builder.addExtension(
          Extension.subjectAlternativeName,
          false,
          new GeneralNames(new GeneralName(GeneralName.dNSName, "localhost")));
    }
    var certificate =
        (X509Certificate)
            CertificateFactory.getInstance("X.509")
                .generateCertificate(
                    new ByteArrayInputStream(
                        builder
                            .build(
                                new JcaContentSignerBuilder("SHA256withECDSA")
                                    .build((issuer == null ? pair : issuer.pair).getPrivate()))
                            .getEncoded()));
    var identity =
        new Identity(
            directory.resolve(name + ".pem"), directory.resolve(name + ".key"), certificate, pair);
    Files.writeString(identity.certificate, CertificatePem.write(certificate));
    Files.writeString(
        identity.key,
        "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n"
            .formatted(
                Base64.getMimeEncoder(64, new byte[] {'\n'})
                    .encodeToString(pair.getPrivate().getEncoded())));
    return identity;
  }
}
