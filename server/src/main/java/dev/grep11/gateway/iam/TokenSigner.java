package dev.grep11.gateway.iam;

import java.security.PublicKey;

/**
 * Signs the embedded token service's tokens: in the gateway, a P-256 key that never leaves the HSM.
 */
public interface TokenSigner {
  /** The {@code kid}; another key has another one. */
  String keyId();

  /** The P-256 public key. */
  PublicKey publicKey();

  /**
   * ES256 over {@code signingInput}: 64 bytes, r and s (RFC 7518, 3.4).
   *
   * @throws RuntimeException when the HSM is not there
   */
  byte[] sign(byte[] signingInput);
}
