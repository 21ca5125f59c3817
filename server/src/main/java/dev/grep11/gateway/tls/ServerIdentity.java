package dev.grep11.gateway.tls;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.PrivateKey;
import java.security.SecureRandom;
import java.security.Signature;
import java.security.cert.CertificateExpiredException;
import java.security.cert.CertificateNotYetValidException;
import java.security.cert.CertificateParsingException;
import java.security.cert.X509Certificate;
import java.util.List;
import java.util.Locale;

/**
 * Who the server is: its certificate, the intermediates that lead to a root, and the private key.
 *
 * @param chain leaf first, each issued by the next
 */
public record ServerIdentity(List<X509Certificate> chain, PrivateKey key) {

  private static final int DNS_NAME = 2;
  private static final int IP_ADDRESS = 7;

  public ServerIdentity {
    chain = List.copyOf(chain);
  }

  /**
   * Reads and checks an identity.
   *
   * @throws IdentityException naming the file and what is wrong
   */
  public static ServerIdentity read(Path chainFile, Path keyFile) throws IdentityException {
    return of(chainFile, bytes(chainFile), keyFile, bytes(keyFile));
  }

  /**
   * The certificates of a file as they are there, which need not be a chain.
   *
   * @throws IdentityException when it cannot be read, or holds none
   */
  public static List<X509Certificate> certificates(Path file) throws IdentityException {
    return PemFiles.certificates(file, bytes(file));
  }

  /**
   * The private key of a file.
   *
   * @throws IdentityException when it cannot be read, or holds none that TLS here uses
   */
  public static PrivateKey key(Path file) throws IdentityException {
    return PemFiles.privateKey(file, bytes(file));
  }

  static ServerIdentity of(Path chainFile, byte[] chainPem, Path keyFile, byte[] keyPem)
      throws IdentityException {
    var chain = PemFiles.certificates(chainFile, chainPem);
    var key = PemFiles.privateKey(keyFile, keyPem);
    checkOrder(chainFile, chain);
    checkValidity(chainFile, chain);
    if (!belongTogether(chain.getFirst(), key)) {
      throw new IdentityException(
          "%s is not the key of the first certificate in %s; name the pair that belongs together by tls.key and tls.certificate"
              .formatted(keyFile, chainFile));
    }
    return new ServerIdentity(chain, key);
  }

  static byte[] bytes(Path file) throws IdentityException {
    try {
      return Files.readAllBytes(file);
    } catch (IOException e) {
      throw new IdentityException(file + " cannot be read: " + e.getClass().getSimpleName(), e);
    }
  }

  private static void checkOrder(Path file, List<X509Certificate> chain) throws IdentityException {
    for (int i = 0; i + 1 < chain.size(); i++) {
      try {
        chain.get(i).verify(chain.get(i + 1).getPublicKey());
      } catch (GeneralSecurityException e) {
        throw new IdentityException(
            "%s is out of order: certificate %d was not issued by certificate %d%s"
                .formatted(file, i + 1, i + 2, PemFiles.CHAIN));
      }
    }
  }

  private static void checkValidity(Path file, List<X509Certificate> chain)
      throws IdentityException {
    for (var certificate : chain) {
      var subject = certificate.getSubjectX500Principal().getName();
      try {
        certificate.checkValidity();
      } catch (CertificateExpiredException e) {
        throw new IdentityException(
            "certificate \"%s\" in %s expired %s; have it renewed"
                .formatted(subject, file, certificate.getNotAfter().toInstant()));
      } catch (CertificateNotYetValidException e) {
        throw new IdentityException(
            "certificate \"%s\" in %s is not valid before %s; if that is past, this host's clock is wrong"
                .formatted(subject, file, certificate.getNotBefore().toInstant()));
      }
    }
  }

  /** Its DNS names and IP addresses (RFC 5280, 4.2.1.6); none where they cannot be read. */
  public static List<String> names(X509Certificate leaf) {
    try {
      var names = leaf.getSubjectAlternativeNames();
      return names == null
          ? List.of()
          : names.stream()
              .filter(name -> name.get(0).equals(DNS_NAME) || name.get(0).equals(IP_ADDRESS))
              .map(name -> String.valueOf(name.get(1)))
              .toList();
    } catch (CertificateParsingException e) {
      return List.of();
    }
  }

  /** Of these hosts, those that a client would not accept it for. */
  public static List<String> missing(X509Certificate leaf, List<String> hosts) {
    var names = names(leaf).stream().map(name -> name.toLowerCase(Locale.ROOT)).toList();
    return hosts.stream().filter(host -> !covers(names, host.toLowerCase(Locale.ROOT))).toList();
  }

  /** RFC 9525, 6.3: a wildcard stands for the whole leftmost label. */
  private static boolean covers(List<String> names, String host) {
    int dot = host.indexOf('.');
    return names.contains(host) || (dot > 0 && names.contains("*" + host.substring(dot)));
  }

  /** By a signature, which is the one question that all key types answer. */
  public static boolean belongTogether(X509Certificate leaf, PrivateKey key) {
    var algorithm =
        switch (key.getAlgorithm()) {
          case "RSA" -> "SHA256withRSA";
          case "EC" -> "SHA256withECDSA";
          default -> "Ed25519";
        };
    var challenge = new byte[32];
    new SecureRandom().nextBytes(challenge);
    try {
      var signer = Signature.getInstance(algorithm);
      signer.initSign(key);
      signer.update(challenge);
      var signature = signer.sign();
      var verifier = Signature.getInstance(algorithm);
      verifier.initVerify(leaf.getPublicKey());
      verifier.update(challenge);
      return verifier.verify(signature);
    } catch (GeneralSecurityException e) {
      return false;
    }
  }

  @Override
  public String toString() {
    return "ServerIdentity[" + chain.getFirst().getSubjectX500Principal().getName() + "]";
  }
}
