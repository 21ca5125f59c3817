package dev.grep11.gateway.tls;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.io.IOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.SecureRandom;
import java.security.cert.X509Certificate;
import java.security.spec.ECGenParameterSpec;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.Date;
import java.util.List;
import java.util.Set;
import javax.security.auth.x500.X500Principal;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.ExtendedKeyUsage;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.bouncycastle.asn1.x509.KeyUsage;
import org.bouncycastle.cert.CertIOException;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509ExtensionUtils;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.operator.OperatorCreationException;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;

/**
 * A certificate authority for trying things out on one machine. Its key lies in a file, so what it
 * signs proves nothing to anybody else. Keys are P-256.
 */
public final class DemoCa {
  private static final Duration VALIDITY = Duration.ofDays(825);
  private static final X500Principal NAME = new X500Principal("CN=grep11 demo CA");

  private final KeyPair keys;
  private final X509Certificate certificate;

  private DemoCa(KeyPair keys, X509Certificate certificate) {
    this.keys = keys;
    this.certificate = certificate;
  }

  public static DemoCa create() {
    var keys = p256();
    return new DemoCa(keys, issue(keys, NAME, keys, true, VALIDITY));
  }

  public X509Certificate certificate() {
    return certificate;
  }

  /** A server certificate for this machine's loopback names. */
  public ServerIdentity server() {
    return server(VALIDITY);
  }

  /** The same for some time only. */
  public ServerIdentity server(Duration validity) {
    var own = p256();
    var leaf = issue(keys, new X500Principal("CN=localhost"), own, false, validity);
    return new ServerIdentity(List.of(leaf), own.getPrivate());
  }

  /** Writes {@code ca.pem} and {@code ca.key} (0600), which must not exist yet. */
  public void write(Path directory) throws IOException {
    writePem(directory.resolve("ca.pem"), "rw-r--r--", "CERTIFICATE", encoded(certificate));
    writePem(
        directory.resolve("ca.key"), "rw-------", "PRIVATE KEY", keys.getPrivate().getEncoded());
  }

  /** Writes {@code server.pem} and {@code server.key} (0600), which must not exist yet. */
  public static void write(ServerIdentity identity, Path directory) throws IOException {
    writePem(
        directory.resolve("server.pem"),
        "rw-r--r--",
        "CERTIFICATE",
        encoded(identity.chain().getFirst()));
    writePem(
        directory.resolve("server.key"), "rw-------", "PRIVATE KEY", identity.key().getEncoded());
  }

  private static void writePem(Path file, String mode, String label, byte[] der)
      throws IOException {
    var body = Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(der);
    var pem = "-----BEGIN %s-----\n%s\n-----END %s-----\n".formatted(label, body, label);
    // The mode is given at creation, so that a key is never readable for a moment.
    try (var channel =
        Files.newByteChannel(
            file,
            Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE),
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString(mode)))) {
      channel.write(ByteBuffer.wrap(pem.getBytes(US_ASCII)));
    }
  }

  private static KeyPair p256() {
    try {
      var generator = KeyPairGenerator.getInstance("EC");
      generator.initialize(new ECGenParameterSpec("secp256r1"));
      return generator.generateKeyPair();
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("every JDK has P-256", e);
    }
  }

  private static X509Certificate issue(
      KeyPair issuer, X500Principal subject, KeyPair own, boolean ca, Duration validity) {
    var now = Instant.now();
    // RFC 5280, 4.1.2.2: positive, at most 20 octets.
    var serial = new BigInteger(158, new SecureRandom()).setBit(158);
    try {
      var extensions = new JcaX509ExtensionUtils();
      var builder =
          new JcaX509v3CertificateBuilder(
                  NAME,
                  serial,
                  // Clocks of two programs on one machine differ too, in virtual machines.
                  Date.from(now.minus(Duration.ofMinutes(5))),
                  Date.from(now.plus(validity)),
                  subject,
                  own.getPublic())
              .addExtension(Extension.basicConstraints, true, new BasicConstraints(ca))
              .addExtension(
                  Extension.keyUsage,
                  true,
                  new KeyUsage(
                      ca ? KeyUsage.keyCertSign | KeyUsage.cRLSign : KeyUsage.digitalSignature))
              .addExtension(
                  Extension.subjectKeyIdentifier,
                  false,
                  extensions.createSubjectKeyIdentifier(own.getPublic()))
              .addExtension(
                  Extension.authorityKeyIdentifier,
                  false,
                  extensions.createAuthorityKeyIdentifier(issuer.getPublic()));
      if (!ca) {
        builder
            .addExtension(
                Extension.extendedKeyUsage,
                false,
                new ExtendedKeyUsage(KeyPurposeId.id_kp_serverAuth))
            .addExtension(
                Extension.subjectAlternativeName,
                false,
                new GeneralNames(
                    new GeneralName[] {
                      new GeneralName(GeneralName.dNSName, "localhost"),
                      new GeneralName(GeneralName.iPAddress, "127.0.0.1"),
                      new GeneralName(GeneralName.iPAddress, "::1")
                    }));
      }
      var signer = new JcaContentSignerBuilder("SHA256withECDSA").build(issuer.getPrivate());
      return new JcaX509CertificateConverter().getCertificate(builder.build(signer));
    } catch (GeneralSecurityException | OperatorCreationException | CertIOException e) {
      throw new IllegalStateException("a demo certificate cannot be made", e);
    }
  }

  private static byte[] encoded(X509Certificate certificate) {
    try {
      return certificate.getEncoded();
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("a parsed certificate has an encoding", e);
    }
  }
}
