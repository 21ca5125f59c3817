package dev.grep11.jca;

import dev.grep11.client.SecretKeyBlob;
import javax.crypto.SecretKey;

/** An AES key, or a generic secret for HMAC, behind the gateway. */
final class GatewaySecretKey extends GatewayKey<SecretKeyBlob> implements SecretKey {
  private static final long serialVersionUID = 1;

  GatewaySecretKey(String algorithm, KeyHandle<SecretKeyBlob> handle) {
    super(algorithm, handle);
  }
}
