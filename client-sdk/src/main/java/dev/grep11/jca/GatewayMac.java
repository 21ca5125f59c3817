package dev.grep11.jca;

import dev.grep11.agent.store.StoreException;
import dev.grep11.client.Ckm;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.Hash;
import dev.grep11.client.Mechanisms;
import dev.grep11.proto.Mechanism;
import java.security.InvalidAlgorithmParameterException;
import java.security.InvalidKeyException;
import java.security.Key;
import java.security.ProviderException;
import java.security.spec.AlgorithmParameterSpec;
import javax.crypto.MacSpi;
import org.jspecify.annotations.Nullable;

/** HMAC by the gateway, over all data in one call. */
final class GatewayMac extends MacSpi {
  private final Hash hash;
  private final Buffer data = new Buffer();
  private @Nullable GatewaySecretKey key;

  /**
   * @param algorithm such as HmacSHA256
   */
  GatewayMac(String algorithm) {
    this.hash = Hashes.of(algorithm.substring("Hmac".length()));
  }

  @Override
  protected int engineGetMacLength() {
    return hash.bytes();
  }

  @Override
  protected void engineInit(Key with, @Nullable AlgorithmParameterSpec parameters)
      throws InvalidKeyException, InvalidAlgorithmParameterException {
    if (parameters != null) {
      throw new InvalidAlgorithmParameterException("HMAC takes no parameters");
    }
    if (!(with instanceof GatewaySecretKey secret)) {
      throw new InvalidKeyException("not a secret key of the provider Grep11");
    }
    key = secret;
    data.clear();
  }

  @Override
  protected void engineUpdate(byte octet) {
    data.write(octet);
  }

  @Override
  protected void engineUpdate(byte[] input, int offset, int length) {
    data.write(input, offset, length);
  }

  @Override
  protected byte[] engineDoFinal() {
    var with = key;
    if (with == null) {
      throw new IllegalStateException("not initialized");
    }
    byte[] all = data.take();
    try {
      return with.handle().use((client, blob) -> client.sign(mechanism(), blob, all));
    } catch (Grep11Exception e) {
      throw new ProviderException(Remedy.of(e), e);
    } catch (StoreException e) {
      throw new ProviderException(e.getMessage(), e);
    }
  }

  @Override
  protected void engineReset() {
    data.clear();
  }

  private Mechanism mechanism() {
    return Mechanisms.of(
        switch (hash) {
          case SHA1 -> Ckm.CKM_SHA_1_HMAC;
          case SHA224 -> Ckm.CKM_SHA224_HMAC;
          case SHA256 -> Ckm.CKM_SHA256_HMAC;
          case SHA384 -> Ckm.CKM_SHA384_HMAC;
          case SHA512 -> Ckm.CKM_SHA512_HMAC;
        });
  }
}
