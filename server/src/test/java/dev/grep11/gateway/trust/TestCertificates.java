package dev.grep11.gateway.trust;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.io.IOException;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.SecureRandom;
import java.security.cert.X509Certificate;
import java.security.interfaces.EdECKey;
import java.security.spec.AlgorithmParameterSpec;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.RSAKeyGenParameterSpec;
import java.security.spec.RSAPublicKeySpec;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Base64;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import javax.security.auth.x500.X500Principal;
import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.ExtendedKeyUsage;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.asn1.x509.GeneralSubtree;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.bouncycastle.asn1.x509.KeyUsage;
import org.bouncycastle.asn1.x509.NameConstraints;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.cert.CertIOException;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.X509v1CertificateBuilder;
import org.bouncycastle.cert.X509v3CertificateBuilder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.OperatorCreationException;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;

/**
 * Certificates for tests, issued in memory: sound ones in one line, and each flaw by one more word.
 *
 * <pre>{@code
 * var ca = TestCertificates.ca("CN=Payments CA").selfSigned();
 * var app = TestCertificates.client("CN=billing").signedBy(ca);
 * var old = TestCertificates.client("CN=billing").expired().signedBy(ca);
 * }</pre>
 */
public final class TestCertificates {
  /** Signs with what the JDK would not, PSS under its X.509 name among it. Not registered. */
  private static final BouncyCastleProvider PROVIDER = new BouncyCastleProvider();

  private static final SecureRandom RANDOM = new SecureRandom();

  private TestCertificates() {}

  /** A certificate and the private key that belongs to it. */
  public record Identity(X509Certificate certificate, PrivateKey privateKey, String signature) {
    /** Writes {@code NAME.pem} and {@code NAME.key} (PKCS #8). */
    public void write(Path directory, String name) throws IOException, GeneralSecurityException {
      Files.writeString(
          directory.resolve(name + ".pem"), pem("CERTIFICATE", certificate.getEncoded()));
      Files.writeString(
          directory.resolve(name + ".key"), pem("PRIVATE KEY", privateKey.getEncoded()));
    }

    public byte[] der() {
      try {
        return certificate.getEncoded();
      } catch (GeneralSecurityException e) {
        throw new IllegalStateException(e);
      }
    }

    @Override
    public String toString() {
      return certificate.getSubjectX500Principal().getName();
    }
  }

  public static String pem(String type, byte[] der) {
    var base64 = Base64.getMimeEncoder(64, "\n".getBytes(US_ASCII)).encodeToString(der);
    return "-----BEGIN " + type + "-----\n" + base64 + "\n-----END " + type + "-----\n";
  }

  /** A CA as it should be: v3, CA:TRUE, keyCertSign and cRLSign, P-256. */
  public static Draft ca(String subject) {
    return new Draft(subject)
        .with(Extension.basicConstraints, true, new BasicConstraints(true))
        .with(Extension.keyUsage, true, new KeyUsage(KeyUsage.keyCertSign | KeyUsage.cRLSign));
  }

  /** A client as it should be: v3, digitalSignature, clientAuth, P-256. */
  public static Draft client(String subject) {
    return new Draft(subject)
        .with(Extension.keyUsage, true, new KeyUsage(KeyUsage.digitalSignature))
        .purpose(KeyPurposeId.id_kp_clientAuth);
  }

  /** A certificate without any extension. */
  public static Draft bare(String subject) {
    return new Draft(subject);
  }

  /** What a certificate will say, until somebody signs it. */
  public static final class Draft {
    private record Value(boolean critical, ASN1Encodable value) {}

    private final String subject;
    private final Map<ASN1ObjectIdentifier, Value> extensions = new LinkedHashMap<>();
    private KeyPair keys = p256();
    private Instant notBefore = Instant.now().minus(1, ChronoUnit.HOURS);
    private Instant notAfter = Instant.now().plus(365, ChronoUnit.DAYS);
    private String signature = "";
    private boolean version1;

    private Draft(String subject) {
      this.subject = subject;
    }

    public Draft keys(KeyPair keys) {
      this.keys = keys;
      return this;
    }

    public Draft with(ASN1ObjectIdentifier name, boolean critical, ASN1Encodable value) {
      extensions.put(name, new Value(critical, value));
      return this;
    }

    public Draft without(ASN1ObjectIdentifier name) {
      extensions.remove(name);
      return this;
    }

    public Draft purpose(KeyPurposeId... purposes) {
      return with(Extension.extendedKeyUsage, false, new ExtendedKeyUsage(purposes));
    }

    public Draft pathLength(int intermediates) {
      return with(Extension.basicConstraints, true, new BasicConstraints(intermediates));
    }

    public Draft dnsName(String name) {
      return with(
          Extension.subjectAlternativeName,
          false,
          new GeneralNames(new GeneralName(GeneralName.dNSName, name)));
    }

