package dev.grep11.gateway.tls;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.StringReader;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.List;
import org.bouncycastle.asn1.edec.EdECObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.x9.X9ObjectIdentifiers;
import org.bouncycastle.openssl.PEMEncryptedKeyPair;
import org.bouncycastle.openssl.PEMKeyPair;
import org.bouncycastle.openssl.PEMParser;
import org.bouncycastle.pkcs.PKCS8EncryptedPrivateKeyInfo;

/** PEM as people have it: RFC 7468 certificates; keys in PKCS #1, SEC 1 or PKCS #8 form. */
final class PemFiles {
  static final String CHAIN =
      "; it is to be PEM, the server's certificate first, and behind each the one that issued it";

  private PemFiles() {}

  static List<X509Certificate> certificates(Path file, byte[] pem) throws IdentityException {
    try {
      var found = new ArrayList<X509Certificate>();
      for (var certificate :
          CertificateFactory.getInstance("X.509")
              .generateCertificates(new ByteArrayInputStream(pem))) {
        found.add((X509Certificate) certificate);
      }
      if (found.isEmpty()) {
        throw new IdentityException(file + " holds no certificate" + CHAIN);
      }
      return List.copyOf(found);
    } catch (GeneralSecurityException e) {
      throw new IdentityException(file + " is not a chain of PEM certificates" + CHAIN, e);
    }
  }

  /**
   * The first private key of the file; EC parameters before it, as OpenSSL writes them, do not
   * hurt.
   */
  static PrivateKey privateKey(Path file, byte[] pem) throws IdentityException {
    try (var parser = new PEMParser(new StringReader(new String(pem, US_ASCII)))) {
      for (Object part; (part = parser.readObject()) != null; ) {
        switch (part) {
          case PEMKeyPair pair -> {
            return jdkKey(file, pair.getPrivateKeyInfo());
          }
          case PrivateKeyInfo key -> {
            return jdkKey(file, key);
          }
          case PEMEncryptedKeyPair _, PKCS8EncryptedPrivateKeyInfo _ ->
              throw new IdentityException(
                  "%s is encrypted; the gateway needs the key without a passphrase, as it is written by: openssl pkey -in %s"
                      .formatted(file, file));
          default -> {}
        }
      }
    } catch (IOException | RuntimeException e) {
      // The cause may quote what it could not read, which is a private key.
      throw new IdentityException(
          "%s cannot be read as PEM; put a whole copy there, which does not fail with: openssl pkey -in %s -noout"
              .formatted(file, file));
    }
    throw new IdentityException(
        file + " holds no private key; it is to be PEM, as it is written by: openssl genpkey");
  }

  private static PrivateKey jdkKey(Path file, PrivateKeyInfo info) throws IdentityException {
    var oid = info.getPrivateKeyAlgorithm().getAlgorithm();
    String algorithm;
    if (oid.equals(PKCSObjectIdentifiers.rsaEncryption)) {
      algorithm = "RSA";
    } else if (oid.equals(X9ObjectIdentifiers.id_ecPublicKey)) {
      algorithm = "EC";
    } else if (oid.equals(EdECObjectIdentifiers.id_Ed25519)) {
      algorithm = "Ed25519";
    } else {
      throw new IdentityException(file + " holds a key of an algorithm that TLS here does not use");
    }
    try {
      return KeyFactory.getInstance(algorithm)
          .generatePrivate(new PKCS8EncodedKeySpec(info.getEncoded()));
    } catch (GeneralSecurityException | IOException e) {
      throw new IdentityException(file + " holds no usable " + algorithm + " key");
    }
  }
}
