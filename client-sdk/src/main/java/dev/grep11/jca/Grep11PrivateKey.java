package dev.grep11.jca;

import java.security.PrivateKey;
import java.security.PublicKey;
import java.util.Optional;

/** A private key behind a gateway, as this provider's KeyStore and generators give it. */
public sealed interface Grep11PrivateKey extends PrivateKey permits GatewayPrivateKey {
  /**
   * Its public half, an ordinary key of the JDK, also where the KeyStore has no certificate yet:
   * for a certificate request, say. Empty when the record of the key does not tell it, or no
   * provider here knows its curve.
   */
  Optional<PublicKey> publicKey();
}
