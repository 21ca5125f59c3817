package dev.grep11.jca;

import dev.grep11.client.Grep11Exception;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.SecretKeyBlob;
import dev.grep11.client.Template;
import dev.grep11.client.Templates;
import java.security.InvalidAlgorithmParameterException;
import java.security.InvalidParameterException;
import java.security.ProviderException;
import java.security.SecureRandom;
import java.security.spec.AlgorithmParameterSpec;
import javax.crypto.KeyGeneratorSpi;
import javax.crypto.SecretKey;

/** Makes AES keys that encrypt and decrypt, and secrets for HMAC. */
final class SecretKeyMaking extends KeyGeneratorSpi {
  private static final int AES_BITS = 256;

  private final Grep11Provider provider;
  private final String algorithm;
  private Template template;

  SecretKeyMaking(Grep11Provider provider, String algorithm) {
    this.provider = provider;
    this.algorithm = algorithm;
    this.template = isAes() ? Templates.aes(AES_BITS) : Templates.hmac(hashBytes());
  }

  private boolean isAes() {
    return algorithm.equals("AES");
  }

  private int hashBytes() {
    return Hashes.of(algorithm.substring("Hmac".length())).bytes();
  }

  /** Nothing: the HSM draws the key. */
  @Override
  protected void engineInit(SecureRandom random) {}

  @Override
  protected void engineInit(int bits, SecureRandom random) {
    if (isAes()) {
      try {
        template = Templates.aes(bits);
      } catch (IllegalArgumentException e) {
        throw (InvalidParameterException)
            new InvalidParameterException(e.getMessage()).initCause(e);
      }
    } else {
      if (bits < 8 || bits % 8 != 0) {
        throw new InvalidParameterException(bits + " bits; a multiple of 8 is expected");
      }
      template = Templates.hmac(bits / 8);
    }
  }

  @Override
  protected void engineInit(AlgorithmParameterSpec parameters, SecureRandom random)
      throws InvalidAlgorithmParameterException {
    if (!(parameters instanceof TemplateParameterSpec spec)) {
      throw new InvalidAlgorithmParameterException("a TemplateParameterSpec is expected");
    }
    template = spec.template();
  }

  @Override
  protected SecretKey engineGenerateKey() {
    var reach = provider.current().reach();
    var mechanism = isAes() ? Mechanisms.aesKeyGen() : Mechanisms.genericSecretKeyGen();
    try {
      var blob = reach.ask(client -> client.generateKey(mechanism, template));
      return new GatewaySecretKey(algorithm, KeyHandle.unsaved(reach, blob, SecretKeyBlob::new));
    } catch (Grep11Exception e) {
      throw new ProviderException(Remedy.of(e), e);
    }
  }
}
