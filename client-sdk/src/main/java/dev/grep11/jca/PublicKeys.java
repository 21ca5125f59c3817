package dev.grep11.jca;

import dev.grep11.client.PublicKeyBlob;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.interfaces.ECPublicKey;
import java.security.spec.X509EncodedKeySpec;
import java.util.Optional;

/** Public keys as the JDK has them: they are no secret, so its own classes do all that they do. */
final class PublicKeys {
  /** Empty when no provider here knows the algorithm or the curve. */
  static Optional<PublicKey> of(PublicKeyBlob blob) {
    try {
      var algorithm =
          switch (blob.algorithm()) {
            case "1.2.840.113549.1.1.1" -> "RSA";
            case "1.2.840.10045.2.1" -> "EC";
            case "1.3.101.110", "1.3.101.111" -> "XDH";
            case "1.3.101.112", "1.3.101.113" -> "EdDSA";
            default -> "";
          };
      return algorithm.isEmpty()
          ? Optional.empty()
          : Optional.of(
              KeyFactory.getInstance(algorithm)
                  .generatePublic(new X509EncodedKeySpec(blob.x509())));
    } catch (GeneralSecurityException | IllegalArgumentException e) {
      return Optional.empty();
    }
  }

  /** The uncompressed point (SEC 1, 2.3.3). */
  static byte[] point(ECPublicKey key) {
    return new PublicKeyBlob(key.getEncoded()).subjectPublicKey();
  }

  private PublicKeys() {}
}
