package dev.grep11.client;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.SignatureException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.regex.Pattern;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.TrustManager;

/**
 * Certificates and private keys from PEM files (RFC 7468). Keys may be PKCS #8, PKCS #1 or SEC 1.
 *
 * <p>Every failure is an {@link IllegalArgumentException} that names the file.
 */
final class Pem {
  private static final Pattern BLOCK =
      Pattern.compile("-----BEGIN ([A-Z0-9 ]+)-----([^-]+)-----END \\1-----");
  private static final byte[] VERSION_0 = Der.encode(Der.INTEGER, new byte[1]);
  private static final byte[] RSA_ENCRYPTION = {
    0x06,
    0x09,
    0x2a,
    (byte) 0x86,
    0x48,
    (byte) 0x86,
    (byte) 0xf7,
    0x0d,
    0x01,
    0x01,
    0x01,
    0x05,
    0x00
  };
  private static final byte[] EC_PUBLIC_KEY = {
    0x06, 0x07, 0x2a, (byte) 0x86, 0x48, (byte) 0xce, 0x3d, 0x02, 0x01
  };

  private record Block(String label, byte[] der) {}

  /** Trust in the certificates of the file and in nothing else. */
  static TrustManager[] trust(Path file) {
    try {
      var store = emptyStore();
      int number = 0;
      for (X509Certificate certificate : certificates(file)) {
        store.setCertificateEntry("ca" + number++, certificate);
      }
      return ExplainedTrust.in(file.toString(), store);
    } catch (IOException | GeneralSecurityException e) {
      throw unusable(file, e);
    }
  }

  /** A client's identity: its certificate, intermediates after it, and the private key. */
  static KeyManager[] identity(Path certificateFile, Path keyFile) {
    try {
      List<X509Certificate> chain = certificates(certificateFile);
      var key = privateKey(keyFile);
      requirePair(certificateFile, chain.get(0), keyFile, key);
      var store = emptyStore();
      // The store never leaves memory, so its password protects nothing.
      char[] password = new char[0];
      store.setKeyEntry("client", key, password, chain.toArray(new X509Certificate[0]));
      var factory = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
      factory.init(store, password);
      return factory.getKeyManagers();
    } catch (IOException | GeneralSecurityException e) {
      throw unusable(certificateFile, e);
    }
  }

  static PrivateKey privateKey(Path file) {
    for (Block block : blocks(file)) {
      switch (block.label) {
        case "PRIVATE KEY" -> {
          return pkcs8(file, block.der);
        }
        case "RSA PRIVATE KEY" -> {
          return pkcs8(file, wrap(Der.encode(Der.SEQUENCE, RSA_ENCRYPTION), block.der));
        }
        case "EC PRIVATE KEY" -> {
          return pkcs8(file, sec1(block.der));
        }
        case "ENCRYPTED PRIVATE KEY" ->
            throw new IllegalArgumentException(
                file
                    + ": the private key is encrypted; write it without a passphrase, readable by"
                    + " this user only: openssl pkcs8 -in FILE -out NEW");
        default -> {
          // Files of openssl hold parameters or certificates before the key.
        }
      }
    }
    throw new IllegalArgumentException(file + ": no private key");
  }

  /** Told here, since in the handshake the server could only say that the signature is wrong. */
  private static void requirePair(
      Path certificateFile, X509Certificate certificate, Path keyFile, PrivateKey key)
      throws GeneralSecurityException {
    boolean pair = false;
    if (certificate.getPublicKey().getAlgorithm().equals(key.getAlgorithm())) {
      var algorithm =
          switch (key.getAlgorithm()) {
            case "RSA" -> "SHA256withRSA";
            case "EC" -> "SHA256withECDSA";
            default -> "EdDSA";
          };
      var signature = Signature.getInstance(algorithm);
      byte[] probe = {1};
      signature.initSign(key);
      signature.update(probe);
      byte[] signed = signature.sign();
      signature.initVerify(certificate.getPublicKey());
      signature.update(probe);
      try {
        pair = signature.verify(signed);
      } catch (SignatureException ofAnotherSize) {
        pair = false;
      }
    }
    if (!pair) {
      throw new IllegalArgumentException(
          "%s: not the private key of the first certificate in %s (\"%s\"); the client's own"
                  .formatted(keyFile, certificateFile, certificate.getSubjectX500Principal())
              + " certificate comes first, intermediates after it");
    }
  }

  private static List<X509Certificate> certificates(Path file) {
    var certificates = new ArrayList<X509Certificate>();
    try {
      var factory = CertificateFactory.getInstance("X.509");
      for (Block block : blocks(file)) {
        if (block.label.equals("CERTIFICATE")) {
          certificates.add(
              (X509Certificate) factory.generateCertificate(new ByteArrayInputStream(block.der)));
        }
      }
    } catch (GeneralSecurityException e) {
      throw unusable(file, e);
    }
    if (certificates.isEmpty()) {
      throw new IllegalArgumentException(file + ": no certificate");
    }
    return certificates;
  }

  /** SEC 1, C.4: version, key, [0] parameters, [1] public key; PKCS #8 wants the curve outside. */
  private static byte[] sec1(byte[] der) {
    byte[] fields = Der.read(der, 0).require(Der.SEQUENCE).content();
    int keyStart = Der.read(fields, 0).require(Der.INTEGER).totalLength();
    int next = keyStart + Der.read(fields, keyStart).require(Der.OCTET_STRING).totalLength();
    byte[] curve = Der.read(fields, next).require(Der.CONTEXT_0).content();
    return wrap(Der.encode(Der.SEQUENCE, EC_PUBLIC_KEY, curve), der);
  }

  /** PrivateKeyInfo, RFC 5958, 2. */
  private static byte[] wrap(byte[] algorithm, byte[] key) {
    return Der.encode(Der.SEQUENCE, VERSION_0, algorithm, Der.encode(Der.OCTET_STRING, key));
  }

  private static PrivateKey pkcs8(Path file, byte[] der) {
    try {
      for (String algorithm : List.of("RSA", "EC", "EdDSA")) {
        try {
          return KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(der));
        } catch (InvalidKeySpecException notThisOne) {
          // JCA has no factory that reads the algorithm from PKCS #8; the next one is tried.
        }
      }
    } catch (GeneralSecurityException e) {
      throw unusable(file, e);
    } finally {
      Arrays.fill(der, (byte) 0);
    }
    throw new IllegalArgumentException(file + ": neither an RSA, EC nor Edwards key");
  }

  private static List<Block> blocks(Path file) {
    String text;
    try {
      text = Files.readString(file, StandardCharsets.US_ASCII);
    } catch (IOException e) {
      throw unusable(file, e);
    }
    var blocks = new ArrayList<Block>();
    var matcher = BLOCK.matcher(text);
    while (matcher.find()) {
      blocks.add(new Block(matcher.group(1), Base64.getMimeDecoder().decode(matcher.group(2))));
    }
    return blocks;
  }

  private static KeyStore emptyStore() throws IOException, GeneralSecurityException {
    var store = KeyStore.getInstance("PKCS12");
    store.load(null, null);
    return store;
  }

  private static IllegalArgumentException unusable(Path file, Exception cause) {
    if (cause instanceof NoSuchFileException) {
      return new IllegalArgumentException(file + ": no such file", cause);
    }
    if (cause instanceof AccessDeniedException) {
      return new IllegalArgumentException(file + ": this user may not read it", cause);
    }
    return new IllegalArgumentException(file + ": " + cause, cause);
  }

  private Pem() {}
}