    public Draft permits(GeneralName base) {
      return with(
          Extension.nameConstraints,
          true,
          new NameConstraints(new GeneralSubtree[] {new GeneralSubtree(base)}, null));
    }

    public Draft excludes(GeneralName base) {
      return with(
          Extension.nameConstraints,
          true,
          new NameConstraints(null, new GeneralSubtree[] {new GeneralSubtree(base)}));
    }

    public Draft valid(Instant from, Instant until) {
      notBefore = from;
      notAfter = until;
      return this;
    }

    public Draft expired() {
      return valid(Instant.now().minus(Duration.ofDays(9)), Instant.now().minusSeconds(60));
    }

    public Draft notYetValid() {
      return valid(Instant.now().plusSeconds(3600), Instant.now().plus(Duration.ofDays(9)));
    }

    /** Another algorithm than SHA-256 with whatever key the issuer has. */
    public Draft signature(String algorithm) {
      signature = algorithm;
      return this;
    }

    public Draft version1() {
      version1 = true;
      return this;
    }

    public Identity selfSigned() {
      return sign(name(subject), keys.getPrivate());
    }

    public Identity signedBy(Identity issuer) {
      return sign(
          X500Name.getInstance(issuer.certificate().getSubjectX500Principal().getEncoded()),
          issuer.privateKey());
    }

    private Identity sign(X500Name issuer, PrivateKey key) {
      var serial = new BigInteger(64, RANDOM).setBit(63);
      var info = SubjectPublicKeyInfo.getInstance(keys.getPublic().getEncoded());
      var name = name(subject);
      var algorithm = signature.isEmpty() ? usual(key) : signature;
      try {
        var signer = new JcaContentSignerBuilder(algorithm).setProvider(PROVIDER).build(key);
        X509CertificateHolder signed;
        if (version1) {
          signed =
              new X509v1CertificateBuilder(
                      issuer, serial, Date.from(notBefore), Date.from(notAfter), name, info)
                  .build(signer);
        } else {
          var builder =
              new X509v3CertificateBuilder(
                  issuer, serial, Date.from(notBefore), Date.from(notAfter), name, info);
          for (var extension : extensions.entrySet()) {
            builder.addExtension(
                extension.getKey(), extension.getValue().critical(), extension.getValue().value());
          }
          signed = builder.build(signer);
        }
        return new Identity(
            new JcaX509CertificateConverter().getCertificate(signed), keys.getPrivate(), algorithm);
      } catch (OperatorCreationException | CertIOException | GeneralSecurityException e) {
        throw new IllegalStateException(e);
      }
    }
  }

  /** In the order of RFC 2253, last part first: Bouncy Castle would encode it as it is written. */
  private static X500Name name(String text) {
    return X500Name.getInstance(new X500Principal(text).getEncoded());
  }

  static String usual(PrivateKey key) {
    return switch (key.getAlgorithm()) {
      case "RSA" -> "SHA256withRSA";
      case "EC", "ECDSA" -> "SHA256withECDSA";
      default -> ((EdECKey) key).getParams().getName();
    };
  }

  public static KeyPair p256() {
    return keys("EC", new ECGenParameterSpec("secp256r1"));
  }

  public static KeyPair curve(String name) {
    return keys("EC", new ECGenParameterSpec(name));
  }

  /** On secp256k1, a curve of 256 bits that the JDK has not. */
  public static KeyPair koblitz() {
    try {
      var generator = KeyPairGenerator.getInstance("EC", PROVIDER);
      generator.initialize(new ECGenParameterSpec("secp256k1"));
      return generator.generateKeyPair();
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }

  public static KeyPair edwards(String name) {
    try {
      return KeyPairGenerator.getInstance(name).generateKeyPair();
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }

  public static KeyPair rsa(int bits) {
    return keys("RSA", new RSAKeyGenParameterSpec(bits, RSAKeyGenParameterSpec.F4));
  }

  /** A public key of that size which nobody has the private one of: made at once. */
  public static PublicKey rsaModulus(int bits) {
    return rsaModulus(bits, RSAKeyGenParameterSpec.F4.longValueExact());
  }

  static PublicKey rsaModulus(int bits, long exponent) {
    var modulus = new BigInteger(bits, RANDOM).setBit(bits - 1).setBit(0);
    try {
      return KeyFactory.getInstance("RSA")
          .generatePublic(new RSAPublicKeySpec(modulus, BigInteger.valueOf(exponent)));
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }

  private static KeyPair keys(String algorithm, AlgorithmParameterSpec parameters) {
    try {
      var generator = KeyPairGenerator.getInstance(algorithm);
      generator.initialize(parameters);
      return generator.generateKeyPair();
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }

  /** The certificates alone, as a client sends them and as a registry holds them. */
  public static List<X509Certificate> certificates(Identity... identities) {
    return List.of(identities).stream().map(Identity::certificate).toList();
  }

  public static List<X509Certificate> certificates(List<Identity> identities) {
    return certificates(identities.toArray(Identity[]::new));
  }
}
