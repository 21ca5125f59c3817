package dev.grep11.gateway.iam;

import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.PublicKey;
import java.security.Signature;

/** Stands for the P-256 key in the HSM. */
record SoftwareSigner(String keyId, KeyPair pair) implements TokenSigner {
  static SoftwareSigner create(String keyId) throws Exception {
    return new SoftwareSigner(keyId, TestIdentity.ecKeyPair());
  }

  @Override
  public PublicKey publicKey() {
    return pair.getPublic();
  }

  @Override
  public byte[] sign(byte[] signingInput) {
    try {
      Signature signature = Signature.getInstance("SHA256withECDSAinP1363Format");
      signature.initSign(pair.getPrivate());
      signature.update(signingInput);
      return signature.sign();
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }
}
