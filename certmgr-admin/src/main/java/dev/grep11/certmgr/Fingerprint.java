package dev.grep11.certmgr;

import dev.grep11.client.certmgr.AdministratorKeyPair;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.cert.X509Certificate;
import java.util.HexFormat;

/** SHA-256 in hexadecimal digits: of a public key (SubjectPublicKeyInfo), or of a certificate. */
final class Fingerprint {
  static String of(AdministratorKeyPair pair) {
    return HexFormat.of().formatHex(pair.fingerprint());
  }

  static String ofPublicKey(byte[] subjectPublicKeyInfo) {
    return HexFormat.of().formatHex(AdministratorKeyPair.fingerprintOf(subjectPublicKeyInfo));
  }

  static String of(X509Certificate certificate) {
    try {
      return HexFormat.of()
          .formatHex(MessageDigest.getInstance("SHA-256").digest(certificate.getEncoded()));
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("a certificate that was read is encoded", e);
    }
  }

  private Fingerprint() {}
}
